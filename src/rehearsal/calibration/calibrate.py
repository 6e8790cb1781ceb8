"""Measuring known outages: whether this prober, on this machine, now, reports what really happened.

The lengths are drawn at random and sealed by a hash that is shown before the first measurement and opened after the
last, so that nobody, the program included, can fit one to the other. The faults are made on services of the
rehearsal's own (`known`), on loopback; nothing else is touched. Nothing here is a stand-in: the probes, the store and
the mathematics are those of a run.
"""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import replace
from typing import TYPE_CHECKING
from typing import Any

from rehearsal import outage
from rehearsal.calibration.known import FAULTS
from rehearsal.figures import say as lengths
from rehearsal.figures.outcome import Outcome
from rehearsal.judging.instruments import Trial
from rehearsal.lanes import table
from rehearsal.lanes.spec import SECOND_NS
from rehearsal.lanes.spec import ProbeSpec
from rehearsal.prober.client import Prober
from rehearsal.recording import events
from rehearsal.recording import history
from rehearsal.recording.journal import Journal
from rehearsal.recording.samples import samples_by_probe

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Samples = NDArray[Any]

PERIOD_NS = SECOND_NS // 10
SOFT_NS = SECOND_NS * 3 // 10
HARD_NS = 10 * SECOND_NS
LIMIT_NS = 2 * PERIOD_NS
"""A run must not gate on figures whose error exceeds this."""
SHORTEST_S, LONGEST_S = 0.15, 4.0
CALM_S = 1.5  # at least, before and after each fault
_SERVICES = 4
_ANSWER_S = 20.0
PAUSE = "pause"  # the service's process is stopped, by a signal
_SLOW_KINDS = frozenset({"hold", PAUSE})
_DELIVERY_NS = 5_000_000  # a fault that held answers ends for those who wait when they have read them


class CalibrationError(Exception):
    """The calibration could not be carried out; one sentence."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that is planned: what, for how long, after how long a calm."""

    kind: str
    length_ns: int
    calm_ns: int


@dataclass(frozen=True, slots=True)
class Truth:
    """A fault as it was made: onset and end are each known between two monotonic moments (ns)."""

    kind: str
    began_ns: tuple[int, int]
    ended_ns: tuple[int, int]

    @property
    def least_ns(self) -> int:
        """It lasted at least this long."""
        return max(0, self.ended_ns[0] - self.began_ns[1])

    @property
    def most_ns(self) -> int:
        """It lasted at most this long."""
        return self.ended_ns[1] - self.began_ns[0]


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a calibration found. `seal` is the SHA-256 of `sealed`, published before the first measurement."""

    trials: list[Trial]
    seal: str
    sealed: str

    @property
    def worst_error_ns(self) -> int | None:
        """The largest error of a point estimate."""
        return max((abs(trial.error_ns) for trial in self.trials if trial.error_ns is not None), default=None)

    @property
    def outcome(self) -> Outcome:
        """Ok: all truths within their bounds and no error above the limit; fail: not so; unknown: too little was seen."""
        clear = [trial for trial in self.trials if not trial.blind]
        worst = self.worst_error_ns
        if any(not trial.covered for trial in clear) or (worst is not None and worst > LIMIT_NS):
            return Outcome.FAIL
        if worst is None or len(clear) < len(self.trials) / 2:
            return Outcome.UNKNOWN
        return Outcome.OK

    @property
    def sentence(self) -> str:
        """The finding in one sentence."""
        clear = [trial for trial in self.trials if not trial.blind]
        covered = sum(trial.covered for trial in clear)
        worst = self.worst_error_ns
        error = "no outage was seen" if worst is None else f"largest error {lengths.about(worst)}"
        blind = (
            f", {len(self.trials) - len(clear)} not judged because the prober was blind"
            if len(clear) < len(self.trials)
            else ""
        )
        return (
            f"{covered} of {len(clear)} known outages lie within their measured bounds{blind}; {error}, "
            f"limit {lengths.exactly(LIMIT_NS)}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-like data."""
        return {
            "outcome": str(self.outcome),
            "sentence": self.sentence,
            "seal": self.seal,
            "sealed": self.sealed,
            "trials": [asdict(trial) for trial in self.trials],
        }


