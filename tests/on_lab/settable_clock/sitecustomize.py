"""A wall clock that a test can set: Python imports this file first where its folder is in PYTHONPATH.

The seconds in the file that REHEARSE_TEST_CLOCK names are added to what the kernel says; the machine's clock stays.
"""

import os
import time

_FILE = os.environ["REHEARSE_TEST_CLOCK"]
_kernel_ns = time.time_ns


def _set_ns() -> int:
    try:
        with open(_FILE) as file:  # noqa: PTH123 - before anything else is imported
            return int(file.read() or 0) * 1_000_000_000
    except OSError:
        return 0


time.time_ns = lambda: _kernel_ns() + _set_ns()
time.time = lambda: time.time_ns() / 1e9
