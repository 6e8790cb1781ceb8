"""Tests of canaries: made once, found again, removed whatever happened; and of what is chosen for them."""

from __future__ import annotations

import json
import socket
import socketserver
import threading
import time
from typing import TYPE_CHECKING
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal import beacon
from rehearsal.canaries import domainjob
from rehearsal.canaries import ledger
from rehearsal.canaries import making
from rehearsal.canaries import migration
from rehearsal.canaries import model
from rehearsal.canaries import suitable
from rehearsal.canaries.clean import clean
from rehearsal.canaries.ledger import Ledger
from rehearsal.cloud import facts as cloudfacts
from rehearsal.lanes.rates import rates_of
from rehearsal.outside import redact
from rehearsal.recording import events
from rehearsal.recording.naming import description_of
from rehearsal.recording.naming import name_of
from rehearsal.recording.naming import run_described
from rehearsal.recording.naming import run_of
from rehearsal.runner import declared
from tests.made.fakecloud import Connection
from tests.made.fakecloud import FakeCloud
from tests.made.fakecloud import Thing
from tests.made.fakecloud import refusal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUN = "20261124T062448Z"
BOOT = "b0000000-0000-4000-8000-000000000000"


class Beacon(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        facts = {"beacon": 1, "boot_id": BOOT, "uptime_s": time.monotonic(), "kind": "python"}
        self.request.sendall(json.dumps(facts).encode())


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Beacon) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def wish(port: int, **more: Any) -> model.Wish:
    return model.Wish(
        beacon=beacon.BeaconSettings(facts_port=port), public_key="ssh-ed25519 AAAA", **{"timeout_s": 5, **more}
    )


def quiet(_: object) -> None:
    pass


def test_one_canary_a_compute(port: int) -> None:
    """Every compute gets a canary; each is on its host and answers; records say so."""
    seen: list[events.Event] = []
    found = making.put_up(Connection(FakeCloud()), RUN, wish(port), seen.append, quiet)

    assert [(each.name, each.host) for each in found.up] == [
        ("canary-host-a", "host-a"),
        ("canary-host-b", "host-b"),
    ]
    assert found.missing == {}
    assert {each.boot_id for each in found.up} == {BOOT}
    ups = [each for each in seen if isinstance(each, events.CanaryUp)]
    assert ups == [model.up_event(each) for each in found.up]


@pytest.fixture
def ipv6(port: int) -> Iterator[None]:
    """Something at the IPv6 loopback that sends on to the beacon at the same port, as a guest with both families has it."""

    class OverIpv6(socketserver.ThreadingTCPServer):
        address_family = socket.AF_INET6

    with OverIpv6(("::1", port), Beacon) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


@pytest.mark.usefixtures("ipv6")
def test_ipv6_where_the_cloud_has_it(port: int) -> None:
    """A prefix from the default pool of IPv6; who answers there is recorded with both addresses, and probed at both."""
    cloud, seen = FakeCloud(), list[events.Event]()
    cloud.offer_ipv6()
    book = Ledger(RUN)
    found = making.put_up(Connection(cloud), RUN, wish(port), seen.append, quiet, ledger=book)

    made = next(each for each in cloud.things["subnets"].values() if each.name == name_of(RUN, "subnet-v6"))
    assert cloud.things["subnet_pools"][made.subnet_pool_id].name == "pool-True"
    assert [("127.0.0.1", "::1")] * 2 == [(each.address, each.address_v6) for each in found.up]
    assert ["192.0.2.10"] * 2 == [each.fixed_ip for each in found.up]
    assert [""] * 2 == [each.without_ipv6 for each in found.up]
    ups = [each for each in seen if isinstance(each, events.CanaryUp)]
    assert ups == [model.up_event(each) for each in found.up]
    probes = declared.canary_probes(found.up[0], {**rates_of({"icmp-v6": 7})})
    assert {("127.0.0.1", "icmp", 50), ("::1", "icmp", 7)} <= {
        (each.settings["address"], each.lane, round(each.samples_per_s)) for each in probes
    }
    assert {"canary-host-a tcp v6", "canary-host-a icmp v6", "canary-host-a icmp"} <= {each.name for each in probes}
    assert found == making.put_up(Connection(cloud), RUN, wish(port), quiet, quiet)
    assert [] == clean(Connection(cloud), book.made(), quiet, wait_s=5).left


