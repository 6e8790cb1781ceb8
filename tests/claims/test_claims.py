"""Every claim about a cloud, judged on literal facts: once where it holds, once where it does not, once unseen."""

from __future__ import annotations

import dataclasses
from datetime import UTC
from datetime import datetime
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.claims import agents
from rehearsal.claims import apis
from rehearsal.claims import comparisons
from rehearsal.claims import computes
from rehearsal.claims import configuration
from rehearsal.claims import containers
from rehearsal.claims import downtime
from rehearsal.claims import images
from rehearsal.claims import replacements
from rehearsal.cloud import expected
from rehearsal.cloud import sameness
from rehearsal.cloud.expected import ExpectedContainer
from rehearsal.figures.expectation import NotObserved
from rehearsal.figures.length import Budget
from rehearsal.figures.length import Length
from rehearsal.figures.outcome import Outcome
from rehearsal.hosts.parts import disks
from rehearsal.hosts.parts import haproxy
from rehearsal.hosts.parts import libvirt
from rehearsal.hosts.parts.docker import ContainerView
from rehearsal.hosts.parts.docker import ImageView
from rehearsal.hosts.view import HostView
from rehearsal.judging.losses import Loss
from rehearsal.lanes.answers import SHALLOW
from rehearsal.plan import BudgetSpec
from rehearsal.plan import PlanSpec
from rehearsal.plan import StepSpec
from rehearsal.recording import events
from rehearsal.recording.stretch import BETWEEN
from rehearsal.recording.stretch import CONTROL
from rehearsal.recording.stretch import step as step_of

OLD = "registry.osism.tech/kolla/release/nova-api:30.0.1.20251130"
NEW = "registry.osism.tech/kolla/release/2025.1/nova-api:31.2.1.20260814"
WANTED = ExpectedContainer("control-0", "nova_api", "nova", "nova-api", OLD, health=True)
RUNNING = ContainerView(
    "nova_api",
    "c1",
    OLD,
    "sha256:aaaaaaaaaaaaaaaa",
    "running",
    "2026-11-24T06:00:00.123Z",
    health="healthy",
    labels={"de.osism.release.openstack": "2024.2", "kolla_version": "19"},
)


def view(*found, **fields):
    known = {each.name: each for each in found}
    image = ImageView(OLD, "sha256:aaaaaaaaaaaaaaaa")
    return HostView("control-0", containers=known, images=fields.pop("images", {OLD: image}), **fields)


def changed(**fields):
    return dataclasses.replace(RUNNING, **fields)


def wanted(**fields):
    return dataclasses.replace(WANTED, **fields)


UNSEEN = HostView("control-0", error="it cannot be reached over SSH: timed out")


# --- containers


@pytest.mark.parametrize(
    "other",
    [
        NEW,
        OLD.replace("kolla/release", "kolla"),
        OLD.replace("registry.osism.tech", "quay.io"),
        OLD.replace("nova-api", "nova-conductor"),
        OLD[:-1] + "1",
    ],
)
def test_container_tag_is_the_whole_reference(other):
    """Registry, namespace, image and tag all count; the finding names host, container, and both references."""
    assert containers.made_from(view(RUNNING), WANTED).holds
    found = containers.made_from(view(changed(image=other)), WANTED)
    assert not found.holds
    assert (OLD, other, "control-0", "nova_api") == (found.expected, found.observed, found.host, found.container)


def test_a_stopped_container_keeps_its_tag():
    """Whether a container runs is another claim than from what it was made."""
    assert containers.made_from(view(changed(status="exited")), WANTED).holds


def test_container_image_is_what_its_tag_stands_for():
    """A tag that was pulled again stands for another image than the one that runs; a tag that is gone proves nothing."""
    judge = containers.image_is_what_its_reference_says
    assert judge(view(RUNNING), WANTED).holds
    moved = view(RUNNING, images={OLD: ImageView(OLD, "sha256:bbbbbbbbbbbbbbbb")})
    assert "aaaaaaaaaaaa" in judge(moved, WANTED).observed
    assert not judge(moved, WANTED).holds
    with pytest.raises(NotObserved, match="no image is tagged"):
        judge(view(RUNNING, images={}), WANTED)


def test_container_release_is_the_images_own_word():
    """The label of the image behind the right tag names the release; no label, or another image, proves nothing."""
    assert containers.label_names_release(view(RUNNING), WANTED, "2024.2").holds
    found = containers.label_names_release(view(RUNNING), WANTED, "2025.1")
    assert ("de.osism.release.openstack=2025.1", "de.osism.release.openstack=2024.2", False) == (
        found.expected,
        found.observed,
        found.holds,
    )
    for odd in (changed(labels={}), changed(image=NEW)):
        with pytest.raises(NotObserved):
            containers.label_names_release(view(odd), WANTED, "2024.2")


