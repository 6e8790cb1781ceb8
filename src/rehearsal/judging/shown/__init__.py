"""What nothing but the report reads: a module here declares `ROOM`, and nothing else lists it.

Its rows stand in results.json under its key; the verdict is not drawn from them.
"""
