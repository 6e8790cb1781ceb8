"""The sections of the page: a module that declares `SECTION` and a template of the same name in `templates/sections`.

Nothing else lists them: each says which one it follows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehearsal.judging.rooms import declared_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rehearsal.report.section import Section


def in_order(after: str = "") -> Iterator[tuple[str, Section]]:
    """Yield (name of the module, section) in the order of the page: those that follow an anchor, each with its followers."""
    for name, section in declared_in(__name__, "SECTION").items():
        if section.after == after:
            yield name, section
            yield from in_order(section.anchor)
