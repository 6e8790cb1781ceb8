"""Where the page comes from: who ran what, when, against which cloud, by which plan."""

from __future__ import annotations

import json
from typing import Any

import yaml

from rehearsal.report.section import Section

_MOST = 120_000  # characters of the target or the plan


def _dump(data: dict[str, Any]) -> str:
    text = yaml.dump(
        json.loads(json.dumps(data, default=str)),
        Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper),
        allow_unicode=True,
        sort_keys=False,
        width=110,
    )
    if len(text) <= _MOST:
        return text
    return f"{text[:_MOST]}\n# cut here: {len(text) - _MOST} more characters stand in results.json\n"


SECTION = Section(
    "provenance",
    "Provenance",
    after="quality",
    parts=lambda page: {"target": _dump(page.results.target), "plan": _dump(page.results.plan)},
)
