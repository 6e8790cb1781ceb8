"""The page: results and drawings handed to the templates, which escape everything that they print."""

from __future__ import annotations

import json
from datetime import UTC
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

from rehearsal.figures import fewruns
from rehearsal.figures.outcome import Outcome
from rehearsal.judging.grades import CLEAN_LEAST
from rehearsal.judging.rooms import LOG
from rehearsal.judging.rooms import Rooms
from rehearsal.report import printed
from rehearsal.report.clock import Clock
from rehearsal.report.sections import answertimes
from rehearsal.report.sections import beforeafter
from rehearsal.report.sections import checklist
from rehearsal.report.sections import headline
from rehearsal.report.sections import lanewords
from rehearsal.report.sections import latency
from rehearsal.report.sections import logs
from rehearsal.report.sections import matrix
from rehearsal.report.sections import windowlist
from rehearsal.report.svg import closeup
from rehearsal.report.svg import timeline
from rehearsal.report.texts import plain
from rehearsal.report.texts import shortened

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rehearsal.judging.results import Results

_ROWS_MOST = 400  # of notes: what is beyond is counted on the page and stands in results.json
_BLIND_MOST = 40  # intervals listed one by one, the longest
_DUMP_MOST = 120_000  # characters of the target or the plan
_ATTRIBUTIONS = {
    "step": "began during this step",
    "pre-existing": "had begun before the step",
    "ambiguous": "began around a step's boundary",
    "between": "began between steps",
    "migration": "began during a live migration",
}
_EXPLANATIONS = {
    "explained": "Explained by",
    "ambiguous": "Ambiguous, several fit:",
    "step": "Only the step fits:",
    "unattributed": "Unattributed: nothing that was recorded fits.",
    "not watched": "Unattributed: what may have caused it was not watched.",
}


def render(results: Results, run_dir: Path, rooms: Rooms | None = None) -> str:
    """Return the whole report as one HTML page; the run directory is read only for its logs and names of files.

    A section that raises is replaced by a sentence, and `rooms` has its traceback.
    """
    rooms = rooms or Rooms()
    clock = Clock(tuple(sorted(results.clock_pairs)), results.began_ns)
    environment = _templates()
    shared: dict[str, Any] = {
        "r": results,
        "clock": clock,
        "at": clock.at,
        "kind": headline.KINDS.get(results.mode, f"Only the {results.mode} suite"),
        "attributions": _ATTRIBUTIONS,
        "explanations": _EXPLANATIONS,
    }
    shared["f"] = environment.get_template("figures.html").make_module(shared)
    sections = rooms.rows("page: contents", "the list of contents", lambda: _sections(results))
    names = {anchor: name for anchor, name, _ in sections}
    return environment.get_template("page.html").render(
        **shared,
        mast=_mast(environment, results, shared, rooms),
        sections=sections,
        shown=[
            _section(environment, anchor, names.get(anchor, anchor), shared, parts, rooms)
            for anchor, parts in _parts(results, run_dir, clock).items()
        ],
    )


def _parts(results: Results, run_dir: Path, clock: Clock) -> dict[str, dict[str, Callable[[], Any]]]:
    """Return the sections in order, by their anchors, each with what its template needs of its own."""
    return {
        "findings": {"findings": lambda: sorted(results.findings, key=lambda finding: finding.outcome.rank)},
        "matrix": {"matrix": lambda: matrix.built(results)},
        "timeline": {"timeline": lambda: timeline.draw(results, clock)},
        "windows": {
            "closeups": lambda: closeup.draw(results, clock),
            "windows": lambda: windowlist.listed(results),
        },
        "canaries": {},
        "migrations": {},
        "checks": {"checks": lambda: checklist.sorted_out(results.checks)},
        "not-proven": {},
        "differences": {"changes": lambda: beforeafter.sorted_out(results.differences)},
        "quality": {
            "lanes": lambda: lanewords.shown(results),
            "answers": lambda: answertimes.rows(results),
            "blind": lambda: sorted(sorted(results.quality.blind, key=lambda span: span[0] - span[1])[:_BLIND_MOST]),
        },
        "provenance": {"target": lambda: _dump(results.target), "plan": lambda: _dump(results.plan)},
        "logs": {
            "notes": lambda: results.notes[:_ROWS_MOST],
            "steps": lambda: [
                (number, step, logs.log(run_dir, step.log, tail=step.outcome is not Outcome.OK))
                for number, step in enumerate(results.steps, 1)
            ],
            "files": lambda: logs.files(run_dir),
        },
    }


