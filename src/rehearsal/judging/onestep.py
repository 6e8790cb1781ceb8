"""One step's cells of the matrix, as the gate after the step needs them: the same as of the whole recording, but sooner.

A cell holds what began during its step. So only the step's own stretch is folded, from some time before it, in which
every probe must have proved something: then nothing that began earlier can be taken for something that began in the
step, and what began in the step is seen with its last good sample. Where that does not hold, more is folded, in the end all.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from rehearsal.judging.losses import matrix
from rehearsal.judging.losses import strictness
from rehearsal.judging.observation import longest_flight_ns
from rehearsal.judging.observation import observe
from rehearsal.judging.troubles import groups_of
from rehearsal.outage.joining import JOIN_GOOD
from rehearsal.outage.joining import JOIN_NS

if TYPE_CHECKING:
    from rehearsal.history import History
    from rehearsal.judging.observation import Observation
    from rehearsal.judging.observation import Seen
    from rehearsal.results import Loss

_STRIDES = (1, 4)


def losses_of(history: History, step: str) -> list[Loss]:
    """Return the cells of one step, both kinds; none if the step never began."""
    begins = [run.began_ns for run in history.steps if run.step == step]
    if not begins:
        return []
    observation = observation_of(history, min(begins))
    return matrix(history, observation, groups_of(observation, history, partial(strictness, history)), only=step)


def observation_of(history: History, from_ns: int) -> Observation:
    """Return what was observed from a moment on, and of what was before as much as that needs."""
    longest_ns = max((period for probe in history.probes for _, period in probe.periods), default=0)
    settled_ns = longest_flight_ns(history) + (JOIN_GOOD + 1) * longest_ns
    for stride in _STRIDES:
        since_ns = from_ns - 2 * stride * settled_ns
        if since_ns <= history.began_ns:
            break
        observation = observe(history, since_ns=since_ns)
        if all(_is_settled(seen, since_ns, from_ns, settled_ns) for seen in observation.seen):
            return observation
    return observe(history)


def _is_settled(seen: Seen, since_ns: int, from_ns: int, settled_ns: int) -> bool:
    """Tell whether a probe, folded since a moment, says of what began after `from_ns` what it says if folded as a whole."""
    probe, trace = seen.probe, seen.trace
    if probe.from_ns >= since_ns:
        return True
    ended = probe.ended_ns if probe.ended_ns is not None else probe.broke_off_ns
    if ended is not None and ended < from_ns:
        return False  # it may have ended in the middle of an outage: nobody saw the end of that
    periods = [period for _, period in probe.periods]
    if trace.first_sent_ns is None or trace.first_sent_ns > since_ns + 2 * max(periods):
        return False  # it was not there: how long it had been away is not known from here
    if trace.nothing * min(periods) > settled_ns // 4:
        return False  # its proofs may be all from after the beginning
    for troubles in (trace.outages, trace.degraded):
        first = troubles[0] if troubles else None
        if first is None or first.first_bad_ns < from_ns:
            continue
        if first.last_good_ns is None or first.last_good_ns < since_ns + JOIN_NS or first.good_before < JOIN_GOOD:
            return False
    return True
