"""The command line: `rehearse COMMAND`. Exit codes: 0 ok, 1 fail, 2 unknown, 64 usage or configuration, 70 internal.

================== ==================================================================
``inspect``        target, plan: what is there, what would be done
``running``        run, preflight, postflight
``calibrating``    calibrate: may this prober be trusted, here and now
``after``          report, export, clean, list
``usage``          arguments and errors that every command shares
================== ==================================================================
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import traceback
from datetime import UTC
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import rehearsal
from rehearsal.cli import after
from rehearsal.cli import calibrating
from rehearsal.cli import inspect
from rehearsal.cli import running
from rehearsal.cli.usage import INTERNAL
from rehearsal.cli.usage import USAGE
from rehearsal.cli.usage import Parser
from rehearsal.cli.usage import UsageError
from rehearsal.outside.redact import remember_environment
from rehearsal.outside.terminal import shown
from rehearsal.outside.terminal import warn
from rehearsal.plan import PlanError
from rehearsal.recording.journal import JournalError
from rehearsal.recording.private import private_files
from rehearsal.recording.rundir import RunNotFound
from rehearsal.recording.runfiles import RunFileRefused

if TYPE_CHECKING:
    from collections.abc import Sequence


def parser() -> Parser:
    """Return the parser of all commands."""
    top = Parser(
        prog="rehearse",
        description="Proves what an upgrade of an OSISM cloud costs its users.",
        epilog="Exit codes: 0 ok, 1 fail, 2 unknown, 64 usage or configuration, 70 internal error.",
    )
    top.add_argument("--version", action="version", version=f"rehearse {rehearsal.__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in (inspect, running, calibrating, after):
        module.add_commands(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command and return its exit code; what went wrong is one sentence on stderr."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    logging.getLogger().addHandler(logging.NullHandler())  # what libraries log is no part of a command's output
    remember_environment(os.environ)
    try:
        options = parser().parse_args(argv)
        options.argv = ["rehearse", *argv]
        with private_files():
            code: int = options.carry_out(options)
    except SystemExit as end:  # argparse: --help, --version, and its errors
        return end.code if isinstance(end.code, int) else USAGE
    except (UsageError, RunNotFound, PlanError, JournalError, RunFileRefused) as error:
        warn(str(error))
        return USAGE
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # a closed pager is no error
        return 0
    except KeyboardInterrupt:
        warn("Interrupted.")
        return 130
    except Exception as error:  # noqa: BLE001 - the last net: one sentence instead of a traceback
        warn(f"Internal error: {type(error).__name__}: {error}. Traceback: {_log_traceback()}")
        return INTERNAL
    return code


def _log_traceback() -> Path:
    """Write the traceback of the exception being handled to a file, and return its path."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    with tempfile.NamedTemporaryFile("w", prefix=f"rehearse-{stamp}-", suffix=".log", delete=False) as log:
        log.write(shown(traceback.format_exc()))
    return Path(log.name)