@pytest.mark.parametrize(
    ("found", "observed"),
    [
        ((), "no such container"),
        ((changed(status="exited", exit_code=137),), "exited (exit code 137)"),
        ((changed(status="restarting", exit_code=1),), "restarting (exit code 1)"),
        ((changed(status="paused"),), "paused"),
    ],
)
def test_container_running(found, observed):
    """A container that is missing, stopped, crashing or paused does not run."""
    assert containers.running(view(RUNNING), WANTED).holds
    judged = containers.running(view(*found), WANTED)
    assert (observed, False) == (judged.observed, judged.holds)


def test_container_health():
    """Unhealthy and still starting are not healthy; a container without a check must be one of those that have none."""
    assert containers.healthy(view(RUNNING), WANTED).holds
    sick = containers.healthy(view(changed(health="unhealthy", health_said="curl: (22) 503\n")), WANTED)
    assert ("unhealthy (curl: (22) 503)", False) == (sick.observed, sick.holds)
    assert not containers.healthy(view(changed(health="starting")), WANTED).holds
    assert not containers.healthy(view(changed(health="none")), WANTED).holds
    assert containers.healthy(view(changed(health="none")), wanted(health=False)).holds
    assert containers.healthy(view(RUNNING), wanted(health=False)).holds
    with pytest.raises(NotObserved, match="does not run"):
        containers.healthy(view(changed(status="exited")), WANTED)
    assert containers.is_settling(view(changed(health="starting")), WANTED)
    assert not containers.is_settling(view(changed(health="unhealthy")), WANTED)
    assert not containers.is_settling(view(), WANTED)


def test_container_unexpected():
    """A running kolla container that nobody placed there is named; the manager's, stopped and one-shot ones are not."""
    stranger = changed(name="heat_api")
    judged = containers.no_strangers(view(RUNNING, stranger), {"nova_api"})
    assert ("heat_api", "heat_api", False) == (judged.observed, judged.container, judged.holds)
    for harmless in (
        changed(name="bootstrap_nova"),
        changed(name="heat_api", status="exited"),
        changed(name="osism-ansible", labels={}, image="registry.osism.tech/osism/osism-ansible:1"),
    ):
        assert containers.no_strangers(view(RUNNING, harmless), {"nova_api"}).holds


MIRRORS = st.from_regex(r"[a-z0-9.]{1,9}(:5000)?(/[a-z0-9.]{1,9}){0,4}", fullmatch=True)


@given(
    mirror=MIRRORS,
    label=st.sampled_from(["kolla_version", "de.osism.release.openstack"]),
    name=st.sampled_from(["heat_api", "etcd", "x"]),
)
def test_a_mirror_hides_no_stranger(mirror, label, name):
    """Wherever the images lie, a container of kolla's that nobody placed there is named, and the others are counted."""
    ours = changed(image=f"{mirror}/nova-api:1", labels={label: "1"})
    stranger = dataclasses.replace(ours, name=name, image=f"{mirror}/{name}:1")
    judged = containers.no_strangers(view(ours, stranger), {"nova_api"})
    assert (name, False) == (judged.observed, judged.holds)
    alone = containers.no_strangers(view(ours), {"nova_api"})
    assert alone.holds
    assert "1 containers were compared" in alone.observed


def test_nothing_to_compare_is_no_pass():
    """Where no container is known as kolla's, the claim says that it compared none."""
    for there in ((), (changed(name="ceph-mon", labels={}),)):
        with pytest.raises(NotObserved, match="0 containers were compared"):
            containers.no_strangers(view(*there), {"nova_api"})


def test_a_service_that_is_on_and_unknown_is_told_as_such():
    """Its containers are neither strangers nor passed; a real stranger beside them still fails."""
    swift = changed(name="swift_proxy_server")
    with pytest.raises(NotObserved, match=r"swift_proxy_server: enable_swift is on, but rehearse does not know"):
        containers.no_strangers(view(RUNNING, swift), {"nova_api"}, ("swift",))
    both = containers.no_strangers(view(RUNNING, swift, changed(name="heat_api")), {"nova_api"}, ("swift",))
    assert ("heat_api", False) == (both.observed, both.holds)
    assert not containers.no_strangers(view(RUNNING, swift), {"nova_api"}).holds


def test_a_doubtful_container_is_neither_missing_nor_passed():
    """Whether it belongs there is not known: then neither its absence nor its presence is judged."""
    maybe = wanted(doubt="it is not known whether nova_api belongs here: x cannot be worked out")
    for there in (view(), view(RUNNING)):
        with pytest.raises(NotObserved, match="x cannot be worked out"):
            containers.running(there, maybe)
    with pytest.raises(NotObserved, match="x cannot be worked out"):
        replacements.replaced({}, view(), maybe, retag=True)
    with pytest.raises(NotObserved, match="x cannot be worked out"):
        images.ready(view(images={}), maybe, "2024.2", None)


