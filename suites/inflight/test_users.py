"""What the step cost the cloud's users: downtime and slow answers per service, and the canaries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rehearsal import beacon
from rehearsal.claims import comparisons
from rehearsal.claims import downtime
from rehearsal.figures.expectation import expect

if TYPE_CHECKING:
    from fixtures.recorded import KnownCanary
    from rehearsal.judging.losses import Loss
    from rehearsal.plan import StepSpec


@pytest.mark.check("inflight.downtime")
def test_downtime(watched_service: str, step: StepSpec, step_losses: list[Loss]) -> None:
    """The service's downtime during the step stays within its budget."""
    expect(downtime.within_budget(step_losses, step.id, watched_service, "down"))


@pytest.mark.check("inflight.slow-answers")
def test_slow_answers(api_service: str, step: StepSpec, step_losses: list[Loss]) -> None:
    """The service's slow answers during the step stay within their budget."""
    expect(downtime.within_budget(step_losses, step.id, api_service, "degraded"))


@pytest.mark.check("inflight.canary-reachable")
def test_canary_reachable(canary: KnownCanary) -> None:
    """After the step the canary answers at each of its addresses and has not rebooted."""
    for address in canary.addresses:
        try:
            heard, error = beacon.hear(address, canary.facts_port).boot_id, ""
        except beacon.BeaconSilentError as silent:
            heard, error = "", str(silent)
        found = comparisons.reachable(canary.canary, address, heard, canary.boot_id, error)
        if not found.holds:
            break
    expect(found)