@pytest.mark.parametrize(
    ("pool", "address", "said"),
    [
        (False, "::1", "There is no shared subnet pool of IPv6"),
        (True, "::2", "it has the address ::2, but is out of reach there: "),
    ],
)
def test_ipv6_that_cannot_be_had_is_said(port: int, pool: bool, address: str, said: str) -> None:
    """A cloud with IPv6 outside that gives its users none, or none that is routed to here: the canaries are there all the same."""
    cloud = FakeCloud()
    cloud.offer_ipv6(pool=pool)
    cloud.address_v6 = address
    found = making.put_up(Connection(cloud), RUN, wish(port, timeout_s=2), quiet, quiet)

    assert ["", ""] == [each.address_v6 for each in found.up]
    assert all(each.without_ipv6.startswith(said) for each in found.up)
    assert {} == found.missing


def test_everything_carries_the_run(port: int) -> None:
    """Whatever is made says by name or description which run made it."""
    cloud = FakeCloud()
    cloud.offer_ipv6()
    cloud.address_v6 = ""
    before = {made.id for store in cloud.things.values() for made in store.values()}
    making.put_up(Connection(cloud), RUN, wish(port), quiet, quiet)

    for store in cloud.things.values():
        for made in store.values():
            automatic = made.name == "default" or made.device_owner == "network:router_interface"
            if made.id not in before and not automatic:
                assert RUN in (run_of(made.name), run_described(made.description))


def test_twice_makes_once(port: int) -> None:
    """Canaries that are there are found again."""
    cloud = FakeCloud()
    first = making.put_up(Connection(cloud), RUN, wish(port), quiet, quiet)
    names = cloud.names()
    second = making.put_up(Connection(cloud), RUN, wish(port), quiet, quiet)

    assert second == first
    assert cloud.names() == names


def test_clean_leaves_what_was_there_before(port: int) -> None:
    """After cleaning, the cloud holds exactly what it held before, and another run's things."""
    cloud = FakeCloud()
    cloud.offer_ipv6()
    cloud.address_v6 = ""
    before = cloud.names()
    first, second = Ledger(f"{RUN}-2"), Ledger(RUN)
    making.put_up(Connection(cloud), f"{RUN}-2", wish(port), quiet, quiet, ledger=first)
    others = cloud.names()
    making.put_up(Connection(cloud), RUN, wish(port), quiet, quiet, ledger=second)

    cleaned = clean(Connection(cloud), second.made(), quiet, wait_s=5)
    assert cleaned.left == []
    assert cloud.names() == others
    assert clean(Connection(cloud), [first.made(), second.made()], quiet, wait_s=5).left == []
    assert cloud.names() == before


@pytest.mark.parametrize("with_project", [True, False])
def test_what_writes_left_behind_is_found_by_its_name_also_without_its_project(port: int, with_project: bool) -> None:
    """Whatever the write lane could not delete goes with `clean`, also if the project that it belonged to is gone."""
    cloud, book = FakeCloud(), Ledger(RUN)
    project = "a project that is gone"
    if with_project:
        found = making.put_up(Connection(cloud), RUN, wish(port), quiet, quiet, ledger=book)
        assert found.author
        project = found.author.project_id
    book.writes(name_of(RUN, "write"), project, "user")
    kinds = {
        "images": "name",
        "server_groups": "name",
        "subnet_pools": "name",
        "volumes": "name",
        "credentials": "type",
    }
    for kind, called in kinds.items():
        cloud.keep(kind, cloud.thing(**{called: name_of(RUN, "write-7"), "project_id": project}))
        cloud.keep(kind, cloud.thing(**{called: name_of(RUN, "write-7"), "project_id": "a customer's"}))
        cloud.keep(kind, cloud.thing(**{called: "somebody's", "project_id": "p"}))

    assert clean(Connection(cloud), book.made(), quiet, wait_s=5).left == []

    assert {"a customer's", "p"} == {made.project_id for kind in kinds for made in cloud.things[kind].values()}
    assert [len(cloud.things[kind]) for kind in kinds] == [2] * len(kinds)


