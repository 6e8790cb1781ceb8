"""What may have caused a window (``candidates``), and whom a happening can have reached (``reach``)."""
