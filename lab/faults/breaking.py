"""The command line of ``rehearse-lab break`` and ``mend``."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING
from typing import Any
from typing import NoReturn

from lab import deploy
from lab import kolla
from lab import nodes
from lab.faults.ground import FaultError
from lab.faults.ground import Ground
from lab.faults.table import FAULTS
from lab.faults.table import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Sequence

USAGE = 64


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        print(f"rehearse-lab: {message}", file=sys.stderr)
        raise SystemExit(USAGE)


def main(words: Sequence[str], ground: Ground | None = None) -> int:
    """``break NAME [ARGUMENT | name=value …] [--for SECONDS]`` or ``mend NAME [ARGUMENT …]``; the exit code."""
    parser = _Parser(prog="rehearse-lab", add_help=False)
    parser.add_argument("action", choices=["break", "mend"])
    parser.add_argument("fault", nargs="?")
    parser.add_argument("arguments", nargs="*")
    parser.add_argument("--for", dest="seconds", type=float, default=None, metavar="SECONDS")
    options = parser.parse_intermixed_args(list(words))
    ground = ground or Ground()
    if options.fault is None:
        print(listing(ground))
        return 0
    if options.fault not in FAULTS:
        print(f"rehearse-lab: no fault {options.fault}; there are {', '.join(FAULTS)}", file=sys.stderr)
        return USAGE
    fault = FAULTS[options.fault]
    try:
        given = bind(fault, options.arguments)
        if options.action == "mend":
            _tell(options.fault, fault.mend(ground, given))
        elif options.seconds is None:
            _tell(options.fault, fault.break_(ground, given))
        elif fault.exact:
            _tell(options.fault, fault.break_(ground, given, options.seconds))
        else:
            _for_a_while(fault, ground, given, options.seconds)
    except (
        FaultError,
        deploy.DeployError,
        kolla.PullError,
        kolla.RecreateError,
        kolla.NotHealthyError,
        nodes.NodeError,
    ) as error:
        print(f"rehearse-lab: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout or "").strip().splitlines()
        print(f"rehearse-lab: {' '.join(error.cmd)[:200]}: {lines[-1] if lines else error.returncode}", file=sys.stderr)
        return 1
    return 0


def _for_a_while(fault: Fault, ground: Ground, given: Mapping[str, str], seconds: float) -> None:
    begin_ns = time.monotonic_ns()
    _tell(fault.name, fault.break_(ground, given))
    began_ns = time.monotonic_ns()
    try:
        time.sleep(max(0.0, seconds - (time.monotonic_ns() - began_ns) / 1e9))
    finally:
        end_ns = time.monotonic_ns()
        _tell(fault.name, fault.mend(ground, given))
        ended_ns = time.monotonic_ns()
    _tell(
        fault.name,
        {
            "begin": {"before_ns": begin_ns, "after_ns": began_ns},
            "end": {"before_ns": end_ns, "after_ns": ended_ns},
        },
    )


def bind(fault: Fault, words: Sequence[str]) -> dict[str, str]:
    """Arguments by name from positional words and ``name=value``.

    Raises:
        FaultError: too many, unknown, or one is missing.

    """
    given: dict[str, str] = {}
    free = [word for word in words if word.partition("=")[0] not in fault.arguments or "=" not in word]
    for word in words:
        key, separator, value = word.partition("=")
        if separator and key in fault.arguments:
            given[key] = value
    open_names = [key for key in fault.arguments if key not in given]
    if len(free) > len(open_names):
        raise FaultError(f"{fault.name} takes {', '.join(fault.arguments)}; {free[len(open_names)]!r} is too much")
    given |= dict(zip(open_names, free, strict=False))
    for key, default in fault.arguments.items():
        if key not in given:
            if default is None:
                raise FaultError(f"{fault.name} needs {key}, as in: rehearse-lab break {fault.name} {key}=…")
            given[key] = default
    return given


def listing(ground: Ground) -> str:
    """Every fault with its arguments and what it is, and what is broken now."""
    lines = []
    for name, fault in FAULTS.items():
        arguments = " ".join(
            f"[{key}={value}]" if value is not None else f"{key}=…" for key, value in fault.arguments.items()
        )
        lines += [
            f"{name} {arguments} [--for SECONDS]",
            *(f"    {line}".rstrip() for line in fault.text.splitlines()),
            f"    Turns red: {', '.join(fault.checks)}",
            "",
        ]
    broken = ground.notes()
    lines.append("Broken now: " + (", ".join(f"{note['fault']} {note['key']}" for note in broken) or "nothing"))
    return "\n".join(lines)


def _tell(name: str, said: Any) -> None:
    if isinstance(said, str):
        print(f"{name}: {said}", flush=True)
    else:
        print(json.dumps({"fault": name, **said}), flush=True)
