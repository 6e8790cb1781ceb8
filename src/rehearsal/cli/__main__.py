"""`python -m rehearsal.cli`, the same as `rehearse`."""

from __future__ import annotations

import sys

from rehearsal.cli import main

sys.exit(main())
