"""`python -m rehearsal.prober`: the prober's first process."""

from __future__ import annotations

import sys

from rehearsal.prober.web.webprocess import main

sys.exit(main())