def test_unhealthy_may_mend_after_a_step():
    """After a step unhealthy is waited for like starting; before the upgrade it is not."""
    sick = view(changed(health="unhealthy"))
    assert containers.is_settling(sick, WANTED, mending=True)
    assert not containers.is_settling(sick, WANTED)
    assert not containers.is_settling(view(RUNNING), WANTED, mending=True)
    assert not containers.is_settling(view(changed(health="unhealthy", status="exited")), WANTED, mending=True)
    assert "healthy after 47 s" == containers.healthy(view(RUNNING), WANTED, waited_s=47.2).observed


@given(
    before_s=st.integers(-3600, 3600),
    zone=st.sampled_from(["Z", "+00:00", "+02:00"]),
    fraction=st.sampled_from(["", ".1", ".123456789"]),
)
def test_healthy_from_before_the_start_is_stale(before_s, zone, fraction):
    """A check that began before the container did told of another process; a moment in another zone is the same moment."""
    started = datetime(2026, 11, 24, 6, 0, 0, tzinfo=UTC)
    offset_h = 2 if zone == "+02:00" else 0
    checked = started - timedelta(seconds=before_s) + timedelta(hours=offset_h)
    text = checked.strftime("%Y-%m-%dT%H:%M:%S") + fraction + zone
    seen = view(changed(started_at="2026-11-24T06:00:00.000000000Z", checked_at=text))
    stale = before_s > 0
    assert stale == containers.is_settling(seen, WANTED)
    if stale:
        with pytest.raises(NotObserved, match="was not checked since it was started"):
            containers.healthy(seen, WANTED)
    else:
        assert containers.healthy(seen, WANTED).holds


@pytest.mark.parametrize("said", [
    "/bin/sh: -c: line 1: unexpected EOF while looking for matching `\"'", "sh: 1: Syntax error: Unterminated quoted string",
    "bash: healthcheck_curl: command not found", "OCI runtime exec failed: exec failed: unable to start container process",
])  # fmt: skip
def test_a_health_check_that_fails_itself_is_told(said):
    """Unhealthy in the shell's own words while the API answers: it is the check that is broken; else it is the service."""
    sick = view(changed(health="unhealthy", health_said=said))
    judged = containers.healthy(sick, WANTED, api="https://api:8774/ answers")
    assert ("the health check itself fails" in judged.observed, judged.holds) == (True, False)
    assert "itself" not in containers.healthy(sick, WANTED).observed
    real = view(changed(health="unhealthy", health_said="curl: (22) 503"))
    assert "itself" not in containers.healthy(real, WANTED, api="https://api:8774/ answers").observed


def test_docker_that_does_not_run_is_named():
    """No socket of Docker: the container does not run, and Docker is the reason; a look that failed proves nothing."""
    dead = HostView(
        "control-0", errors={"containers": "OSError: Docker does not run: nothing answers at /var/run/docker.sock"}
    )
    try:
        judged = containers.running(dead, WANTED)
    except NotObserved as unknown:  # which would skip this test instead of failing it
        pytest.fail(f"unknown instead of failed: {unknown}")
    assert not judged.holds
    assert "Docker does not run on control-0" in judged.observed
    with pytest.raises(NotObserved):
        containers.running(HostView("control-0", errors={"containers": "TimeoutError: timed out"}), WANTED)


@given(
    name=st.from_regex(r"[a-z]{1,9}(_[a-z]{1,9}){0,3}", fullmatch=True),
    kind=st.sampled_from(["tag", "image_full", "version"]),
)
def test_only_variables_of_the_releases_images_are_pins(name, kind):
    """A variable that merely ends like a pin is none: a tag in glance belongs to no container."""
    key = f"kolla_{name}_version" if kind == "version" else f"{name}_{kind}"
    found = configuration.overrides("f", f"{key}: x\n")
    assert (key in expected.pins()) == bool(found)
    assert [] == configuration.overrides("f", "octavia_amp_image_tag: amphora\nceph_tag: x\nglance_my_tag: y\n")
    assert 2 == len(configuration.overrides("f", "nova_tag: x\nnova_api_image_full: y\n"))


def test_a_documented_hot_fix_is_allowed():
    """The release's rolling tag in images.yml is OSISM's way to bring a fix; elsewhere, or of another release, it is a pin."""
    here = "/opt/configuration/environments/kolla/images.yml"
    text = 'keystone_tag: "2025.1"\n'
    judged = configuration.no_overrides(configuration.overrides(here, text), "2025.1")
    assert judged.holds
    assert "hot-fix of 2025.1: keystone_tag" in judged.observed
    for file, release in ((here, "2025.2"), (here, ""), (here.replace("images", "configuration"), "2025.1")):
        assert not configuration.no_overrides(configuration.overrides(file, text), release).holds


