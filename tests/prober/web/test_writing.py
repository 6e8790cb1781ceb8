from __future__ import annotations

import itertools
import json
import re
import time
from dataclasses import replace

import pytest

from rehearsal.lanes import declare
from rehearsal.lanes.load import check_load
from rehearsal.lanes.spec import ProbeRefused
from rehearsal.lanes.spec import spec_from
from rehearsal.lanes.writes import WRITES
from rehearsal.prober.web import writing
from rehearsal.prober.web.tokens import Tokens
from rehearsal.prober.web.writing import WriteProbe
from rehearsal.recording.naming import description_of
from rehearsal.recording.naming import name_of
from rehearsal.recording.naming import run_of
from rehearsal.recording.sampleclass import SampleClass
from tests.prober.farside import HAPROXY_503
from tests.prober.farside import answer
from tests.prober.farside import reset
from tests.prober.taking import MS
from tests.prober.taking import take_web

RUN = "20261126T133849Z"
GONE = answer(204, "", x_openstack_request_id="req-theirs-2")


def write_spec(url, service="neutron", hz=20.0):
    settings = {
        "token": "write", "tag": name_of(RUN, "write"), "description": description_of(RUN),
        "user_id": "u1", "project_id": "p1",
    }  # fmt: skip
    where = declare.Where(service, url, "127.0.0.1", "public", "public")
    spec = replace(declare.write_probe(where, {"write": hz}, **settings), probe=7)
    return spec_from(spec.to_dict())


def made(service, number=1, status=None):
    """Return the answer that this service gives to a create."""
    write = WRITES[service]
    found = f"made-{number}"
    for key in reversed(write.made):
        found = {key: found}
    return answer(status or min(write.create.statuses), json.dumps(found), x_openstack_request_id="req-theirs-1")


def take(spec, samples=1):
    tokens = Tokens()
    tokens.set("write", "a-token-of-the-canaries-user")
    return take_web(spec, samples, tokens=tokens, kind=WriteProbe)


class Service:
    """Answers creates and deletes, and knows what is there."""

    def __init__(self, service="neutron", create=None, delete=None, shown=()):
        self.service, self.create, self.delete, self.shown = service, create, delete, list(shown)
        self.numbers = itertools.count(1)
        self.there = {}
        self.asked = []

    def __call__(self, connection, nth):
        head = self.far.requests[-1]
        method, path, _ = head.split(b"\r\n")[0].decode().split(" ")
        self.asked.append((method, path))
        if method == "POST":
            if self.create is not None:
                return self.create(connection, head) if callable(self.create) else self.create
            name = re.search(rb"rehearse-[^\"]*", head.split(b"\r\n\r\n", 1)[1])[0].decode()
            number = next(self.numbers)
            self.there[f"made-{number}"] = name
            return made(self.service, number)
        if method == "GET":
            return answer(200, json.dumps({"volume": {"status": self.shown.pop(0)}}), x_openstack_request_id="req-x")
        if self.delete is not None:
            return self.delete(connection, head) if callable(self.delete) else self.delete
        del self.there[path.rpartition("/")[2]]
        return GONE


@pytest.fixture
def serving(far_side):
    def start(service):
        service.far = far_side(service)
        return service.far

    return start


@pytest.mark.parametrize("service", sorted(set(WRITES) - {"cinder"}))
def test_a_round_makes_one_thing_with_the_runs_name_and_removes_it(serving, service):
    """A round is one create and one delete, each over its own connection; nothing stays."""
    cloud = Service(service)
    far = serving(cloud)
    kept = take(write_spec(far.url, service), 2)
    assert kept.classes == [SampleClass.OK] * 2
    assert kept.details == []
    assert cloud.there == {}
    assert [method for method, _ in cloud.asked].count("POST") == 2
    assert [method for method, _ in cloud.asked].count("DELETE") == 2
    assert far.connections == 4
    body = json.loads(far.requests[0].split(b"\r\n\r\n", 1)[1])
    assert run_of(next(text for text in re.findall(r'"(rehearse-[^"]*)"', json.dumps(body)))) == RUN
    assert all(b"X-Auth-Token: a-token-of-the-canaries-user\r\n" in head for head in far.requests)


def test_the_two_requests_of_a_round_have_ids_of_their_own(serving):
    """Both ids are UUIDs of the shape that services log, and differ."""
    far = serving(Service())
    take(write_spec(far.url), 1)
    ids = [re.search(rb"X-Openstack-Request-Id: (\S+)", head)[1].decode() for head in far.requests]
    assert ids == [
        "req-0000abcd-0007-4000-8000-000000000000",
        "req-0000abcd-0007-4000-9000-000000000000",
    ]


def test_a_failed_delete_is_a_failed_sample_is_not_repeated_and_is_named(serving):
    """What a failed delete leaves behind is named with both request ids, and clean finds it by its name."""
    cloud = Service(delete=answer(500, "{}", x_openstack_request_id="req-theirs-2"))
    far = serving(cloud)
    kept = take(write_spec(far.url), 1)
    assert kept.classes == [SampleClass.HTTP_5XX_BACKEND]
    assert len(far.requests) == 2
    assert [run_of(name) for name in cloud.there.values()] == [RUN]
    assert f"{name_of(RUN, 'write')}-0 (made-1) may be left behind" in kept.messages
    assert "create req-0000abcd-0007-4000-8000-000000000000 (req-theirs-1) 201" in kept.messages
    assert "delete req-0000abcd-0007-4000-9000-000000000000 (req-theirs-2) 500" in kept.messages
    assert kept.details[0]["request_id"] == "req-theirs-2"
    assert kept.details[0]["maker"] == "service"


