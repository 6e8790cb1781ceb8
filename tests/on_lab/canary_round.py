"""Runs on the manager node: one part of a canary's life, its outcome as one line of JSON at the end.

canary_round.py up|migrate|facts|clean RUN
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rehearsal import beacon
from rehearsal.canaries import clean
from rehearsal.canaries import domainjob
from rehearsal.canaries import making
from rehearsal.canaries import migration
from rehearsal.canaries.ledger import Ledger
from rehearsal.canaries.model import Wish
from rehearsal.cloud import discover
from rehearsal.cloud import facts as cloudfacts
from rehearsal.cloud import options
from rehearsal.cloud.connection import connect
from rehearsal.hosts import ssh as hosts
from rehearsal.recording.naming import run_of


def told(text: object) -> None:
    print(text, flush=True)


def ledger(run: str) -> Ledger:
    """Every part is a process of its own: what one made, another must know."""
    return Ledger(run, Path(tempfile.gettempdir()) / f"canary-round-{run}.jsonl")


def forget(_: object) -> None:
    pass


def up(connection: Any, run: str) -> Any:
    key = Path(discover(options.from_environment()).operator_key + ".pub")
    public_key = key.read_text().strip() if key.is_file() else ""
    made = making.put_up(connection, run, Wish(public_key=public_key, timeout_s=400), forget, told, ledger=ledger(run))
    return {"up": [dataclasses.asdict(each) for each in made.up], "missing": made.missing}


def killed(connection: Any, run: str) -> Any:
    """Make canaries, and die as by `kill -9` right after the first server was requested."""

    def last_words(text: str) -> None:
        told(text)
        if text.startswith("requested"):
            os.kill(os.getpid(), signal.SIGKILL)

    making.put_up(connection, run, Wish(timeout_s=400), forget, last_words, ledger=ledger(run))


def migrate(connection: Any, run: str) -> Any:
    """One migration, with the sequence of ICMP beside it as `fping` saw it."""
    made = making.put_up(connection, run, Wish(timeout_s=200), forget, told, ledger=ledger(run))
    moves, unmoved = migration.plan_moves(connection, made.up[:1], "test")
    told(unmoved)
    target = discover(options.from_environment())
    with contextlib.closing(hosts.Ssh(target)) as ssh:
        account = functools.partial(domainjob.completed, ssh, target)
        ended = migration.migrate(connection, moves[0], forget, told, account=account)
    time.sleep(2)
    after, after_v6 = (
        beacon.hear(address, made.up[0].facts_port).facts for address in (made.up[0].address, made.up[0].address_v6)
    )
    return {"move": moves[0].source, "ended": dataclasses.asdict(ended), "facts": after, "over_ipv6": after_v6}


def facts(connection: Any, run: str) -> Any:
    found = cloudfacts.cloud_facts(connection, run)
    return {"facts": found.facts, "error": found.error}


def cleaned(connection: Any, run: str) -> Any:
    book = ledger(run).made()
    done = clean.clean(connection, book, told)
    seen = clean.survey(connection, [book])
    there = [str(each) for each in (*seen.ours, *seen.others) if run_of(each.seen.name) == run]
    return {"removed": done.removed, "left": done.left, "there": there}


PARTS = {"up": up, "killed": killed, "migrate": migrate, "facts": facts, "clean": cleaned}

if __name__ == "__main__":
    outcome = PARTS[sys.argv[1]](connect(discover(options.from_environment())), sys.argv[2])
    print(json.dumps(outcome))
