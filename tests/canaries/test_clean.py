"""`rehearse clean` removes what the run's own record names and the cloud shows, asks before, and touches nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal import cli
from rehearsal.canaries import clean as cleaning
from rehearsal.canaries import ledger
from rehearsal.canaries import making
from rehearsal.canaries.ledger import Ledger
from rehearsal.canaries.ledger import LedgerError
from rehearsal.canaries.model import Wish
from rehearsal.cli import after
from rehearsal.recording import rundir
from rehearsal.recording.naming import description_of
from rehearsal.recording.naming import name_of
from rehearsal.runner import stepshell
from tests.made.fakecloud import Connection
from tests.made.fakecloud import FakeCloud
from tests.made.fakecloud import refusal
from tests.made.repository import as_arguments
from tests.made.repository import make_repository

if TYPE_CHECKING:
    from pathlib import Path

RUN, OTHER = "20261124T062448Z", "20261123T010203Z"
KINDS = (
    "servers",
    "networks",
    "routers",
    "ports",
    "security_groups",
    "images",
    "volumes",
    "server_groups",
    "subnet_pools",
)


def quiet(_: object) -> None:
    pass


def put_up(cloud: FakeCloud, book: Ledger) -> None:
    making.put_up(Connection(cloud), book.run, Wish(timeout_s=0, public_key="ssh-ed25519 A"), quiet, quiet, ledger=book)


def own_project(cloud: FakeCloud) -> str:
    return next(project.id for project in cloud.things["projects"].values() if project.name == name_of(RUN))


names = st.one_of(
    st.sampled_from(
        [
            name_of(RUN), name_of(RUN, "network"), name_of(RUN, "canary-host-a"), name_of(RUN, "router"), name_of(RUN, "write-1"),
            name_of(RUN, "group"), name_of(OTHER, "network"), f"{name_of(RUN, 'network')} ", "rehearse-", "web", "",
        ]
    ),
    st.from_regex(rf"rehearse-{RUN}-[a-z]{{1,6}}", fullmatch=True),
)  # fmt: skip
look_alikes = st.lists(
    st.tuples(
        st.sampled_from(KINDS), names, st.sampled_from(["", description_of(RUN), description_of(OTHER), "mine"]),
        st.sampled_from(["customer", "admin", "ours"]),
    ),
    max_size=12,
)  # fmt: skip


@given(look_alikes, st.booleans(), st.booleans())
def test_a_look_alike_is_never_touched(others: list[tuple[str, str, str, str]], before: bool, forbid: bool) -> None:
    """Whatever others have, wherever it is and whatever it is called: it is there afterwards, and what the run made is not."""
    cloud, book = FakeCloud(), Ledger(RUN)
    cloud.forbid_projects = forbid
    made_by_others: list[str] = []

    def keep(where: tuple[str, ...]) -> None:
        for kind, name, description, place in others:
            if place in where:
                project = {"customer": "c", "admin": cloud.own.id}.get(place) or own_project(cloud)
                thing = cloud.thing(
                    name=name, description=description, project_id=project, metadata={"rehearse_run": RUN}
                )
                made_by_others.append(cloud.keep(kind, thing).id)

    customer = cloud.keep(
        "projects", cloud.thing(name=name_of(RUN), domain_id="another", description=description_of(RUN))
    )
    made_by_others.append(customer.id)
    if before:
        keep(("customer",))
    put_up(cloud, book)
    keep(("admin",) if forbid else ("admin", "ours"))
    if not before:
        keep(("customer",))
    ours = {key for _, key in book.made().ids}

    shown = cleaning.survey(Connection(cloud), [book.made()])
    assert ours == {thing.seen.id for thing in shown.ours}
    cleaning.clean(Connection(cloud), book.made(), quiet, wait_s=0)

    there = {made.id for store in cloud.things.values() for made in store.values()}
    assert set(made_by_others) <= there


def test_what_somebody_put_into_our_project_keeps_it_there_and_is_named(tmp_path: Path) -> None:
    """A project is not removed around somebody's server; ours go."""
    cloud, book = FakeCloud(), Ledger(RUN, tmp_path / "made.jsonl")
    put_up(cloud, book)
    project = own_project(cloud)
    cloud.keep("servers", cloud.thing(name="by-hand", project_id=project))
    shown = cleaning.survey(Connection(cloud), [book.made()])
    assert "server by-hand" in map(str, shown.others)
    left = cleaning.clean(Connection(cloud), ledger.read(RUN, tmp_path / "made.jsonl"), quiet, wait_s=0).left
    assert [f"project {name_of(RUN)}: it holds what this run did not make: server by-hand"] == left
    assert [] == [made.name for made in cloud.things["networks"].values() if made.project_id == project]


def test_a_name_that_was_refused_is_not_ours() -> None:
    """If the cloud says that there is one already, that one is somebody's."""
    cloud, book = FakeCloud(), Ledger(RUN)

    def refused(**_: object) -> None:
        raise refusal("Key pair exists", 409)

    with pytest.raises(Exception, match="exists"):
        book.make("key pair", "p", refused, {"name": name_of(RUN, "key")})
    cloud.things["keypairs"]["k"] = cloud.thing(name=name_of(RUN, "key"))
    assert () == cleaning.survey(Connection(cloud), [book.made()]).ours


def test_a_record_alone_is_not_enough(tmp_path: Path) -> None:
    """A record that names a customer's server removes nothing: the server does not say that the run made it."""
    cloud = FakeCloud()
    server = cloud.keep("servers", cloud.thing(name="database", project_id=cloud.own.id))
    path = tmp_path / "made.jsonl"
    path.write_text(json.dumps({"asked": "server", "name": "database", "scope": cloud.own.id, "id": server.id}) + "\n")
    assert () == cleaning.survey(Connection(cloud), [ledger.read(RUN, path)]).ours


