"""The command `rehearse-lab`: up, down, status, exec, break, mend.

Exit codes: 0 done (for `status`: healthy), 1 failed (for `status`: not healthy), 64 usage or an unfit machine, 70 internal;
`exec` ends with the command's own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING
from typing import NoReturn

from lab import deploy
from lab import faults
from lab import guest
from lab import kolla
from lab import layout
from lab import lifecycle
from lab import nodes
from lab import status
from lab.manager.compose import ManagerError
from lab.unfit import UnfitError
from rehearsal.figures import say as lengths
from rehearsal.runner import progress

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterator
    from collections.abc import Sequence

USAGE = 64
INTERNAL = 70


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        print(f"rehearse-lab: {message}", file=sys.stderr)
        raise SystemExit(USAGE)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="rehearse-lab",
        description="The embedded cloud that rehearsals are tried on: OpenStack 2024.2 as OSISM 9.5 deploys it.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="bring the lab up; on a running lab, repair what is missing")
    up.add_argument(
        "--fresh", action="store_true", help="tear a running lab down first: a new cloud at the release to upgrade from"
    )
    commands.add_parser("down", help="remove everything that runs; downloads and caches stay")
    status = commands.add_parser("status", help="say what is not healthy; exit code 0 only if everything is")
    status.add_argument("--verbose", "-v", action="store_true", help="list every container")
    execute = commands.add_parser("exec", help="run a command on a node: rehearse-lab exec NODE -- COMMAND ...")
    execute.add_argument("--operator", action="store_true", help=f"as {layout.OPERATOR} instead of root")
    execute.add_argument(
        "node",
        choices=[node.name for node in layout.NODES],
        metavar="NODE",
        help=", ".join(node.name for node in layout.NODES),
    )
    execute.add_argument("argv", nargs="+", metavar="COMMAND")
    for name, text in (("break", "make a real fault on the nodes"), ("mend", "take a fault back")):
        fault = commands.add_parser(
            name, help=f"{text}: rehearse-lab {name} FAULT [ARGUMENT ...]; without FAULT, list them"
        )
        fault.add_argument("arguments", nargs=argparse.REMAINDER, metavar="FAULT")
    return parser


def main(argv: Sequence[str] | None = None) -> int:  # noqa: PLR0911 -- one exit code per kind of failure
    """Entry point of `rehearse-lab`; errors for operators are one sentence, without a traceback."""
    options = _parser().parse_args(argv)
    state = layout.state()
    # Debian's own programs, not whatever else is first in the caller's PATH (another Docker client, another Python).
    os.environ["PATH"] = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
    commands: dict[str, Callable[[], int]] = {
        "up": lambda: _up(state, fresh=options.fresh),
        "down": lambda: _down(state),
        "status": lambda: _status(state, verbose=options.verbose),
        "exec": lambda: _exec(state, options.node, options.argv, operator=options.operator),
        "break": lambda: _fault("break", options.arguments),
        "mend": lambda: _fault("mend", options.arguments),
    }
    try:
        return commands[options.command]()
    except (UnfitError, nodes.NodeError) as error:
        print(f"rehearse-lab: {error}", file=sys.stderr)
        return USAGE
    except (
        deploy.DeployError,
        guest.GuestError,
        kolla.NotHealthyError,
        kolla.PullError,
        kolla.RecreateError,
        lifecycle.BusyError,
        lifecycle.RemainsError,
        ManagerError,
    ) as error:
        print(f"rehearse-lab: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        words = (error.stderr or error.stdout or "no output").strip().splitlines()
        print(
            f"rehearse-lab: a command failed with {error.returncode}: {' '.join(map(str, error.cmd))[:200]}: {words[-1] if words else 'no output'}",
            file=sys.stderr,
        )
        return 1
    except subprocess.TimeoutExpired as error:
        print(
            f"rehearse-lab: a command did not end within {error.timeout:.0f} s: {' '.join(map(str, error.cmd))[:200]}",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("rehearse-lab: interrupted; clear the remains with: rehearse-lab down", file=sys.stderr)
        return 130
    except Exception as error:  # noqa: BLE001 -- an operator gets a sentence; the traceback is in the log
        log = state.log / "internal-error.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(traceback.format_exc())
        print(
            f"rehearse-lab: internal error: {type(error).__name__}: {str(error)[:200]}; the traceback is in {log}",
            file=sys.stderr,
        )
        return INTERNAL


@contextmanager
def _progress(doing: str) -> Iterator[deploy.Say]:
    """Give what prints a line for each thing that is done; a terminal also shows how long the next one has taken so far."""
    begun_s = time.monotonic()
    last = [(begun_s, "")]

    def say(text: str) -> None:
        last[0] = (time.monotonic(), f" since: {text}")
        progress.say(f"{last[0][0] - begun_s:6.1f} s  {text}")

    def lines() -> list[str]:
        now_s = time.monotonic()
        return [f"{doing} · {lengths.lasted(now_s - begun_s)} · {lengths.lasted(now_s - last[0][0])}{last[0][1]}"]

    with progress.live(lines):
        yield say


def _up(state: layout.State, *, fresh: bool) -> int:
    with _progress("bringing the lab up") as say:
        lifecycle.up(state, say, fresh=fresh)
        say("the lab is up; try: rehearse-lab exec lab-manager -- osism --help")
    return 0


def _down(state: layout.State) -> int:
    if os.geteuid() != 0:
        raise UnfitError("Ending the lab's processes needs root; run it with sudo.")
    with _progress("taking the lab down") as say:
        lifecycle.down(state, say)
    return 0


def _status(state: layout.State, *, verbose: bool) -> int:
    if verbose:
        print("\n".join(status.describe(state)))
    found = status.problems(state)
    print("\n".join(found) if found else "healthy")
    return 1 if found else 0


def _exec(state: layout.State, node: str, argv: Sequence[str], *, operator: bool) -> int:
    if operator:
        argv = ["/usr/bin/sudo", "--login", "--user", layout.OPERATOR, "--", *argv]
    command = nodes.command(state, node, argv, terminal=True)
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606 -- the command takes this process over, exit code and all


def _fault(action: str, arguments: Sequence[str]) -> int:
    return faults.main([action, *arguments])