@pytest.mark.parametrize(
    ("create", "expected"),
    [
        (HAPROXY_503.encode(), SampleClass.HTTP_5XX_LB),
        (answer(500, "{}"), SampleClass.HTTP_5XX_BACKEND),
        (answer(401, "{}"), SampleClass.HTTP_401_UNEXPECTED),
        (answer(400, "{}"), SampleClass.HTTP_UNEXPECTED),
        (answer(403, "{}"), SampleClass.HTTP_403),
        (answer(409, "{}"), SampleClass.HTTP_THROTTLED),
        (answer(201, "{}"), SampleClass.BODY_MISMATCH),
        (answer(201, '{"subnetpool": {"id": "../../v2.0/networks/x"}}'), SampleClass.BODY_MISMATCH),
        (lambda connection, head: reset(connection), SampleClass.RST_MIDSTREAM),
    ],
)
def test_a_failed_create_is_followed_by_nothing(serving, create, expected):
    """Where nothing was made for certain, nothing is deleted, and an id that would lead elsewhere is not followed."""
    far = serving(Service(create=create))
    kept = take(write_spec(far.url), 1)
    assert kept.classes == [expected]
    assert len(far.requests) == 1
    says_no = kept.details[0]["status"] in range(300, 500)
    assert ("may have been made" in kept.messages) == (not says_no)


def test_a_slow_delete_makes_the_round_slow(serving):
    """Late answers are degraded, not lost; the sample lasts from the create to the last answer."""

    def late(connection, head):
        time.sleep(0.3)
        return GONE

    far = serving(Service(delete=late))
    spec = write_spec(far.url)
    spec = spec_from({**spec.to_dict(), "soft_ns": 150 * MS})
    kept = take(spec, 1)
    assert kept.classes[0] is SampleClass.SLOW_OK
    assert kept.rows[0].done - kept.rows[0].sent >= 300 * MS
    assert "may be left behind" not in kept.messages


def test_a_delete_that_is_not_answered_ends_at_its_deadline(serving):
    """A round ends within its deadline, as a timeout, with the thing named."""

    def mute(connection, head):
        time.sleep(1.5)

    far = serving(Service(delete=mute))
    spec = spec_from({**write_spec(far.url).to_dict(), "deadline_ns": 1000 * MS, "soft_ns": 0})
    kept = take(spec, 1)
    assert kept.classes == [SampleClass.TIMEOUT_TTFB]
    assert "may be left behind" in kept.messages


def test_nobody_there_for_the_delete_is_no_proof_from_before_it(far_side, monkeypatch):
    """A connection that is not made for the delete counts from the end of the sample: at its beginning all was well."""
    far = far_side(lambda connection, nth: made("neutron"))
    real, calls = writing.connected, []

    def connected(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise writing.Broken(SampleClass.TIMEOUT_CONNECT, "no answer to the SYN")
        return (yield from real(*arguments))

    monkeypatch.setattr(writing, "connected", connected)
    kept = take(write_spec(far.url), 1)
    assert kept.classes == [SampleClass.TIMEOUT_TTFB]
    assert not kept.classes[0].proof_is_sent


def test_without_a_token_nothing_is_said_about_the_service(serving):
    """A missing token is the prober's own fault, and nothing is sent."""
    far = serving(Service())
    kept = take_web(write_spec(far.url), 1, kind=WriteProbe)
    assert kept.classes == [SampleClass.LOCAL_FAULT]
    assert far.requests == []


def test_a_volume_is_waited_for_before_it_is_deleted(serving, monkeypatch):
    """Where the answer comes before the work, the delete comes after it."""
    monkeypatch.setattr("rehearsal.prober.web.writing._POLL_NS", 20 * MS)
    cloud = Service("cinder", shown=["creating", "creating", "available"])
    far = serving(cloud)
    kept = take(write_spec(far.url, "cinder"), 1)
    assert kept.classes == [SampleClass.OK]
    assert [method for method, _ in cloud.asked] == ["POST", "GET", "GET", "GET", "DELETE"]
    assert cloud.asked[0][1] == "/v3/p1/volumes"
    failing = Service("cinder", shown=["creating", "error"])
    kept = take(write_spec(serving(failing).url, "cinder"), 1)
    assert kept.classes == [SampleClass.HTTP_UNEXPECTED]
    assert failing.asked[-1][0] == "DELETE"


def test_a_write_without_a_runs_tag_is_refused():
    """What nobody could find again is not made; nor is anything at a service of which nothing is declared."""
    spec = write_spec("http://127.0.0.1:9")
    with pytest.raises(ProbeRefused, match="must carry the run"):
        spec_from({**spec.to_dict(), "settings": {**spec.settings, "tag": "mine"}})
    with pytest.raises(ProbeRefused, match="nothing that could be made"):
        spec_from({**spec.to_dict(), "service": "placement"})


def test_a_write_counts_as_two_requests():
    """The load that writing adds is that of its create and of its delete."""
    spec = write_spec("http://127.0.0.1:9", hz=500.0)
    with pytest.raises(ProbeRefused, match="1000 new connections a second"):
        check_load([spec])


def test_the_prober_writes_on_schedule(serving, prober):
    """A real prober takes the lane like any other."""
    cloud = Service()
    far = serving(cloud)
    running = prober()
    running.token("write", "a-token-of-the-canaries-user")
    running.declare(write_spec(far.url))
    end = time.monotonic() + 10
    while sum(method == "DELETE" for method, _ in cloud.asked) < 3 and time.monotonic() < end:
        time.sleep(0.02)
    running.retire(7, "over")
    running.stop()
    assert sum(method == "DELETE" for method, _ in cloud.asked) >= 3
    assert cloud.there == {}