@pytest.mark.parametrize("how", ["link", "pipe", "directory"])
def test_a_record_that_is_no_plain_file_is_none(tmp_path: Path, how: str) -> None:
    """Links, pipes and the like are refused at once."""
    path = tmp_path / "made.jsonl"
    if how == "link":
        path.symlink_to("/etc/passwd")
    elif how == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(LedgerError):
        ledger.read(RUN, path)


@given(st.binary(max_size=200))
def test_a_damaged_record_claims_nothing(data: bytes) -> None:
    """What cannot be read is no claim, and no traceback."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.jsonl"
        path.write_bytes(data)
        assert frozenset() == ledger.read(RUN, path).ids


# --- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def cleanable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[FakeCloud, rundir.RunDirectory, list[str]]:
    cloud = FakeCloud()
    run = rundir.RunDirectory(tmp_path / "reports" / RUN)
    run.path.mkdir(parents=True)
    run.make()
    put_up(cloud, Ledger(RUN, run.made))
    monkeypatch.setattr(after, "connect", lambda _: Connection(cloud))
    monkeypatch.setattr(cleaning, "_POLL_S", 0)
    words = ["clean", *as_arguments(make_repository(tmp_path)), "--reports", str(tmp_path / "reports")]
    return cloud, run, words


def test_clean_shows_asks_and_without_a_yes_does_nothing(cleanable, capsys, monkeypatch) -> None:
    """What would be removed is shown; no, no terminal and no answer leave it; another run's things are told."""
    cloud, _, words = cleanable
    cloud.keep("networks", cloud.thing(name=name_of(OTHER, "network"), project_id=cloud.own.id))
    names = cloud.names()
    assert 64 == cli.main(words)
    told = capsys.readouterr()
    assert f"  network {name_of(RUN, 'network')}" in told.out
    assert f"left alone: network {name_of(OTHER, 'network')}" in told.out
    assert OTHER in told.out
    assert "--yes" in told.err
    monkeypatch.setattr(after, "ask", lambda _: "no")
    assert 1 == cli.main(words)
    assert names == cloud.names()
    monkeypatch.setattr(after, "ask", lambda _: "yes")
    assert 0 == cli.main([*words, RUN])
    assert [f"networks {name_of(OTHER, 'network')}"] == [name for name in cloud.names() if "rehearse" in name]


def test_a_run_without_a_record_here_is_told_and_left(cleanable, capsys) -> None:
    """By its id alone nothing is removed: a name is no proof."""
    cloud, run, words = cleanable
    names = cloud.names()
    run.made.rename(run.path.parent / "elsewhere.jsonl")
    assert 0 == cli.main([*words, "--yes"])
    assert 0 == cli.main([*words, "--yes", OTHER])
    assert "no record of run" in capsys.readouterr().err
    assert names == cloud.names()


HOLD = """
import sys, time
from pathlib import Path
from rehearsal.runner import lock
from rehearsal.recording.rundir import RunDirectory
with lock.held(RunDirectory(Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_run_that_is_going_on_is_refused_and_one_that_was_killed_is_not(cleanable, capsys) -> None:
    """While a runner lives nothing is removed; `kill -9` leaves a lock file that counts for nothing."""
    cloud, run, words = cleanable
    names = cloud.names()
    runner = subprocess.Popen([sys.executable, "-c", HOLD, str(run.path)], stdout=subprocess.PIPE)
    assert runner.stdout is not None
    assert b"held\n" == runner.stdout.readline()
    try:
        assert 64 == cli.main([*words, "--yes"])
        told = capsys.readouterr().err
        assert f"Run {RUN} is still running (process {runner.pid}" in told
        assert "Nothing was removed" in told
        assert names == cloud.names()
    finally:
        runner.send_signal(signal.SIGKILL)
        runner.wait()
        runner.stdout.close()
    assert (run.path / ".runner-lock").stat().st_size
    assert 0 == cli.main([*words, "--yes"])
    assert not [name for name in cloud.names() if RUN in name]


def test_a_step_that_outlived_its_runner_is_a_run_that_is_going_on(cleanable, capsys) -> None:
    """The runner was killed, its step's command was not; a process number that was used again is nobody."""
    cloud, run, words = cleanable
    names = cloud.names()
    with subprocess.Popen(["sleep", "60"]) as step:
        stepshell.write_json(run.logs / "nova.1.pid", stepshell.identity(step.pid))
        time.sleep(0.05)
        assert 64 == cli.main([*words, "--yes"])
        assert "Step nova of run" in capsys.readouterr().err
        assert names == cloud.names()
        step.kill()
    stepshell.write_json(run.logs / "nova.1.pid", {**stepshell.identity(os.getpid()), "boot_id": "another boot"})
    assert 0 == cli.main([*words, "--yes"])


@pytest.mark.parametrize("how", ["link", "pipe"])
def test_a_lock_that_leads_elsewhere_is_not_followed(cleanable, capsys, tmp_path, how) -> None:
    """The lock of somebody else's run directory truncates no file and hangs nowhere."""
    _, run, words = cleanable
    victim = tmp_path / "victim"
    victim.write_text("precious")
    lock = run.path / ".runner-lock"
    if how == "link":
        lock.symlink_to(victim)
    else:
        os.mkfifo(lock)
    assert 64 == cli.main([*words, "--yes"])
    assert ".runner-lock" in capsys.readouterr().err
    assert "precious" == victim.read_text()