@pytest.mark.parametrize(
    "judge",
    [
        containers.made_from,
        containers.image_is_what_its_reference_says,
        lambda seen, it: containers.label_names_release(seen, it, "2024.2"),
        containers.running,
        containers.healthy,
        containers.image_is_there,
        lambda seen, it: containers.no_strangers(seen, {it.container}),
        lambda seen, it: replacements.replaced({}, seen, it, retag=True),
        lambda seen, it: replacements.untouched({}, seen, it.container),
        lambda seen, _: disks.disk_space(seen),
        lambda seen, _: haproxy.servers_up(seen),
        lambda seen, _: libvirt.takes_migrations({"control-0": seen}, "control-0"),
        lambda seen, it: images.ready(seen, it, "2024.2", None),
    ],
)
def test_a_host_that_did_not_answer_proves_nothing(judge):
    """Every claim about a host is unknown when the host was not seen, and says why."""
    with pytest.raises(NotObserved, match="timed out"):
        judge(UNSEEN, WANTED)


# --- APIs


GOOD_BODY = b'{"version": {"id": "v2.1", "status": "CURRENT"}}'
LB_PAGE = (
    b"<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>\n"
)


@pytest.mark.parametrize(
    ("asked", "tells"),
    [
        (apis.Asked("u", error="TimeoutError: timed out"), "no answer: TimeoutError"),
        (apis.Asked("u", 503, {"content-type": "text/html", "cache-control": "no-cache"}, LB_PAGE), "status 503 by lb"),
        (apis.Asked("u", 503, {"x-openstack-request-id": "req-1"}, b"{}"), "status 503 by service"),
        (apis.Asked("u", 200, {}, b'{"versions": []}'), "not the service's own answer"),
        (apis.Asked("u", 200, {}, b"<html>It works!</html>"), "not the service's own answer"),
        (apis.Asked("u", 300, {}, GOOD_BODY), "status 300"),
    ],
)
def test_api_answers_only_by_itself(asked, tells):
    """Neither HAProxy's page, nor a web server's, nor another service's document is the service's answer."""
    assert apis.answered_by_itself(apis.Asked("u", 200, {}, GOOD_BODY), "nova", SHALLOW["nova"]).holds
    judged = apis.answered_by_itself(asked, "nova", SHALLOW["nova"])
    assert not judged.holds
    assert tells in judged.observed
    assert "nova" == judged.service


def test_certificate():
    """A certificate must be trusted and last for a fortnight."""
    day = 86400
    assert apis.valid_long_enough(apis.CertificateView("api:5000", 14 * day), 0).holds
    assert not apis.valid_long_enough(apis.CertificateView("api:5000", 14 * day - 1), 0).holds
    assert not apis.valid_long_enough(apis.CertificateView("api:5000", 0, error="self-signed"), 0).holds


# --- agents


def test_nova_service_and_neutron_agent():
    """A service that is down, or not listed at all, is not up; full and short host names are one host."""
    rows = [
        agents.AgentView("nova-compute", "compute-0.cloud", alive=True),
        agents.AgentView("nova-compute", "compute-1", alive=False, seen_at="2026-11-24T06:00:00"),
    ]
    assert agents.alive(rows, "nova-compute", "compute-0", "nova").holds
    down = agents.alive(rows, "nova-compute", "compute-1", "nova")
    assert ("nova-compute is down, last heard of at 2026-11-24T06:00:00", "compute-1") == (down.observed, down.host)
    assert not down.holds
    assert "it is not listed" == agents.alive(rows, "nova-scheduler", "compute-0", "nova").observed
    assert not agents.alive([], "nova-compute", "compute-0", "nova").holds
    assert not agents.same_host("compute-0.a", "compute-0.b")


def test_a_nova_compute_that_took_itself_out_of_service():
    """Who lost libvirt withdraws: red where libvirt is well again, libvirt's own check's to tell where it is not."""
    lost = "AUTO: Connection to libvirt lost: 1"
    rows = [agents.AgentView("nova-compute", "a", alive=True, enabled=False, reason=lost)]
    stuck = agents.alive(rows, "nova-compute", "a", "nova")
    assert (False, f"nova-compute took itself out of service ({lost})") == (stuck.holds, stuck.observed)
    with pytest.raises(NotObserved, match="nova_libvirt does not run"):
        agents.alive(rows, "nova-compute", "a", "nova", cause="nova_libvirt does not run")
    by_hand = [dataclasses.replace(rows[0], reason="memory is replaced")]
    assert agents.alive(by_hand, "nova-compute", "a", "nova", cause="nova_libvirt does not run").holds
    dead = [dataclasses.replace(rows[0], alive=False)]
    assert not agents.alive(dead, "nova-compute", "a", "nova", cause="nova_libvirt does not run").holds


# --- computes


def compute(host, free, *servers, usable=True):
    return computes.ComputeView(host, usable, used={}, free=free, servers=servers)


SMALL = {"VCPU": 1, "MEMORY_MB": 512}


