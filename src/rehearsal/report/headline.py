"""The few facts that stand beside the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal.figures.length import NOTHING
from rehearsal.figures.length import longest
from rehearsal.figures.outcome import Outcome
from rehearsal.figures.outcome import worst
from rehearsal.judging.sums import worst_loss
from rehearsal.recording.stretch import CONTROL
from rehearsal.report import printed
from rehearsal.report.sections import matrix

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rehearsal.judging.results import Results
    from rehearsal.report.clock import Clock

KINDS = {"rehearsal": "Upgrade rehearsal", "production": "Upgrade in production"}  # other modes run one suite only
_NAMES = {"down": "downtime", "degraded": "slow answers"}


@dataclass(frozen=True, slots=True)
class Fact:
    """One figure with its name, its bounds or its context, and where it leads."""

    name: str
    value: str
    detail: str
    outcome: Outcome | None = None


def facts(results: Results, clock: Clock) -> list[Fact]:
    """Return what a reader wants to know first, in a fixed order."""
    return [
        _release(results),
        _duration(results, clock),
        _steps(results),
        _checks(results),
        _loss(results, "down"),
        _loss(results, "degraded"),
        _migrations(results),
        _samples(results),
    ]


def verdict(results: Results) -> str:
    """Say what the verdict means, in one sentence; why stands in the results' own sentence."""
    between = (
        f" from {results.from_release} to {results.to_release}" if results.from_release and results.to_release else ""
    )
    what = {"rehearsal": f"The rehearsed upgrade{between}", "production": f"The upgrade{between}"}
    subject = what.get(results.mode, f"The {results.mode} suite")
    if results.outcome is Outcome.FAIL:
        return f"{subject} did not pass."
    if results.outcome is Outcome.UNKNOWN:
        return f"{subject} is undecided: evidence is missing."
    return (
        f"{subject} passed: every step, every check, every budget." if results.mode in KINDS else f"{subject} passed."
    )


def clean_sentence(samples: int, floor_ns: int | None, limit_ns: int | None = None) -> str:
    """Say what a probe without failures proves, and no more than that."""
    if not samples:
        return "Never sampled: nothing is known."
    seen = f"no failed sample among {printed.count(samples)}"
    if floor_ns is None:
        return f"{seen}; how short an outage would have been seen is not known"
    return f"{seen}; an outage longer than {printed.at_most(floor_ns, limit_ns)} would have been seen"


def _release(results: Results) -> Fact:
    mode = {"rehearsal": "rehearsed", "production": "in production"}.get(results.mode, results.mode)
    cloud = str(results.target.get("cloud") or results.target.get("name") or "")
    value = (
        f"{results.from_release or '?'} → {results.to_release or '?'}"
        if results.from_release or results.to_release
        else "not known"
    )
    return Fact("Release", value, ", ".join(part for part in (cloud, mode) if part))


def _duration(results: Results, clock: Clock) -> Fact:
    window = f"{clock.at(results.began_ns)} to {clock.at(results.ended_ns)}"
    return Fact(
        "Duration", printed.duration(results.ended_ns - results.began_ns), f"{window} UTC" if clock.pairs else window
    )


def _steps(results: Results) -> Fact:
    total = len(results.steps)
    if not total:
        return Fact("Steps", "none", "no step was started or planned", _missing(results))
    passed = sum(step.outcome is Outcome.OK for step in results.steps)
    failed = [step.id for step in results.steps if step.outcome is Outcome.FAIL]
    unknown = [step.id for step in results.steps if step.outcome is Outcome.UNKNOWN]
    parts = [f"failed: {_few(failed)}" if failed else "", f"unknown: {_few(unknown)}" if unknown else ""]
    detail = "; ".join(part for part in parts if part) or "every command and every gate passed"
    return Fact("Steps passed", f"{passed} of {total}", detail, _three(bool(failed), bool(unknown)))


