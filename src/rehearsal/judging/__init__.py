"""How a recording is judged, room by room: pure functions of a History. The front door is `rehearsal.judging.judge.judge`.

=============== ====================================================================
``judge``       where the rooms are put together; ``rooms``: one that raises takes nothing else with it
``results``     what a recording means, as data
``observing``   what the probes saw
``charging``    outages, charged to what was being done, against what is allowed
``hosts``       what happened on the hosts; ``causes``: what of it may have caused a window
``losses``      the matrix; ``windows``, ``sums``: what the report draws; ``grades``; ``onestep``: for one gate
``moves``       live migrations and canaries; ``inside``: what guests noticed; ``shown``: what only the report reads
``course``      steps, gates, claims; ``plans``: which plan holds when; ``differences``: before and after
``quality``     how far the measurement can be trusted: ``damage``, ``instruments``, ``trust``
``summary``     the verdict, its ``findings``, what is ``notproven``, in ``words``
=============== ====================================================================
"""