def test_compute_capacity():
    """Servers fit one by one on usable other nodes; the first that does not is told with what is left."""
    cloud = {
        "a": compute("a", {"VCPU": 4, "MEMORY_MB": 600}, SMALL, SMALL),
        "b": compute("b", {"VCPU": 4, "MEMORY_MB": 600}),
        "c": compute("c", {"VCPU": 4, "MEMORY_MB": 600}),
    }
    assert computes.gives_away(cloud, "a").holds
    full = computes.gives_away(cloud | {"c": compute("c", {"VCPU": 0, "MEMORY_MB": 600})}, "a")
    assert not full.holds
    assert "no room for a server with 1 vCPU, 512 MB of memory" in full.observed
    assert "a" == full.host
    off = {name: dataclasses.replace(each, usable=name == "a") for name, each in cloud.items()}
    assert "there is no other usable node" == computes.gives_away(off, "a").observed
    assert computes.gives_away(off, "b").holds
    with pytest.raises(NotObserved):
        computes.gives_away(cloud, "d")


@pytest.mark.parametrize("room", [600, 100])
def test_capacity_says_nothing_while_a_node_has_withdrawn_itself(room):
    """Whether the servers fit cannot be told while a node is out for a reason that another check names."""
    cloud = {
        "a": compute("a", {}, SMALL),
        "b": compute("b", {"VCPU": 4, "MEMORY_MB": room}),
        "c": dataclasses.replace(compute("c", {"VCPU": 4, "MEMORY_MB": 600}, usable=False), withdrew="AUTO: lost"),
    }
    if room == 600:
        assert computes.gives_away(cloud, "a").holds
        cloud["b"] = dataclasses.replace(cloud["b"], usable=False)
    with pytest.raises(NotObserved, match=r"c took itself out of service \(AUTO: lost\)"):
        computes.gives_away(cloud, "a")


# --- surroundings


def test_lock_file_and_task_lock():
    """A .lock file, and a lock of OSISM's tasks, are told; silence of `osism lock status` proves nothing."""
    assert configuration.no_lock_files([]).holds
    assert (
        "/opt/configuration/environments/.lock"
        in configuration.no_lock_files(["/opt/configuration/environments/.lock"]).observed
    )
    assert configuration.tasks_unlocked(0, "2026 | INFO | Tasks are UNLOCKED\n").holds
    assert not configuration.tasks_unlocked(0, "Tasks are LOCKED by dragon since 6 o'clock\n").holds
    with pytest.raises(NotObserved):
        configuration.tasks_unlocked(1, "Traceback (most recent call last):")


@given(state=st.sampled_from(["LOCKED", "UNLOCKED"]), reason=st.text(st.sampled_from(" ,ULNOCKED:"), max_size=30))
def test_the_state_of_a_lock_is_not_read_from_its_reason(state, reason):
    """Somebody may lock the tasks until something is UNLOCKED; only the state itself counts."""
    judged = configuration.tasks_unlocked(0, f"2026-11-29 | INFO | Tasks are {state} by dragon ({reason})\n")
    assert (state == "UNLOCKED") == judged.holds
    assert not configuration.tasks_unlocked(0, "Tasks are LOCKED: until node 3 is UNLOCKED").holds


def test_an_osism_without_lock_status_has_no_lock():
    """`osism lock` came with 9.3; an older release is told, and does not stop the pre-flight gate."""
    said = "osism: 'lock status' is not an osism command. See 'osism --help'.\n"
    try:
        judged = configuration.tasks_unlocked(2, said)
    except NotObserved as unknown:  # it would be taken for a skip
        pytest.fail(f"unknown: {unknown}")
    assert judged.holds
    assert "not applicable" in judged.observed
    assert "9.3" in judged.observed


def test_tag_override():
    """Top-level variables that pin a tag are found with file and line; comments, nested keys and namespaces are not."""
    text = '# nova_tag: 1\ndocker_namespace: kolla/release\nnova_api_tag: "29.2"  # hot fix\nx:\n  nova_tag: 2\nheat_image_full: a:b\n'
    found = configuration.overrides("images.yml", text)
    assert [(3, "nova_api_tag", "29.2"), (6, "heat_image_full", "a:b")] == [(e.line, e.key, e.value) for e in found]
    assert configuration.no_overrides([]).holds
    assert "images.yml:3 nova_api_tag: 29.2" in configuration.no_overrides(found).observed


def test_facts_fresh():
    """Facts older than a day, or none, are told; keys are host names with or without ansible's prefix."""
    ages = {"ansible_factscontrol-0": 60.0, "compute-0": 25 * 3600.0}
    assert configuration.facts_fresh(ages, "control-0").holds
    assert "25 h 00 min old" == configuration.facts_fresh(ages, "compute-0").observed
    assert not configuration.facts_fresh(ages, "compute-0").holds
    assert not configuration.facts_fresh(ages, "compute-1").holds
    facts = StepSpec(id="facts", title="facts", command=["osism", "apply", "facts"], retag=False)
    assert (
        "25 h 00 min old; step facts gathers them"
        == configuration.facts_fresh(ages, "compute-0", plan(facts, UPGRADE)).observed
    )
    assert configuration.facts_fresh(None, "compute-0", plan(facts, UPGRADE)).holds
    assert not configuration.facts_fresh(ages, "compute-0", plan(UPGRADE, facts)).holds
    with pytest.raises(NotObserved):
        configuration.facts_fresh(None, "control-0")


