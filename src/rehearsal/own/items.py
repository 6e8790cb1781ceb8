"""A test that pytest collected, as an own claim: its marks, its hosts, and where it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

import pytest

from rehearsal.own.directory import LIMIT_S
from rehearsal.own.marking import USUAL
from rehearsal.own.marking import Marking

if TYPE_CHECKING:
    from rehearsal.cloud import Target


class NoSuchHost(pytest.Collector.CollectError):
    """A claim names a host that there is not; `where` is the test, as FILE:LINE."""

    def __init__(self, sentence: str, where: str) -> None:
        super().__init__(sentence)
        self.where = where


def marking_of(item: pytest.Item) -> Marking:
    """Return what a test's marks say. What is wrong with them is `mistakes`' to say; here it is taken as it is."""
    marks = item.get_closest_marker("check")
    says = dict(marks.kwargs) if marks else {}
    limit = item.get_closest_marker("timeout")
    timeout_s = says.get("timeout_s") or (limit.args[0] if limit and limit.args else LIMIT_S)
    return Marking(
        gates=_words(says.get("gates"), USUAL),
        services=_words(says.get("services")),
        steps=_words(says.get("steps")),
        hosts=_words(says.get("hosts")) or _words(getattr(getattr(item, "module", None), "testinfra_hosts", None)),
        timeout_s=timeout_s,
    )


def _words(given: Any, otherwise: tuple[str, ...] = ()) -> tuple[str, ...]:
    if given is None:
        return otherwise
    return (given,) if isinstance(given, str) else tuple(given)


def hosts_of(item: pytest.Item, target: Target) -> list[str]:
    """Return the hosts that a test names, themselves or by group, sorted; all of them if it names none. NoSuchHost."""
    there = {host.name: [host.name] for host in target.hosts}
    named = marking_of(item).hosts or tuple(there)
    known = {
        "all": list(there),
        **{group: [each.name for each in target.in_group(group)] for group in target.groups},
        **there,
    }
    for name in named:
        if not known.get(name):
            test = item.nodeid.rpartition("::")[2]
            raise NoSuchHost(
                f"{test}: the inventory has no host {name!r}, and no group of that name with hosts.", where_of(item)
            )
    return sorted({host for name in named for host in known[name]})


def where_of(item: pytest.Item) -> str:
    """Return where a test is written, as FILE:LINE."""
    return f"{item.path}:{(item.location[1] or 0) + 1}"