def _section(  # noqa: PLR0913, PLR0917 - what a section is made of
    environment: jinja2.Environment,
    anchor: str,
    name: str,
    shared: dict[str, Any],
    parts: dict[str, Callable[[], Any]],
    rooms: Rooms,
) -> Markup:
    def made() -> str:
        own = {key: make() for key, make in parts.items()}
        return environment.get_template(f"sections/{anchor.replace('-', '_')}.html").render(**shared, **own)

    text = rooms.ask(f"page: {anchor}", f"the section “{name}” of the page", made, None)
    if text is not None:
        return Markup(text)  # noqa: S704 - made by a template, which escapes
    gone = (
        "This section could not be written: rehearse failed while making it. What was measured and judged is not touched, "
        "and stands in {}; what failed stands in {}."
    )
    sentence = Markup('<section id="{}"><h2>{}</h2><p class="none">{}</p></section>')
    return sentence.format(anchor, name, gone.format("results.json", LOG))


def _mast(environment: jinja2.Environment, results: Results, shared: dict[str, Any], rooms: Rooms) -> Markup:
    """Return the head of the page; if it cannot be made as it should be, at least the verdict."""
    clock: Clock = shared["clock"]

    def made() -> str:
        return environment.get_template("sections/mast.html").render(
            **shared,
            today=_today(results, clock),
            offset=_local_offset(results.provenance),
            verdict=headline.verdict(results),
            facts=headline.facts(results, clock),
            matrix=matrix.built(results),
            clean_least=CLEAN_LEAST,
        )

    text = rooms.ask("page: head", "the figures beside the verdict", made, None)
    if text is not None:
        return Markup(text)  # noqa: S704 - made by a template, which escapes
    plainly = Markup(
        '<header class="mast {}"><div class="verdict"><p class="stamp">{}</p><div><h1>{}</h1>'
        '<p class="reason"><bdi>{}</bdi></p></div></div></header>'
    )
    shown = plain(results.sentence)
    return plainly.format(results.outcome.value, results.outcome.shown, f"Run {plain(results.run)}", shown)


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rehearsal.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_harmless,
    )
    environment.filters.update(
        number=printed.count,
        plural=printed.plural,
        duration=printed.duration,
        lasted=printed.lasted,
        exactly=printed.exactly,
        fixed=printed.fixed,
        about=printed.about,
        at_most=printed.at_most,
        share=printed.share,
        allowed=printed.allowed,
        shortened=shortened,
    )
    environment.globals.update(
        bounded=printed.bounded,
        all_well=fewruns.all_well,
        clean_sentence=headline.clean_sentence,
        sparkline=latency.sparkline,
        median_span=latency.median_span,
        highest_p99=latency.highest_p99,
        ok=Outcome.OK,
        fail=Outcome.FAIL,
        unknown=Outcome.UNKNOWN,
    )
    return environment


def _harmless(value: Any) -> Any:
    """Spell out deceiving characters of every printed text that is not markup of our own; escaping comes after."""
    return plain(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _today(results: Results, clock: Clock) -> str:
    wall = clock.wall_ns(results.began_ns)
    if wall is None:
        return "Date not recorded"
    began = datetime.fromtimestamp(wall // printed.SECOND, UTC)
    return f"{began:%A}, {began.day} {began:%B %Y}"


def _local_offset(provenance: dict[str, str]) -> str:
    """Return the offset of the prober's local time from UTC as recorded, or an empty string."""
    return provenance.get("utc offset", "")


def _dump(data: dict[str, Any]) -> str:
    text = yaml.dump(
        json.loads(json.dumps(data, default=str)),
        Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper),
        allow_unicode=True,
        sort_keys=False,
        width=110,
    )
    if len(text) <= _DUMP_MOST:
        return text
    return f"{text[:_DUMP_MOST]}\n# cut here: {len(text) - _DUMP_MOST} more characters stand in results.json\n"


def _sections(results: Results) -> list[tuple[str, str, str]]:
    """Return (anchor, name, count) for the list of contents."""
    failed = sum(check.outcome is Outcome.FAIL for check in results.checks)
    return [
        ("findings", "Findings", printed.count(len(results.findings))),
        ("matrix", "Steps and services", ""),
        ("timeline", "Timeline", ""),
        ("windows", "Windows", printed.count(len(results.windows) + sum(one.count for one in results.more_windows))),
        ("canaries", "Canaries", printed.count(len(results.canaries))),
        ("migrations", "Live migrations", printed.count(len(results.migrations))),
        ("checks", "Checks", f"{failed} failed" if failed else printed.count(len(results.checks))),
        ("not-proven", "Not proven", printed.count(len(results.not_proven))),
        ("differences", "Before and after", printed.count(len(results.differences))),
        ("quality", "Measurement", ""),
        ("provenance", "Provenance", ""),
        ("logs", "Steps and logs", ""),
    ]
