"""The few SVG shapes that the drawings are made of. Everything that comes from outside is escaped here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from rehearsal.report.texts import plain

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Scale:
    """Instants (ns) between `from_ns` and `to_ns` as horizontal positions between `left` and `right`."""

    from_ns: int
    to_ns: int
    left: float
    right: float

    def x(self, t_ns: int) -> float:
        """Return the position of an instant; what lies outside is put on the edge."""
        span = max(1, self.to_ns - self.from_ns)
        inside = min(max(t_ns, self.from_ns), self.to_ns) - self.from_ns
        return self.left + (self.right - self.left) * inside / span


def number(value: float) -> str:
    """Return a coordinate with at most one decimal, as short as possible: drawings are as wide as a page, in pixels."""
    whole = f"{value:.1f}"
    return "0" if whole in {"0.0", "-0.0"} else whole.removesuffix(".0")


def text(x: float, y: float, content: str, css: str = "", anchor: str = "start") -> Markup:
    """Return one line of text; `anchor` is start, middle or end."""
    return Markup('<text x="{}" y="{}" class="{}" text-anchor="{}">{}</text>').format(
        number(x), number(y), css, anchor, plain(content)
    )


def box(x: float, y: float, wide: float, high: float, css: str, tip: str = "") -> Markup:  # noqa: PLR0913, PLR0917 - that is what a rectangle is
    """Return a rectangle, with a tip that browsers show under the pointer."""
    title = Markup("<title>{}</title>").format(plain(tip)) if tip else Markup("")
    return Markup('<rect x="{}" y="{}" width="{}" height="{}" class="{}">{}</rect>').format(
        number(x), number(y), number(max(0.0, wide)), number(high), css, title
    )


def line(x1: float, y1: float, x2: float, y2: float, css: str) -> Markup:
    """Return a straight line."""
    return Markup('<path d="M{} {}L{} {}" class="{}"/>').format(number(x1), number(y1), number(x2), number(y2), css)


def dashes(spans: Iterable[tuple[float, float]], y: float, css: str, *, thick: float = 0.0, tip: str = "") -> Markup:
    """Return many horizontal pieces (from x, to x) as one path; its class gives the thickness, unless `thick` does.

    Positions are tenths; every piece after the first is told relative to the one before it, which is shorter.
    """
    data: list[str] = []
    at = 0
    for begin, end in spans:
        left, right = round(begin * 10), round(end * 10)
        data.append(f"m{number((left - at) / 10)} 0" if data else f"M{number(left / 10)} {number(y)}")
        data.append(f"h{number((right - left) / 10)}")
        at = right
    if not data:
        return Markup("")
    width = Markup(' stroke-width="{}"').format(number(thick)) if thick else Markup("")
    title = Markup("<title>{}</title>").format(plain(tip)) if tip else Markup("")
    return Markup('<path d="{}" class="{}"{}>{}</path>').format("".join(data), css, width, title)


def curve(points: Iterable[tuple[float, float]], css: str) -> Markup:
    """Return a line through points."""
    data = "L".join(f"{number(x)} {number(y)}" for x, y in points)
    return Markup('<path d="M{}" class="{}"/>').format(data, css) if data else Markup("")


def drawing(wide: float, high: float, label: str, parts: Iterable[Markup], css: str = "") -> Markup:
    """Return a whole drawing with its accessible name."""
    return Markup(
        '<svg viewBox="0 0 {0} {1}" width="{0}" height="{1}" class="{2}" role="img" aria-label="{3}">{4}</svg>'
    ).format(number(wide), number(high), css, plain(label), Markup("").join(parts))