def _checks(results: Results) -> Fact:
    total = len(results.checks)
    if not total:
        return Fact("Checks", "none", "no check left a record", Outcome.UNKNOWN)
    failed = sum(check.outcome is Outcome.FAIL for check in results.checks)
    unknown = sum(check.outcome is Outcome.UNKNOWN for check in results.checks)
    parts = [
        f"{printed.count(failed)} failed" if failed else "",
        f"{printed.count(unknown)} unknown" if unknown else "",
    ]
    detail = ", ".join(part for part in parts if part) or "none failed, none unknown"
    return Fact(
        "Checks passed",
        f"{printed.count(total - failed - unknown)} of {printed.count(total)}",
        detail,
        _three(bool(failed), bool(unknown)),
    )


def _loss(results: Results, kind: str) -> Fact:
    name = f"Longest {_NAMES[kind]}"
    losses = [loss for loss in results.matrix if loss.kind == kind and loss.stretch != CONTROL]
    if not any(loss.samples or loss.floor_ns is not None for loss in losses):
        return Fact(name, "not measured", "no sample was taken during a step", _missing(results))
    loss = worst_loss(losses, kind)
    if loss is None:
        return _no_loss(name, kind, results)
    shown = matrix.shown(loss)
    budget = f"budget {shown.budget} ({shown.source})" if loss.budget else "no budget"
    over = [f"{one.service} {one.stretch.when}" for one in losses if one.outcome is Outcome.FAIL and one is not loss]
    elsewhere = f"; over budget: {_few(over)}" if over else ""
    point, span = (shown.longest.point, shown.longest.span) if shown.longest else ("", "")
    detail = f"[{span}] {loss.service} {loss.stretch.when}, {budget}{elsewhere}"
    return Fact(name, point, detail, worst(one.outcome for one in losses))


def _no_loss(name: str, kind: str, results: Results) -> Fact:
    losses = [loss for loss in results.matrix if loss.kind == kind and loss.stretch != CONTROL]
    samples = sum(loss.samples for loss in losses)
    if kind == "degraded":
        return Fact(
            name,
            "none",
            f"no slow answer window in {printed.plural(len({loss.step for loss in losses if loss.step}), 'step')}",
            Outcome.OK,
        )
    floors = [loss.floor_ns for loss in losses if loss.floor_ns is not None]
    floor_ns = max(floors) if len(floors) == len(losses) else None
    proven = all(loss.outcome is Outcome.OK for loss in losses)
    return Fact(
        name,
        "none seen",
        f"during the steps {clean_sentence(samples, floor_ns)}",
        Outcome.OK if proven else Outcome.UNKNOWN,
    )


def _migrations(results: Results) -> Fact:
    total = len(results.migrations)
    if not total:
        return Fact("Live migrations", "none", "no live migration was requested", None)
    passed = sum(one.outcome is Outcome.OK for one in results.migrations)
    failed = any(one.outcome is Outcome.FAIL for one in results.migrations)
    gaps = [one.network for one in results.migrations if one.network]
    detail = "no network gap was measured"
    if gaps:
        gap = longest(gaps)
        detail = "no network gap seen" if gap == NOTHING else f"longest network gap {printed.bounded(gap)}"
    return Fact("Live migrations passed", f"{passed} of {total}", detail, _three(failed, passed < total))


def _samples(results: Results) -> Fact:
    quality = results.quality
    blind = f"prober blind {printed.share(quality.blind_share)} of the time"
    if not quality.samples:
        return Fact("Samples", "none", "nothing was measured", _missing(results))
    return Fact("Samples", printed.count(quality.samples), f"{printed.plural(quality.probes, 'probe')}, {blind}", None)


def _missing(results: Results) -> Outcome | None:
    """Return unknown for what an upgrade should have shown; a single suite never promised it."""
    return Outcome.UNKNOWN if results.mode in KINDS else None


def _few(names: Iterable[str]) -> str:
    listed = list(names)
    shown = listed if len(listed) <= 3 else listed[:2]
    return ", ".join(shown) + (f" and {len(listed) - len(shown)} more" if len(listed) > len(shown) else "")


def _three(failed: bool, unknown: bool) -> Outcome:
    if failed:
        return Outcome.FAIL
    return Outcome.UNKNOWN if unknown else Outcome.OK
