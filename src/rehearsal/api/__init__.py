"""What an operator's own claims may import. Everything else in `rehearsal` may change with any version.

The fixtures that a test gets by naming them (`target`, `hosts`, `host`, `openstack`, `canaries`, `recorded`, `plan`,
`step`, `step_losses`) are described in docs/own-claims.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

import pytest

from rehearsal.cloud import Target
from rehearsal.figures.expectation import Expectation
from rehearsal.figures.expectation import NotObserved
from rehearsal.figures.expectation import expect
from rehearsal.figures.expectation import same
from rehearsal.hosts.view import HostView
from rehearsal.recording import events
from rehearsal.recording.stretch import POSTFLIGHT
from rehearsal.recording.stretch import PREFLIGHT

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Expectation", "HostView", "NotObserved", "Target", "check", "events", "expect", "same"]


def check(  # noqa: PLR0913 - all but the id by keyword
    id: str = "",  # noqa: A002 - as it is called everywhere
    *,
    gates: Sequence[str] = (PREFLIGHT, POSTFLIGHT),
    services: Sequence[str] = (),
    steps: Sequence[str] = (),
    hosts: str | Sequence[str] = (),
    service: str = "",
    remedy: str = "",
    timeout_s: float | None = None,
) -> pytest.MarkDecorator:
    """Mark a test as a claim. The first paragraph of its docstring is the sentence that the report shows.

    `id`: begins with `own.`; without one it is made from the names of file and test. `gates`: where it is checked, of
    `preflight`, `step`, `postflight`. `services`, `steps`: after which steps, by the services that a step names or by its
    id; without both, after each. `hosts`: for which hosts a test that takes `host` is made, by name or group; without
    it, for each. `service`: what it is about; `remedy`: what to do if it does not hold. `timeout_s`: its time limit in
    seconds (default 120); a claim that has not finished by then is unknown.
    """
    says: dict[str, Any] = {
        "gates": _words(gates),
        "services": _words(services),
        "steps": _words(steps),
        "hosts": _words(hosts),
        "service": service,
        "remedy": remedy,
        "timeout_s": timeout_s,
    }
    mark: pytest.MarkDecorator = pytest.mark.check(*([id] if id else []), **says)
    return mark


def _words(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)