# --- images that are needed next


def plan(*planned):
    free = BudgetSpec(longest_s=1.0)
    return PlanSpec(
        name="p",
        title="p",
        from_release="2024.2",
        to_release="2025.1",
        services=["nova"],
        defaults={"nova": free},
        steps=list(planned),
    )


PULL = StepSpec(id="pull", title="pull", command=["osism", "apply", "-a", "pull", "common//nova"], retag=False)
UPGRADE = StepSpec(
    id="nova", title="nova", command=["osism", "apply", "-a", "upgrade", "nova"], containers=["nova_api"]
)


def test_target_image():
    """An image counts as ready if it is on the host or the plan pulls it in time, for every host."""
    new = wanted(image=NEW)
    there = view(RUNNING, images={NEW: ImageView(NEW, "sha256:b")})
    assert images.ready(there, new, "2025.1", None).holds
    assert not images.ready(view(RUNNING), new, "2025.1", None).holds
    assert "pulled by step pull" == images.ready(view(RUNNING), new, "2025.1", plan(PULL, UPGRADE)).observed
    assert images.ready(view(RUNNING), WANTED, "2024.2", plan(PULL, UPGRADE)).holds
    late = images.ready(view(RUNNING), WANTED, "2024.2", plan(UPGRADE, PULL))
    assert ("no step pulls nova before step nova", False) == (late.observed, late.holds)
    limited = PULL.model_copy(update={"command": [*PULL.command, "-l", "control-0"]})
    assert not images.ready(view(RUNNING), WANTED, "2024.2", plan(limited, UPGRADE)).holds
    assert images.ready(view(RUNNING), WANTED, "2024.2", plan(PULL)).holds


def test_pulled_image():
    """After a pull, the reference itself is on the host."""
    assert containers.image_is_there(view(RUNNING), WANTED).holds
    missing = containers.image_is_there(view(RUNNING), wanted(image=NEW))
    assert ("not on the host", "nova_api", False) == (missing.observed, missing.container, missing.holds)


# --- steps


def test_step_replaced():
    """A container on the old image, or one that was not started during the step, was not replaced."""
    new = wanted(image=NEW)
    after = changed(id="c2", image=NEW, image_id="sha256:b", started_at="2026-11-24T07:00:00Z")
    before = {"nova_api": RUNNING}
    assert replacements.replaced(before, view(after), new, retag=True).holds
    assert replacements.replaced({}, view(after), new, retag=True).holds
    kept = replacements.replaced(before, view(RUNNING), new, retag=True)
    assert not kept.holds
    assert OLD in kept.observed
    assert not replacements.replaced(before, view(), new, retag=True).holds
    images = {NEW: ImageView(NEW, "sha256:b")}
    assert replacements.replaced({"nova_api": after}, view(after, images=images), new, retag=True).holds
    assert not replacements.replaced(
        {"nova_api": dataclasses.replace(after, image=OLD)}, view(after), new, retag=True
    ).holds
    assert not replacements.replaced(before, view(RUNNING), WANTED, retag=False).holds
    assert replacements.replaced(before, view(changed(started_at="2026-11-24T07:00:00Z")), WANTED, retag=False).holds
    with pytest.raises(NotObserved):
        replacements.replaced(None, view(after), new, retag=True)


_IDS = st.text("0123456789abcdef", min_size=4, max_size=12).map("sha256:".__add__)


@given(runs=_IDS, tagged=st.none() | _IDS)
def test_a_container_left_as_it_was_is_replaced_only_if_its_tag_did_not_move(runs, tagged):
    """A pull can move a rolling tag: then the container that a step left alone still runs the old image."""
    same = changed(image_id=runs)
    images = {} if tagged is None else {OLD: ImageView(OLD, tagged)}
    if tagged is None:
        with pytest.raises(NotObserved, match="no image is tagged"):
            replacements.replaced({"nova_api": same}, view(same, images=images), WANTED, retag=True)
        return
    judged = replacements.replaced({"nova_api": same}, view(same, images=images), WANTED, retag=True)
    assert (runs == tagged) == judged.holds
    assert judged.holds or "the tag points to another image" in judged.observed


def test_a_step_left_alone_is_unknown_where_the_images_were_not_seen():
    """Without the images nobody knows for what the tag stands."""
    blind = view(RUNNING, images={}, errors={"images": "timed out"})
    with pytest.raises(NotObserved, match="images could not be observed"):
        replacements.replaced({"nova_api": RUNNING}, blind, WANTED, retag=True)


@pytest.mark.parametrize(
    ("after", "tells"),
    [
        ((changed(started_at="2026-11-24T07:00:00Z"),), "restarted"),
        ((changed(id="c2"),), "replaced"),
        ((changed(image=NEW, image_id="sha256:b", id="c2"),), "created from another image"),
        ((changed(status="exited"),), "exited"),
        ((), "no such container"),
    ],
)
def test_others_untouched(after, tells):
    """A restart, a replacement, another image, a stop and a removal are all told."""
    before = {"nova_api": RUNNING}
    assert replacements.untouched(before, view(RUNNING), "nova_api").holds
    judged = replacements.untouched(before, view(*after), "nova_api")
    assert not judged.holds
    assert tells in judged.observed
    with pytest.raises(NotObserved):
        replacements.untouched(None, view(RUNNING), "nova_api")


