"""How a recording is judged, room by room: pure functions of a History. The front door is `rehearsal.judge.judge`."""
