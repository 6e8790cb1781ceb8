"""One look at a host: what each part of it shows. This module and the parts travel to the host, and run there as root.

A look only reads, with the standard library of Python 3.8 or newer, and prints one JSON object: what each part showed,
below its name. A part that cannot be observed says why below `errors`; the other parts still count. A part registers
itself by `@part`; what its function is said to return is what the view of the host has.

Argument: a JSON object with `peers` ({host: address} of the other compute nodes) and `ask_health` (whether a container
whose health is not decided yet is asked its own health check at once: Docker asks for the first time after a whole interval)
and `parts` (the names of those that are wanted; empty: all).
"""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import TYPE_CHECKING
from typing import Any
from typing import TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    T = TypeVar("T")

PARTS: list[Callable[[Look], Any]] = []
"""What is looked at; a part may ask for what another one shows."""


class Look:
    """What the parts have shown so far, each looked at once, whatever became of it."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        self.arguments = arguments
        self.seen: dict[str, Any] = {}
        self.errors: dict[str, str] = {}

    def show(self, part: Callable[[Look], T]) -> T | None:
        """Return what a part shows, or None if it cannot be observed."""
        name = part.__name__
        if name not in self.seen and name not in self.errors:
            try:
                self.seen[name] = part(self)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told and the next part is looked at
                self.errors[name] = f"{type(error).__name__}: {error}"
        return self.seen.get(name)


def part(function: Callable[[Look], T]) -> Callable[[Look], T]:
    """Register a part of the look under the function's own name."""
    PARTS.append(function)
    return function


def look(arguments: dict[str, Any]) -> dict[str, Any]:
    """Look once; each part on its own, so that one that fails does not hide the others."""
    looking = Look(arguments)
    wanted = arguments.get("parts") or [each.__name__ for each in PARTS]
    for each in PARTS:
        if each.__name__ in wanted:
            looking.show(each)
    return {**looking.seen, "errors": looking.errors}


def main() -> None:
    """Print what there is to see, as JSON."""
    print(json.dumps(look(json.loads(sys.argv[1])), default=dataclasses.asdict))