def test_step_healthy():
    """A step's container that does not run is told as such, not as unknown health."""
    assert containers.running_and_healthy(view(RUNNING), WANTED).holds
    assert "exited (exit code 0)" == containers.running_and_healthy(view(changed(status="exited")), WANTED).observed
    assert "unhealthy" == containers.running_and_healthy(view(changed(health="unhealthy")), WANTED).observed


# --- losses


def loss(kind="down", outcome=Outcome.OK, service="nova", step="nova", allowed=True):
    length = Length(1_000_000_000, 1_500_000_000, 2_000_000_000)
    budget = Budget(3_000_000_000, None, None, "contract") if allowed else None
    return Loss(step_of(step), service, kind, 1, length, length, 100, 3, 50, 0, budget, outcome, "why")


@pytest.mark.parametrize("kind", ["down", "degraded"])
def test_downtime_and_slow_answers(kind):
    """A loss over budget fails with its bounds; one that the samples cannot decide, or that nobody measured, is unknown."""
    judge = downtime.within_budget
    assert judge([loss(kind)], "nova", "nova", kind).holds
    assert judge([loss(kind, allowed=False)], "nova", "nova", kind).holds
    over = judge([loss(kind, Outcome.FAIL)], "nova", "nova", kind)
    assert not over.holds
    assert "1.00 to 2.00 s" in over.observed
    assert over.observed.endswith("; shorter ones than 0.001 s may be missing from this")
    assert "≤ 3 s (source: contract)" in over.expected
    for rows in ([], [loss(kind, Outcome.UNKNOWN)], [loss(kind, step="glance")]):
        with pytest.raises(NotObserved):
            judge(rows, "nova", "nova", kind)


def test_an_outage_that_goes_on_is_known_as_such():
    """Only an outage of this very step that has no end yet makes a gate wait."""
    open_end = Length(1_000_000_000, 1_500_000_000, None)
    going_on = dataclasses.replace(loss(), longest=open_end)
    assert downtime.is_open([loss(), going_on], "nova")
    assert not downtime.is_open([loss()], "nova")
    assert not downtime.is_open([going_on], "glance")
    assert not downtime.is_open([dataclasses.replace(going_on, count=0)], "nova")
    outside = [dataclasses.replace(going_on, stretch=where) for where in (CONTROL, BETWEEN)]
    assert not any(downtime.is_open(outside, step) for step in ("before", "control", "between"))


@pytest.mark.parametrize("name", ["before", "control", "between"])
def test_a_gate_asks_for_its_step_not_for_the_time_outside_of_steps(name):
    """Whatever a step is called, what was lost in no step is neither held against it nor for it."""
    outside = [dataclasses.replace(loss(), stretch=where) for where in (CONTROL, BETWEEN)]
    with pytest.raises(NotObserved):
        downtime.within_budget(outside, name, "nova", "down")
    assert not downtime.within_budget([*outside, loss(outcome=Outcome.FAIL, step=name)], name, "nova", "down").holds


# --- before and after


def facts(*servers, error=""):
    return events.CloudFacts("before", {"servers": list(servers)}, error)


WEB = {"id": "1", "name": "web", "status": "ACTIVE", "host": "a"}


def test_nothing_lost():
    """What is gone or changed is named; what is new is not; a kind that could not be read is unknown."""
    judge = comparisons.nothing_lost
    assert judge("servers", facts(WEB), facts(WEB, {"id": "2", "name": "new", "status": "ERROR"})).holds
    assert judge("servers", facts(), facts()).holds
    assert "web is lost" == judge("servers", facts(WEB), facts()).observed
    assert "web: status ACTIVE became ERROR" == judge("servers", facts(WEB), facts(WEB | {"status": "ERROR"})).observed
    for before, after in (
        (None, facts()),
        (events.CloudFacts("before", {}, "no"), facts()),
        (facts(), events.CloudFacts("x")),
    ):
        with pytest.raises(NotObserved):
            judge("servers", before, after)


def rows_of(kind, *rows):
    return events.CloudFacts("x", {kind: list(rows)})


HOSTS = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)


