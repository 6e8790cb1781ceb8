"""What a check expected and what it observed, as data, so that a report never has to read the text of an assertion.

A claim about a cloud is judged by a pure function that returns an `Expectation`, or raises `NotObserved` when the facts
do not suffice. A suite's test hands the result to `expect`. Nothing here tries anything again. (It travels to hosts with the
parts of a look: no slots before Python 3.10.)
"""

from __future__ import annotations

from dataclasses import dataclass


class NotObserved(Exception):  # noqa: N818 - it is no error: it is the third outcome
    """The facts do not suffice to judge the claim: the outcome is unknown, and the text says why."""


@dataclass(frozen=True)
class Expectation:
    """One claim, judged: what should be, what is, and where. `holds` says whether the claim is true."""

    expected: str
    observed: str
    holds: bool
    host: str = ""
    container: str = ""
    service: str = ""

    @property
    def sentence(self) -> str:
        """One line for people: where, what should be, what is."""
        where = " ".join(word for word in (self.host, self.container or self.service) if word)
        return f"{where + ': ' if where else ''}expected {self.expected}; observed {self.observed}"


def same(expected: object, observed: object, *, host: str = "", container: str = "", service: str = "") -> Expectation:
    """Judge that two things are equal."""
    return Expectation(str(expected), str(observed), expected == observed, host, container, service)


_seen: list[Expectation] = []


def expect(judged: Expectation) -> None:
    """State a judged claim in a test: the recorder keeps it, and it fails the test unless it holds."""
    __tracebackhide__ = True
    _seen.append(judged)
    if not judged.holds:
        raise AssertionError(judged.sentence)


def take() -> Expectation | None:
    """Return the expectation that decides since the last call (the first that does not hold, else the last), and forget."""
    decisive = next((judged for judged in _seen if not judged.holds), _seen[-1] if _seen else None)
    _seen.clear()
    return decisive