class KnownProcess:
    """A known service as its owner sees it: orders faults, and knows when they began and ended."""

    def __init__(self, precedence: str = "fifo") -> None:
        command = [sys.executable, "-m", "rehearsal.calibration.known", precedence]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, start_new_session=True
        )
        ports = self._hear()
        self.http_port, self.echo_port = int(ports["http"]), int(ports["echo"])

    def fault(self, kind: str) -> tuple[int, int]:
        """Take on a fault, `none` to end it; return the moments around the change (monotonic ns)."""
        if kind == PAUSE:
            return self._signalled(signal.SIGSTOP)
        if self._is_paused():
            return self._signalled(signal.SIGCONT)
        if self._process.stdin is None:
            raise CalibrationError("the known service takes no orders")
        self._process.stdin.write(f"{kind}\n".encode())
        answer = self._hear()
        return int(answer["before_ns"]), int(answer["after_ns"])

    def close(self) -> None:
        """End the service."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _signalled(self, number: int) -> tuple[int, int]:
        before_ns = time.monotonic_ns()
        self._process.send_signal(number)
        stopping = number == signal.SIGSTOP
        while self._is_paused() != stopping:
            time.sleep(0.0002)
        return before_ns, time.monotonic_ns()

    def _is_paused(self) -> bool:
        with open(f"/proc/{self._process.pid}/stat", encoding="ascii") as file:  # noqa: PTH123 - asked for in a loop
            return file.read().rpartition(")")[2].split()[0] == "T"

    def _hear(self) -> dict[str, Any]:
        stdout = self._process.stdout
        if stdout is None or not select.select([stdout], [], [], _ANSWER_S)[0]:
            raise CalibrationError(f"the known service did not answer within {lengths.exact_s(_ANSWER_S)}")
        line = stdout.readline()
        if not line:
            raise CalibrationError(f"the known service ended with code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def calibrate(
    folder: Path,
    *,
    trials: int = 12,
    seed: int | None = None,
    precedence: str = "fifo",
    say: Callable[[str], None] = print,
) -> Calibration:
    """Measure known outages with a prober of its own, recorded in `folder` (which must be new).

    Raises CalibrationError, ProberError if it cannot be carried out.
    """
    chance = random.Random(seed) if seed is not None else random.SystemRandom()
    plans = draw(chance, trials, kinds=(*FAULTS[1:], PAUSE), services=min(_SERVICES, trials))
    sealed = json.dumps({"salt": os.urandom(16).hex(), "plans": [[asdict(fault) for fault in plan] for plan in plans]})
    seal = hashlib.sha256(sealed.encode()).hexdigest()
    say(f"calibration: {trials} outages of lengths known only to the seal {seal[:16]}…")
    folder.mkdir(parents=True)
    with Journal(folder / "journal" / "calibration.jsonl") as journal:
        journal.write(events.CalibrationSealed(seal, trials))
        services: list[KnownProcess] = []
        prober = Prober.start(folder, folder / "prober.log", allowed=["127.0.0.0/8"], precedence=precedence)
        try:
            services += [KnownProcess(precedence) for _ in plans]
            for number, service in enumerate(services, start=1):
                prober.declare(known_spec(number, service))
            truths = carry_out(services, plans)
            time.sleep(CALM_S)  # longer than what belongs to the last fault, or its stretch would have no end
        finally:
            prober.stop()
            for service in services:
                service.close()
        found = Calibration(measured(folder, truths), seal, sealed)
        journal.write(events.CalibrationDone(**found.to_dict()))
    return found


def draw(  # noqa: PLR0913 - keyword-only, each a fact of its own
    chance: random.Random,
    trials: int,
    *,
    kinds: Sequence[str],
    services: int,
    shortest_s: float = SHORTEST_S,
    longest_s: float = LONGEST_S,
    calm_s: float = CALM_S,
) -> list[list[Fault]]:
    """Draw faults for some services: every kind as often as the others, lengths log-uniform, phases random."""
    queue = [kinds[index % len(kinds)] for index in range(trials)]
    chance.shuffle(queue)
    plans: list[list[Fault]] = [[] for _ in range(services)]
    for index, kind in enumerate(queue):
        length_s = shortest_s * (longest_s / shortest_s) ** chance.random()
        calm = calm_s + chance.random()
        plans[index % services].append(Fault(kind, int(length_s * SECOND_NS), int(calm * SECOND_NS)))
    return plans


def carry_out(services: Sequence[KnownProcess], plans: Sequence[Sequence[Fault]]) -> list[list[Truth]]:
    """Make the planned faults, on all services side by side; return when each really was."""
    truths: list[list[Truth]] = [[] for _ in services]
    now_ns = time.monotonic_ns()
    agenda: list[tuple[int, int, int, tuple[int, int] | None]] = []  # when, service, fault, its onset if it is on
    for index, plan in enumerate(plans):
        if plan:
            heapq.heappush(agenda, (now_ns + plan[0].calm_ns, index, 0, None))
    while agenda:
        when_ns, index, number, began_ns = heapq.heappop(agenda)
        time.sleep(max(0, when_ns - time.monotonic_ns()) / 1e9)
        fault = plans[index][number]
        if began_ns is None:
            began_ns = services[index].fault(fault.kind)
            heapq.heappush(agenda, (began_ns[1] + fault.length_ns, index, number, began_ns))
            continue
        ended_ns = services[index].fault("none")
        truths[index].append(Truth(fault.kind, began_ns, ended_ns))
        if number + 1 < len(plans[index]):
            heapq.heappush(agenda, (ended_ns[1] + plans[index][number + 1].calm_ns, index, number + 1, None))
    return truths


def known_spec(number: int, service: KnownProcess) -> ProbeSpec:
    """Return the probe of a known service: new connections at 10 Hz, as on a VIP."""
    return ProbeSpec(
        probe=number,
        name=f"known service {number}",
        lane=table.VIP_NEW.name,
        service="calibration",
        target=f"http://127.0.0.1:{service.http_port}/",
        period_ns=PERIOD_NS,
        deadline_ns=HARD_NS,
        soft_ns=SOFT_NS,
        settings={"address": "127.0.0.1", "answer": "prober"},
    )


def measured(folder: Path, truths: Sequence[Sequence[Truth]]) -> list[Trial]:
    """Return what the recording says about each known fault of probes 1, 2, ..."""
    told = history.read(folder, history.PROBER).of(events.ProberBlind)
    blind = [(event.began_ns, event.ended_ns) for _, event in told]
    recorded = samples_by_probe(folder)
    found = []
    for number, of_service in enumerate(truths, start=1):
        if number not in recorded:
            raise CalibrationError(f"known service {number} was never sampled")
        found += compared(recorded[number], of_service, period_ns=PERIOD_NS, blind=blind)
    return found


def compared(
    samples: Samples, truths: Sequence[Truth], *, period_ns: int, blind: Sequence[tuple[int, int]] = ()
) -> list[Trial]:
    """Compare the samples of one probe with the known faults of its target."""
    stretches = [stretch_of(truths, index) for index in range(len(truths))]
    trace = outage.derive(samples, period_ns=period_ns, stretches=stretches, blind=list(blind))
    unseen = [*blind, *trace.blind]
    trials = []
    for index, (truth, (from_ns, to_ns)) in enumerate(zip(truths, stretches, strict=True)):
        trial = _trial(trace, truth, from_ns, to_ns, index)
        was_blind = any(began < to_ns and ended > from_ns for began, ended in unseen)
        trials.append(replace(trial, blind=was_blind or trial.blind))
    return trials


def stretch_of(truths: Sequence[Truth], index: int) -> tuple[int, int]:
    """Return the time that belongs to one fault: half of the calm before and after it."""
    truth = truths[index]
    before = truths[index - 1].ended_ns[1] if index else truth.began_ns[0] - 2 * SECOND_NS
    after = truths[index + 1].began_ns[0] if index + 1 < len(truths) else truth.ended_ns[1] + 2 * SECOND_NS
    return (before + truth.began_ns[0]) // 2, (truth.ended_ns[1] + after) // 2


def _trial(trace: outage.Trace, truth: Truth, from_ns: int, to_ns: int, index: int) -> Trial:
    """Compare one fault with its windows. Answers that were held are slow, and failed if the hard deadline came first."""
    windows = [*trace.outages, *(trace.degraded if truth.kind in _SLOW_KINDS else ())]
    windows = [each for each in windows if from_ns <= each.first_bad_ns < to_ns]
    most_ns = truth.most_ns + (_DELIVERY_NS if truth.kind in _SLOW_KINDS else 0)
    tally = trace.tallies[index]
    floor_ns = None if tally.floor_ns == outage.OPEN_NS else tally.floor_ns
    true_ns = (truth.least_ns + truth.most_ns) // 2
    if not windows:
        covered = floor_ns is None or floor_ns >= truth.least_ns
        return Trial(truth.kind, true_ns, False, 0, 0, None, floor_ns, covered, blind=floor_ns is None)
    certain_ns = outage.measure(outage.merged(part for each in windows for part in each.certain_parts))
    point_ns = outage.measure(outage.merged((each.point_from_ns, each.point_to_ns) for each in windows))
    onsets = [each.last_good_ns for each in windows]
    ends = [each.first_good_ns for each in windows]
    first = None if None in onsets else min(onset for onset in onsets if onset is not None)
    last = None if None in ends else max(end for end in ends if end is not None)
    possible_ns = None if first is None or last is None else last - first
    covered = certain_ns <= most_ns and (possible_ns is None or possible_ns >= truth.least_ns)
    return Trial(truth.kind, true_ns, True, certain_ns, point_ns, possible_ns, floor_ns, covered, blind=False)
