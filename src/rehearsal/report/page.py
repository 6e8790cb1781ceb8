"""The page: results and drawings handed to the templates, which escape everything that they print."""

from __future__ import annotations

from datetime import UTC
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING
from typing import Any

import jinja2
from markupsafe import Markup

from rehearsal.figures.outcome import Outcome
from rehearsal.judging.grades import CLEAN_LEAST
from rehearsal.judging.rooms import LOG
from rehearsal.judging.rooms import Rooms
from rehearsal.report import headline
from rehearsal.report import printed
from rehearsal.report.clock import Clock
from rehearsal.report.section import Page
from rehearsal.report.sections import in_order
from rehearsal.report.sections import matrix
from rehearsal.report.texts import plain
from rehearsal.report.texts import shortened

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from rehearsal.judging.results import Results
    from rehearsal.report.section import Section


def render(results: Results, run_dir: Path, rooms: Rooms | None = None) -> str:
    """Return the whole report as one HTML page; the run directory is read only for its logs and names of files.

    A section that raises is replaced by a sentence, and `rooms` has its traceback.
    """
    rooms = rooms or Rooms()
    page = Page(results, Clock(tuple(sorted(results.clock_pairs)), results.began_ns), run_dir)
    environment = _templates()
    shared: dict[str, Any] = {"r": results, "clock": page.clock, "at": page.clock.at}
    shared["f"] = environment.get_template("figures.html").make_module(shared)
    sections = dict(in_order())
    return environment.get_template("page.html").render(
        **shared,
        mast=_mast(environment, results, shared, rooms),
        sections=rooms.rows("page: contents", "the list of contents", lambda: _contents(sections.values(), results)),
        shown=[_section(environment, module, section, page, shared, rooms) for module, section in sections.items()],
    )


def _contents(sections: Iterable[Section], results: Results) -> list[tuple[str, str, str]]:
    return [(section.anchor, section.name, section.tally(results)) for section in sections]


def _section(  # noqa: PLR0913, PLR0917 - what a section is made of
    environment: jinja2.Environment, module: str, section: Section, page: Page, shared: dict[str, Any], rooms: Rooms
) -> Markup:
    def made() -> str:
        return environment.get_template(f"sections/{module}.html").render(**shared, **section.parts(page))

    text = rooms.ask(f"page: {section.anchor}", f"the section “{section.name}” of the page", made, None)
    if text is not None:
        return Markup(text)  # noqa: S704 - made by a template, which escapes
    gone = (
        "This section could not be written: rehearse failed while making it. What was measured and judged is not touched, "
        "and stands in {}; what failed stands in {}."
    )
    sentence = Markup('<section id="{}"><h2>{}</h2><p class="none">{}</p></section>')
    return sentence.format(section.anchor, section.name, gone.format("results.json", LOG))


def _mast(environment: jinja2.Environment, results: Results, shared: dict[str, Any], rooms: Rooms) -> Markup:
    """Return the head of the page; if it cannot be made as it should be, at least the verdict."""
    clock: Clock = shared["clock"]

    def made() -> str:
        return environment.get_template("mast.html").render(
            **shared,
            kind=headline.KINDS.get(results.mode, f"Only the {results.mode} suite"),
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