@given(host=HOSTS, domain=HOSTS, kind=st.sampled_from(["agents", "services", "hypervisors"]), turned=st.booleans())
def test_a_host_that_goes_by_its_full_name_is_no_loss(host, domain, kind, turned):
    """Since 2025.1 OVS tells its host's full name: the agent is the same; one of another host, or one that died, is not."""
    what = "" if kind == "hypervisors" else "OVN Controller agent on "
    short, full = (
        {"id": f"{what}{name}", "name": f"{what}{name}", "alive": True} for name in (host, f"{host}.{domain}.example")
    )
    before, after = (full, short) if turned else (short, full)
    assert comparisons.nothing_lost(kind, rows_of(kind, before), rows_of(kind, after)).holds
    dead = comparisons.nothing_lost(kind, rows_of(kind, before), rows_of(kind, after | {"alive": False}))
    assert ("alive True became none" in dead.observed, dead.holds) == (True, False)
    other = {**after, "id": f"{what}x{host}.{domain}.example"}
    assert not comparisons.nothing_lost(kind, rows_of(kind, before), rows_of(kind, other)).holds
    ambiguous = [{**full, "id": f"{what}{host}.{each}.example"} for each in ("a", "b")]
    assert not comparisons.nothing_lost(kind, rows_of(kind, short), rows_of(kind, *ambiguous)).holds


@pytest.mark.parametrize("kind", ["servers", "ports"])
def test_a_move_of_the_operators_is_told_and_no_loss(kind):
    """Another host is a planned change; another state is not, nor is no host at all."""
    judged = comparisons.nothing_lost(kind, rows_of(kind, WEB), rows_of(kind, WEB | {"host": "b"}))
    assert (f"1 {kind} as before; web: host a became b", True) == (judged.observed, judged.holds)
    for lost in ({"host": "b", "status": "ERROR"}, {"host": ""}):
        assert not comparisons.nothing_lost(kind, rows_of(kind, WEB), rows_of(kind, WEB | lost)).holds


@given(old=st.integers(1, 4), new=st.integers(0, 5), broken=st.integers(0, 2))
def test_an_amphora_that_octavia_replaced_is_no_loss(old, new, broken):
    """As many new ones that work as went: a failover. Fewer, or such that do not work: a loss."""
    gone = [{"id": f"o{at}", "name": f"amphora-o{at}", "status": "ACTIVE", "host": "a"} for at in range(old)]
    came = [{"id": f"n{at}", "name": f"amphora-n{at}", "status": "ACTIVE", "host": "b"} for at in range(new)]
    came += [{"id": f"e{at}", "name": f"amphora-e{at}", "status": "ERROR", "host": "b"} for at in range(broken)]
    port = {"id": "p", "name": "p", "device": "o0", "status": "ACTIVE", "host": "a"}
    before = events.CloudFacts("x", {"servers": [WEB, *gone], "ports": [port]})
    after = events.CloudFacts("x", {"servers": [WEB, *came], "ports": []})
    for kind in ("servers", "ports"):
        assert (new >= old) == comparisons.nothing_lost(kind, before, after).holds
    assert not comparisons.nothing_lost("servers", before, events.CloudFacts("x", {"servers": came})).holds


def test_what_was_read_at_an_older_microversion_is_said():
    """The comparison holds, and says that the newest microversion did not answer."""
    after = events.CloudFacts(
        "x", {"servers": [WEB], sameness.OLDER: {"servers": "were read at microversion 2.95: why"}}
    )
    judged = comparisons.nothing_lost("servers", facts(WEB), after)
    assert ("1 servers as before; servers were read at microversion 2.95: why", True) == (judged.observed, judged.holds)


def test_a_disabled_service_is_told():
    """What somebody switched off for maintenance is up; the reason is said."""
    rows = [agents.AgentView("nova-compute", "a", alive=True, enabled=False, reason="MAINTENANCE")]
    judged = agents.alive(rows, "nova-compute", "a", "nova")
    assert ("up, but disabled (MAINTENANCE)", True) == (judged.observed, judged.holds)
    assert not hasattr(agents, "enabled")


BEGAN = events.MigrationBegan("m1", "canary-0", "s", "a", "b", "mixed")
MOVED = events.MigrationEnded("m1", "canary-0", "completed", "b", "ACTIVE", "boot", "boot", 9.0)


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "error"},
        {"host_after": "a"},
        {"host_after": "c"},
        {"server_status": "ERROR"},
        {"boot_id_after": "other"},
    ],
)
def test_migration(fields):
    """A migration that ended in error, stayed, went elsewhere, left the server in ERROR or rebooted it did not succeed."""
    assert comparisons.migrated(MOVED, BEGAN).holds
    assert not comparisons.migrated(dataclasses.replace(MOVED, **fields), BEGAN).holds


def test_a_migration_whose_end_was_not_seen_proves_nothing():
    """Without an end, or without both boot ids, nothing is known."""
    for ended in (None, dataclasses.replace(MOVED, boot_id_after="")):
        with pytest.raises(NotObserved):
            comparisons.migrated(ended, BEGAN)


def test_canary_reachable():
    """A silent canary is not reachable, and one that was booted again is not the same."""
    assert comparisons.reachable("c", "10.0.0.9", "boot", "boot", "").holds
    assert not comparisons.reachable("c", "10.0.0.9", "", "boot", "did not answer within 5 s").holds
    assert not comparisons.reachable("c", "10.0.0.9", "other", "boot", "").holds
