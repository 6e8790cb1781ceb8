"""Which way datagrams were lost: the far side counts what arrives and sends its count back with each.

Between two answers the prober knows how many it sent, and the count how many of them arrived: those that did not were
lost on the way there, the others on the way back. Pure; times are monotonic ns of the prober.
"""

from __future__ import annotations

from dataclasses import dataclass

_TOGETHER_NS = 10_000_000_000  # losses that go on are told at least this often


@dataclass(slots=True)
class Loss:
    """Datagrams lost between two answers (sent at `from_ns` and `to_ns`), or in several gaps close together.

    `there` and `back` sum up to `lost`; both -1 if the far side did not count, or began to count anew.
    """

    from_ns: int
    to_ns: int
    lost: int
    there: int
    back: int
    begun_ns: int
    seen_ns: int


@dataclass(frozen=True, slots=True)
class _Answer:
    number: int
    count: int | None
    sent_ns: int


class Directions:
    """The losses of one probe. `patience_ns`: how long an answer that was overtaken may still come."""

    def __init__(self, patience_ns: int) -> None:
        self._patience_ns = patience_ns
        self._last: _Answer | None = None
        self._open: Loss | None = None

    def heard(self, number: int, count: int | None, sent_ns: int, now_ns: int) -> None:
        """Take the first answer to the datagram `number` (they are numbered in the order sent, without holes)."""
        last, answer = self._last, _Answer(number, count, sent_ns)
        if last is None:
            self._last = answer
            return
        if number <= last.number:
            self._overtaken()
            return
        self._last = answer
        missing = number - last.number - 1
        if not missing:
            return
        there = back = -1
        if count is not None and last.count is not None and count > last.count:
            back = min(missing, count - last.count - 1)
            there = missing - back
        gap = self._open
        if gap is None:
            self._open = Loss(last.sent_ns, sent_ns, missing, there, back, now_ns, now_ns)
            return
        known = gap.there >= 0 and there >= 0
        gap.to_ns, gap.seen_ns, gap.lost = sent_ns, now_ns, gap.lost + missing
        gap.there, gap.back = (gap.there + there, gap.back + back) if known else (-1, -1)

    def _overtaken(self) -> None:
        """An answer that was missing came after a later one: it was not lost."""
        gap = self._open
        if gap is None or not gap.lost:
            return
        gap.lost -= 1
        if gap.back > 0:
            gap.back -= 1
        elif gap.there > 0:
            gap.there -= 1

    def told(self, now_ns: int, *, at_once: bool = False) -> Loss | None:
        """Return a loss of which nothing can come any more, once."""
        gap = self._open
        if gap is None:
            return None
        over = now_ns - gap.seen_ns > self._patience_ns or now_ns - gap.begun_ns > _TOGETHER_NS
        if not (over or at_once):
            return None
        self._open = None
        return gap if gap.lost else None
