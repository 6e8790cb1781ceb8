"""`python -m rehearsal.probe`: the prober's first process."""

from __future__ import annotations

import sys

from rehearsal.probe.process import main

sys.exit(main())
