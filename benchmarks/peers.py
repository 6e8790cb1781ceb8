"""How other tools sample and report, re-implemented from their sources: timeouts, stamps, and the rule of the window.

`python benchmarks/peers.py PORT...` samples every port by every rule until stdin ends, then prints, as JSON, the samples
of each rule and port: [asked, answered, good, what], monotonic ns. `reported_s` turns them into what the tool would say.
"""

from __future__ import annotations

import http.client
import json
import math
import sys
import threading
import time
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING
from typing import Any

if TYPE_CHECKING:
    from collections.abc import Sequence

S = 1_000_000_000
Sample = tuple[int, int, bool, str]


@dataclass(frozen=True)
class Rule:
    """One tool: how it asks."""

    name: str
    method: str
    pause_s: float  # between samples of a closed loop, between starts of an open one
    timeout_s: float | None
    open_loop: bool
    worst_good_status: int


RULES = (
    Rule("OpenShift BackendSampler, new connections", "GET", 1, 20, True, 399),
    Rule("OSA bowling ball", "GET", 1, None, False, 399),
    Rule("Tobiko http_ping", "HEAD", 2, None, False, 499),
    Rule("krkn HTTP health check", "GET", 2, 3, False, 399),
    Rule("blackbox_exporter, 15 s scrape", "GET", 15, 9.5, True, 299),
)


def ask(rule: Rule, port: int) -> Sample:
    """Take one sample."""
    asked = time.monotonic_ns()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=rule.timeout_s)
    try:
        connection.request(rule.method, "/")
        status = connection.getresponse().status
    except OSError as error:
        return asked, time.monotonic_ns(), False, type(error).__name__
    except http.client.HTTPException as error:
        return asked, time.monotonic_ns(), False, type(error).__name__
    finally:
        connection.close()
    return asked, time.monotonic_ns(), status <= rule.worst_good_status, str(status)


def sample(rule: Rule, port: int, samples: list[Sample], over: threading.Event) -> None:
    """Sample one port by one rule until it is over."""
    due = time.monotonic()
    while not over.is_set():
        if rule.open_loop:
            threading.Thread(target=lambda: samples.append(ask(rule, port)), daemon=True).start()
            due += rule.pause_s
            over.wait(max(0.0, due - time.monotonic()))
        else:
            samples.append(ask(rule, port))
            over.wait(rule.pause_s)


def reported_s(rule: str, samples: Sequence[Sample], from_ns: int, to_ns: int) -> float:
    """Return the seconds of disruption that the tool would report between two moments."""
    samples = sorted(samples)
    if rule.startswith("OpenShift"):
        return sum(_openshift(samples, from_ns, to_ns))
    if rule.startswith("OSA"):
        return sum(
            (after[1] - run[0][1]) / S for run, after in _runs(samples, from_ns, to_ns) if after is not None
        )  # both stamped when the call returned
    if rule.startswith("krkn"):
        return sum((run[-1][0] - run[0][0]) / S for run, _ in _runs(samples, from_ns, to_ns))
    pause_s = next(each.pause_s for each in RULES if each.name == rule)
    return pause_s * sum(not each[2] for each in samples if from_ns <= each[0] < to_ns)


def _runs(samples: Sequence[Sample], from_ns: int, to_ns: int) -> list[tuple[list[Sample], Sample | None]]:
    """Return each run of failed samples that begins between the moments, and the good sample after it."""
    found: list[tuple[list[Sample], Sample | None]] = []
    at = 0
    for good, group in groupby(samples, key=lambda each: each[2]):
        run = list(group)
        at += len(run)
        if not good and from_ns <= run[0][0] < to_ns:
            found.append((run, samples[at] if at < len(samples) else None))
    return found


def _openshift(samples: Sequence[Sample], from_ns: int, to_ns: int) -> list[float]:
    """Intervals in whole seconds, one per stretch of the same error, at least 1 s each."""
    lengths = []
    for run, after in _runs(samples, from_ns, to_ns):
        starts = [next(iter(group))[0] for _, group in groupby(run, key=lambda each: each[3])]
        end = after[0] if after is not None else run[-1][0]
        for begin, finish in zip(starts, [*starts[1:], end], strict=True):
            lengths.append(float(max(1, math.floor(finish / S) - math.floor(begin / S))))
    return lengths


def main() -> None:
    """Sample until stdin ends."""
    over = threading.Event()
    taken: dict[str, dict[int, list[Sample]]] = {rule.name: {int(port): [] for port in sys.argv[1:]} for rule in RULES}
    for rule in RULES:
        for port, samples in taken[rule.name].items():
            threading.Thread(target=sample, args=(rule, port, samples, over), daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()
    over.set()
    result: dict[str, Any] = {rule: {port: list(samples) for port, samples in by.items()} for rule, by in taken.items()}
    json.dump(result, sys.stdout)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
