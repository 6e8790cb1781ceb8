"""The table of faults: each registers itself beside the code that makes it, with what it turns red.

Modules of this package are all read when the package is: a new one needs no entry anywhere.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING
from typing import Any
from typing import NamedTuple

from lab.faults.ground import FaultError

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Mapping
    from collections.abc import Sequence

    from lab.faults.ground import Ground

    Deed = Callable[[Ground, Mapping[str, str]], Any]


class Red(NamedTuple):
    """What a fault made with its usual arguments turns red: a check, and where (empty if the check names no such thing).

    `of` is a container, else a service.
    """

    check: str
    host: str = ""
    of: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. An argument's default of None means that it must be given. `exact`: given a length, it mends itself on the node.

    `settles_s`: how long the cloud itself needs until it can know; `ask`: a command on the manager that must be given
    before it can, after each quarter of that time.
    """

    name: str
    break_: Callable[..., Any]
    text: str
    reds: tuple[Red, ...]
    arguments: Mapping[str, str | None] = field(default_factory=dict)
    exact: bool = False
    settles_s: float = 0.0
    ask: str = ""

    @property
    def mend(self) -> Deed:
        """What takes it back."""
        return _MENDS[self.name]

    @property
    def checks(self) -> tuple[str, ...]:
        """The checks that it turns red, in the order in which they are declared."""
        return tuple(dict.fromkeys(red.check for red in self.reds))

    def red(self, check: str) -> Red:
        """Where it turns this check red; for checks that it turns red in one place."""
        (found,) = (red for red in self.reds if red.check == check)
        return found


FAULTS: dict[str, Fault] = {}
_MENDS: dict[str, Deed] = {}


def fault(
    name: str, *, reds: Sequence[Red], arguments: Mapping[str, str | None] | None = None, exact: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the function that makes a fault; its docstring says what the fault is."""

    def register(break_: Callable[..., Any]) -> Callable[..., Any]:
        text = inspect.getdoc(break_) or ""
        _add(Fault(name, break_, text, tuple(reds), arguments or {}, exact))
        return break_

    return register


def mends(name: str) -> Callable[[Deed], Deed]:
    """Register the function that takes this fault back."""

    def register(mend: Deed) -> Deed:
        _MENDS[name] = mend
        return mend

    return register


def script(  # noqa: PLR0913 -- keyword arguments with defaults
    name: str,
    text: str,
    node: str,
    *,
    break_: str,
    mend: str,
    reds: Sequence[Red],
    settles_s: float = 0.0,
    ask: str = "",
) -> None:
    """Register a fault without arguments that is a shell script on one node, and its end another."""

    def make(ground: Ground, _given: Mapping[str, str]) -> str:
        if ground.noted(name, node) is not None:
            raise FaultError(f"{name} is made already; mend it first")
        ground.note(name, node, {})
        ground.run(node, ["sh", "-ec", break_], timeout_s=120)
        return f"made on {node}"

    def unmake(ground: Ground, _given: Mapping[str, str]) -> str:
        if ground.noted(name, node) is None:
            return "it is not made"
        ground.run(node, ["sh", "-ec", mend], timeout_s=120)
        ground.forget(name, node)
        return f"mended on {node}"

    _MENDS[name] = unmake
    _add(Fault(name, make, text, tuple(reds), settles_s=settles_s, ask=ask))


def _add(made: Fault) -> None:
    if made.name in FAULTS:
        raise ValueError(f"two faults are called {made.name}")
    FAULTS[made.name] = made
