"""Results out of what was written of them, to see that nothing was lost."""

from __future__ import annotations

import json

from rehearsal.judging.results import Results
from rehearsal.report.resultsjson import built


def read_back(text: str) -> Results:
    """Return the results that the text of a results.json holds."""
    found = built(Results, json.loads(text))
    assert isinstance(found, Results)
    return found
