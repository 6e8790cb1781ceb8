"""One step's cells of the matrix, as the gate after the step needs them: the same as of the whole recording, but sooner.

A cell holds what began during its step, and what of earlier outages reaches into it. So only the step's own stretch is
folded, from some time before it, in which every probe must have proved something. Whatever reaches into the step must be
known from its beginning, with the minute before it, by whose answers lost packets are judged. Where that does not hold,
more is folded, in the end all.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from rehearsal.judging.charging.troubles import groups_of
from rehearsal.judging.charging.union import extent
from rehearsal.judging.losses import matrix
from rehearsal.judging.losses import strictness
from rehearsal.judging.observing.observation import longest_flight_ns
from rehearsal.judging.observing.observation import observe
from rehearsal.outage import merged
from rehearsal.outage.runs import RECENT_NS

if TYPE_CHECKING:
    from rehearsal.judging.losses import Loss
    from rehearsal.judging.observing.observation import Observation
    from rehearsal.judging.observing.observation import Seen
    from rehearsal.recording.history import History

_STRIDES = (1, 4)
_PERIODS = 4  # so many samples of every probe, and all that were in flight


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
    settled_ns = longest_flight_ns(history) + _PERIODS * longest_ns
    for stride in _STRIDES:
        since_ns = from_ns - RECENT_NS - 2 * stride * settled_ns
        if since_ns <= history.began_ns:
            break
        observation = observe(history, since_ns=since_ns)
        settled = all(_is_settled(seen, since_ns, from_ns, settled_ns) for seen in observation.seen)
        if settled and _is_known_from_its_beginning(observation, since_ns, from_ns):
            return observation
    return observe(history)


def _is_settled(seen: Seen, since_ns: int, from_ns: int, settled_ns: int) -> bool:
    """Tell whether a probe, folded since a moment, proved something before `from_ns`."""
    probe, trace = seen.probe, seen.trace
    if probe.from_ns >= since_ns:
        return True
    ended = probe.ended_ns if probe.ended_ns is not None else probe.broke_off_ns
    if ended is not None and ended < from_ns:
        return False  # it may have ended in the middle of an outage: nobody saw the end of that
    periods = [period for _, period in probe.periods]
    if trace.first_sent_ns is None or trace.first_sent_ns > since_ns + 2 * max(periods):
        return False  # it was not there: how long it had been away is not known from here
    return trace.nothing * min(periods) <= settled_ns // 4  # else its proofs may be all from after the beginning


def _is_known_from_its_beginning(observation: Observation, since_ns: int, from_ns: int) -> bool:
    """Tell whether all that may reach into the time after `from_ns` is seen as it would be if all were folded.

    Troubles of several lanes may be one outage if they can have been at the same time: that one began with the first.
    """
    spans = []
    for seen in observation.seen:
        is_new = seen.probe.from_ns >= since_ns
        for outage in (*seen.trace.outages, *seen.trace.degraded):
            begin_ns, end_ns = extent(outage)
            is_known = outage.last_good_ns is not None and outage.first_bad_ns >= since_ns + RECENT_NS
            spans.append((begin_ns if is_new or is_known else since_ns, end_ns))
    return not any(begin_ns <= since_ns and end_ns >= from_ns for begin_ns, end_ns in merged(spans))
