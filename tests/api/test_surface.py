"""The declared surface is exactly what is declared: whoever adds or drops a name changes this test as well."""

from __future__ import annotations

import inspect

from rehearsal import api
from rehearsal.own.listing import OURS

SURFACE = {"Expectation", "HostView", "NotObserved", "Target", "check", "events", "expect", "same"}
FIXTURES = {"target", "hosts", "host", "openstack", "canaries", "recorded", "plan", "step", "step_losses"}


def test_the_surface_is_exactly_this():
    """No name more, none less, and each of them says what it is."""
    assert SURFACE == {*api.__all__}
    assert [] == [name for name in api.__all__ if not (inspect.getdoc(getattr(api, name)) or "").strip()]
    assert FIXTURES == {*OURS}


def test_a_check_says_what_it_was_told():
    """One word or several; without an id the test's name makes it."""
    mark = api.check("own.x", gates="step", services=["nova"], hosts="compute", remedy="Mend it.", timeout_s=5).mark
    assert ("own.x",) == mark.args
    assert (("step",), ("nova",), ("compute",)) == (mark.kwargs["gates"], mark.kwargs["services"], mark.kwargs["hosts"])
    assert () == api.check().mark.args