def test_a_key_that_nova_does_not_take_keeps_no_canary_away(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator's key is for looking into canaries; without it they are made all the same, and that is told."""
    cloud = FakeCloud()

    def refused(*_: object, **__: object) -> None:
        raise refusal("Keypair data is invalid", 400)

    monkeypatch.setattr(type(Connection(cloud).compute), "create_keypair", refused)
    told: list[str] = []
    found = making.put_up(Connection(cloud), RUN, wish(port), quiet, told.append)
    assert found.up
    assert any("logging in to the canaries" in text for text in told)


def test_only_a_user_of_their_own_writes(port: int) -> None:
    """The write lane gets the canaries' own user and project; where there is no such project, nobody."""
    cloud = FakeCloud()
    found = making.put_up(Connection(cloud), RUN, wish(port), quiet, quiet)
    own = next(project for project in cloud.things["projects"].values() if project.name == name_of(RUN))
    assert found.author is not None
    assert found.author.project_id == own.id
    token = found.author.issue()
    assert token not in repr(found)
    assert redact.HIDDEN == redact.redact_text(token)
    cloud = FakeCloud()
    cloud.forbid_projects = True
    assert making.put_up(Connection(cloud), RUN, wish(port), quiet, quiet).author is None


@pytest.mark.parametrize("forbid", [False, True])
def test_a_runner_killed_at_any_call_leaves_nothing_after_clean(port: int, forbid: bool, tmp_path: Path) -> None:
    """Whichever call a runner died in, `clean` brings back the cloud as it was, by the record that the runner left."""
    whole = FakeCloud()
    whole.forbid_projects = forbid
    making.put_up(Connection(whole), RUN, wish(port), quiet, quiet)
    assert whole.calls > 20

    for number in range(1, whole.calls + 1):
        cloud = FakeCloud()
        cloud.forbid_projects = forbid
        before = cloud.names()
        cloud.interrupt_after = number
        path = tmp_path / f"{forbid}-{number}.jsonl"
        with pytest.raises(KeyboardInterrupt):
            making.put_up(Connection(cloud), RUN, wish(port), quiet, quiet, ledger=Ledger(RUN, path))
        cloud.interrupt_after = 0
        assert clean(Connection(cloud), ledger.read(RUN, path), quiet, wait_s=5).left == []
        assert cloud.names() == before


def test_without_the_right_to_make_projects_the_own_project_is_used(port: int) -> None:
    """A 403 of keystone puts the canaries into the administrator's own project."""
    cloud = FakeCloud()
    cloud.forbid_projects = True
    found = making.put_up(Connection(cloud), RUN, wish(port), quiet, quiet)

    assert len(found.up) == 2
    assert {made.project_id for made in cloud.things["servers"].values()} == {cloud.own.id}


def test_a_compute_that_is_down_is_named(port: int) -> None:
    """A host whose nova-compute is down gets no canary and is named; the others do."""
    cloud = FakeCloud()
    cloud.services[1].state = "down"
    found = making.put_up(Connection(cloud), RUN, wish(port), quiet, quiet)

    assert {each.host for each in found.up} == {"host-a"}
    assert found.missing == {"host-b": "nova-compute on host-b is down"}


def test_no_compute_at_all_is_one_sentence(port: int) -> None:
    """Without any usable compute there is an error that names each."""
    cloud = FakeCloud()
    for service in cloud.services:
        service.status = "disabled"
    with pytest.raises(model.CanaryError, match="host-a is disabled; nova-compute on host-b is disabled"):
        making.put_up(Connection(cloud), RUN, wish(port), quiet, quiet)


def test_a_server_in_error_is_named_with_its_fault(port: int) -> None:
    """A server that goes to ERROR is missing, with Nova's own reason."""
    cloud = FakeCloud()
    cloud.fault = "No valid host was found."
    found = making.put_up(Connection(cloud), RUN, wish(port), quiet, quiet)

    assert found.up == ()
    assert "went to ERROR: No valid host was found." in found.missing["canary-host-a"]


def test_a_silent_canary_is_named_with_its_console() -> None:
    """A server that is ACTIVE but silent is missing, with the end of its console."""
    found = making.put_up(Connection(FakeCloud()), RUN, wish(1, timeout_s=1), quiet, quiet)

    assert found.up == ()
    assert "ACTIVE but silent" in found.missing["canary-host-a"]
    assert "the last line of the console" in found.missing["canary-host-a"]


def test_a_project_that_is_not_empty_is_named(port: int) -> None:
    """What cannot be removed in time is named with the reason."""
    cloud, book = FakeCloud(), Ledger(RUN)
    making.put_up(Connection(cloud), RUN, wish(port), quiet, quiet, ledger=book)
    network = next(made for made in cloud.things["networks"].values() if made is not cloud.outer)
    cloud.keep("ports", Thing(id="stranger", network_id=network.id, project_id="other"))

    left = clean(Connection(cloud), book.made(), quiet, wait_s=0.1).left
    assert left == [
        f"network {name_of(RUN, 'network')}: HTTP 409: ports are still in use",
        f"project {name_of(RUN)}: it holds what this run did not make: network {name_of(RUN, 'network')}",
    ]


runs = st.from_regex(r"[0-9]{8}T[0-9]{6}Z(-[2-9][0-9]?)?", fullmatch=True)
things = st.from_regex(r"[a-z][a-z0-9.-]{0,40}", fullmatch=True)


@given(runs, things)
def test_a_name_tells_its_run(run: str, thing: str) -> None:
    """A name leads back to its run, and so does a description."""
    assert run_of(name_of(run, thing)) == run
    assert run_of(name_of(run)) == run
    assert run_described(description_of(run)) == run


@given(st.text(max_size=60))
def test_other_names_are_nobodys(name: str) -> None:
    """A name that does not begin as ours belongs to no run."""
    assert run_of(name) == "" or name.startswith("rehearse-")


def test_a_second_run_of_the_same_second_is_another_run() -> None:
    """`-2` belongs to the run's id."""
    assert run_of(name_of(f"{RUN}-2", "router")) == f"{RUN}-2"
    assert run_of("rehearse-20261124T062448Z-2x") == ""
    assert run_of("my-rehearse-20261124T062448Z-router") == ""
    with pytest.raises(ValueError, match="small letter"):
        name_of(RUN, "2")


def image(name: str, **more: Any) -> Thing:
    return Thing(**{"id": name, "name": name, "status": "active", "size": 10_000_000, "disk_format": "qcow2", **more})


def test_the_image_most_likely_to_boot_fast_is_chosen() -> None:
    """Known small images come first; kernels, other architectures and unknown names do not come at all."""
    offered = [
        image("Windows 2022", os_type="windows"),
        image("Ubuntu 24.04", size=600_000_000),
        image("canary-kernel", disk_format="aki"),
        image("Cirros 0.6.3"),
        image("Debian 12 arm64", architecture="aarch64"),
        image("golden master"),
    ]

    assert suitable.image(offered).name == "Cirros 0.6.3"
    assert suitable.image([*offered, image("canary", disk_format="raw")]).name == "canary"
    assert suitable.image(offered, "golden master").name == "golden master"
    with pytest.raises(suitable.NothingSuitableError, match="--canary-image"):
        suitable.image([image("golden master")])
    with pytest.raises(suitable.NothingSuitableError, match="There is no image 'nope'"):
        suitable.image(offered, "nope")


@given(
    st.lists(st.tuples(st.integers(32, 8192), st.integers(1, 8), st.integers(0, 40)), min_size=1, max_size=12),
    st.integers(0, 2048),
    st.integers(0, 20),
)
def test_the_smallest_flavor_that_fits_is_chosen(
    sizes: list[tuple[int, int, int]], min_ram: int, min_disk: int
) -> None:
    """The flavor fits the image, and none that fits is smaller."""
    offered = [
        Thing(id=str(n), name=str(n), ram=ram, vcpus=cpus, disk=disk) for n, (ram, cpus, disk) in enumerate(sizes)
    ]
    wanted = image("cirros", min_ram=min_ram, min_disk=min_disk)
    fitting = [
        each for each in offered if each.ram >= max(64, min_ram) and (each.disk == 0 or each.disk >= max(1, min_disk))
    ]
    if not fitting:
        with pytest.raises(suitable.NothingSuitableError):
            suitable.flavor(offered, wanted)
    else:
        assert suitable.flavor(offered, wanted).ram == min(each.ram for each in fitting)


def test_a_flavor_with_a_gpu_is_left_alone() -> None:
    """Flavors that ask for special hardware are for those who name them."""
    gpu = Thing(id="g", name="gpu", ram=64, vcpus=1, disk=1, extra_specs={"pci_passthrough:alias": "a100:1"})
    plain = Thing(id="p", name="plain", ram=512, vcpus=1, disk=1)

    assert suitable.flavor([gpu, plain], image("cirros")).name == "plain"
    assert suitable.flavor([gpu, plain], image("cirros"), "gpu").name == "gpu"


def test_the_default_outer_network_is_chosen() -> None:
    """Among external networks the default one is taken; without any there is a sentence."""
    one = Thing(id="1", name="a", is_router_external=True, subnet_ids=["s"], is_default=False)
    two = Thing(id="2", name="b", is_router_external=True, subnet_ids=["s"], is_default=True)

    assert suitable.outer_network([one, two]).name == "b"
    with pytest.raises(suitable.NothingSuitableError, match="router:external"):
        suitable.outer_network([Thing(id="3", name="c", is_router_external=True, subnet_ids=[])])


class Migrating:
    """Nova as far as a live migration needs it; each look at it goes one step further."""

    def __init__(self, *statuses: str, refused: Exception | None = None, stays: bool = False) -> None:
        self.statuses, self.refused, self.stays = list(statuses), refused, stays
        self.asked = False
        self.now = ""
        self.aborted = 0
        self.looks: list[str] = []

    def services(self, **_: Any) -> list[Thing]:
        return [Thing(binary="nova-compute", host=host, state="up", status="enabled") for host in ("host-a", "host-b")]

    def live_migrate_server(self, server: str, host: str, block_migration: str) -> None:
        assert (host, block_migration) == ("host-b", "auto")
        if self.refused:
            raise self.refused
        self.asked = True

    def migrations(self, server_id: str) -> list[Thing]:
        old = Thing(uuid="old", status="completed", migration_type="live-migration", dest_compute="host-b")
        if not self.asked:
            return [old]
        self.now = self.statuses.pop(0) if self.statuses else self.now
        return [old, Thing(uuid="new", status=self.now, migration_type="live-migration", dest_compute="host-b")]

    def get_server(self, key: str) -> Thing:
        self.looks.append(self.now)
        done = self.now in {"completed", "failed", "error"}
        host = "host-b" if self.now == "completed" and not self.stays else "host-a"
        state = (None, "ACTIVE") if done or not self.asked else ("migrating", "MIGRATING")
        return Thing(id=key, status=state[1], task_state=state[0], compute_host=host, instance_name="instance-1")

    def server_migrations(self, _: str) -> list[Thing]:
        return [Thing(id="new")]

    def get_server_console_output(self, *_: Any, **__: Any) -> dict[str, str]:
        return {"output": "Kernel panic - not syncing"}

    def abort_server_migration(self, *_: Any, **__: Any) -> None:
        self.aborted += 1


def moved(compute: Migrating, port: int, timeout_s: float = 10) -> tuple[events.MigrationEnded, list[events.Event]]:
    one = model.Canary("canary-host-a", "server", "host-a", "127.0.0.1", "", "net", BOOT, 7007, port)
    cloud = Thing(compute=compute)
    moves, unmoved = migration.plan_moves(cloud, [one], "before")
    assert unmoved == {}
    seen: list[events.Event] = []
    return migration.migrate(cloud, moves[0], seen.append, quiet, timeout_s=timeout_s), seen


def test_a_migration_is_recorded_with_everything_seen(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record holds Nova's status series, the new host, and the boot ids told by the beacon."""
    monkeypatch.setattr(migration, "_POLL_S", 0.01)
    ended, seen = moved(Migrating("queued", "preparing", "running", "completed"), port)

    assert (ended.status, ended.host_after, ended.server_status) == ("completed", "host-b", "ACTIVE")
    assert (ended.boot_id_before, ended.boot_id_after) == (BOOT, BOOT)
    assert [status for _, status in ended.facts["status_series"]] == ["queued", "preparing", "running", "completed"]
    assert ended.detail == ""
    assert [type(each).__name__ for each in seen] == ["BeaconHeard", "MigrationBegan", "BeaconHeard", "MigrationEnded"]


def test_the_server_is_asked_seldom_while_it_moves_and_always_at_the_end(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nova is busy with the move: between its beginning and its end only every fourth look asks for the server, too."""
    monkeypatch.setattr(migration, "_POLL_S", 0.01)
    compute = Migrating(*["running"] * 10, "completed")
    ended, _ = moved(compute, port)
    asked = [status for status in compute.looks if status]
    assert (asked.count("running"), asked.count("completed")) == (3, 1)
    assert (ended.status, ended.host_after, ended.server_status) == ("completed", "host-b", "ACTIVE")


def test_an_old_migration_of_the_same_server_is_not_taken_for_ours(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was completed before says nothing about the migration that was asked for now."""
    monkeypatch.setattr(migration, "_POLL_S", 0.01)
    ended, _ = moved(Migrating("running", "failed"), port)

    assert ended.status == "failed"
    assert ended.host_after == "host-a"


def test_a_refused_migration_is_a_fact(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal of Nova is recorded in a sentence and raises nothing."""
    monkeypatch.setattr(migration, "_LISTEN_S", 0)
    locked = refusal("Instance is locked", 409)
    ended, _ = moved(Migrating(refused=locked), port)

    assert ended.status == ""
    assert ended.detail == "Nova refused: HTTP 409: Instance is locked"
    assert ended.host_after == "host-a"


def test_a_migration_that_does_not_end_is_asked_to_stop(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its time a migration is aborted and recorded as it stands."""
    monkeypatch.setattr(migration, "_POLL_S", 0.01)
    compute = Migrating("running")
    ended, _ = moved(compute, port, timeout_s=0.2)

    assert compute.aborted == 1
    assert ended.status == "running"
    assert "was not over after 0.2 s" in ended.detail


def test_a_canary_that_falls_silent_leaves_its_console(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest that answered before a move and not after it is recorded with the end of its console."""
    monkeypatch.setattr(migration, "_POLL_S", 0.01)
    monkeypatch.setattr(migration, "_LISTEN_S", 0.05)
    compute = Migrating("completed")

    def unreachable(canary: model.Canary, record: Any, *, timeout_s: float) -> Any:
        return None if compute.asked else beacon.hear(canary.address, canary.facts_port)

    monkeypatch.setattr(migration, "listen", unreachable)
    ended, _ = moved(compute, port)

    assert ended.boot_id_after == ""
    assert ended.facts["console"] == "its console ends with:\nKernel panic - not syncing"
    assert "the guest is SILENT" in migration.told(ended)


def test_a_dead_canary_has_no_boot_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """A beacon that is silent leaves the boot ids empty: not observed."""
    monkeypatch.setattr(migration, "_POLL_S", 0.01)
    monkeypatch.setattr(migration, "_LISTEN_S", 0.05)
    ended, seen = moved(Migrating("completed"), 1)

    assert (ended.boot_id_before, ended.boot_id_after) == ("", "")
    assert next(each.facts.keys() for each in seen if isinstance(each, events.BeaconHeard)) == {"error"}


@given(st.sets(st.text(st.characters(categories=["Ll", "Nd"]), min_size=1, max_size=6), max_size=6), st.data())
def test_going_to_the_next_host_visits_all(hosts: set[str], data: st.DataObject) -> None:
    """Going on to the next host again and again visits every host before it comes back."""
    names = sorted(hosts)
    if len(names) < 2:
        assert migration.next_host(names, names[0] if names else "x") == ""
        return
    start = at = data.draw(st.sampled_from(names))
    visited = []
    for _ in names:
        at = migration.next_host(names, at)
        visited.append(at)
    assert sorted(visited) == names
    assert at == start


JOB = """Job type:         Completed
Operation:        Incoming migration
Time elapsed:     1384         ms
Data processed:   27.102 MiB
Total downtime:   97           ms
Memory bandwidth: 108.345 MiB/s
Constant pages:   21934
"""


def test_libvirts_account_is_read() -> None:
    """Lengths become seconds, sizes bytes, and what has another unit stays text."""
    assert domainjob.parse(JOB) == {
        "job type": "Completed",
        "operation": "Incoming migration",
        "time elapsed": 1.384,
        "data processed": 27.102 * 1024 * 1024,
        "total downtime": 0.097,
        "memory bandwidth": "108.345 MiB/s",
        "constant pages": 21934.0,
    }


@given(st.text(max_size=300))
def test_any_text_is_read_without_an_error(text: str) -> None:
    """Whatever virsh says, reading it gives fields or none."""
    assert all(isinstance(value, str | float) for value in domainjob.parse(text).values())


def test_facts_leave_out_what_rehearsals_made(port: int) -> None:
    """Facts before and with canaries are the same."""
    cloud = FakeCloud()
    before = cloudfacts.cloud_facts(Connection(cloud), "before")
    making.put_up(Connection(cloud), RUN, wish(port), quiet, quiet)
    after = cloudfacts.cloud_facts(Connection(cloud), "after")

    assert before.error == ""
    assert after.facts == before.facts
    assert [row["name"] for row in before.facts["networks"]] == ["public"]
    assert [row["name"] for row in before.facts["services"]] == ["nova-compute on host-a", "nova-compute on host-b"]


def test_a_kind_that_cannot_be_read_is_named_and_absent() -> None:
    """A part of the API that does not answer is an error and no empty list."""
    connection = Connection(FakeCloud())

    def away() -> None:
        raise refusal("Service Unavailable", 503)

    connection.network.agents = away
    facts = cloudfacts.cloud_facts(connection, "before")

    assert "agents" not in facts.facts
    assert facts.error == "agents could not be read: HTTP 503: Service Unavailable"


ODD_SHAPES = (
    st.none()
    | st.integers()
    | st.text(max_size=5)
    | st.lists(st.none() | st.integers() | st.dictionaries(st.text(max_size=3), st.none()), max_size=3)
)


@given(odd=ODD_SHAPES, kind=st.sampled_from(["agents", "networks", "routers", "ports"]))
def test_an_answer_of_another_shape_is_a_kind_that_was_not_read(odd, kind) -> None:
    """Whatever an API gives instead of its list, facts are taken of the rest, and an upgrade is not stopped by it."""
    connection = Connection(FakeCloud())
    setattr(connection.network, kind, lambda *_, **__: odd)
    facts = cloudfacts.cloud_facts(connection, "before")
    assert "services" in facts.facts
    assert kind in facts.facts or f"{kind} could not be read" in facts.error


def test_a_single_compute_gets_a_pair(port: int) -> None:
    """Two canaries are on one network in any case, so that what passes between guests is measured."""
    found = making.put_up(Connection(FakeCloud()), RUN, wish(port, hosts=("host-a",)), lambda _: None, quiet)

    assert [each.name for each in found.up] == ["canary-host-a", "canary-host-a-pair"]
