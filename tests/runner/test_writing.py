"""Who writes through the APIs during a run, where, and with which token."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
from openstack import exceptions

from rehearsal.canaries import model
from rehearsal.cloud import discover
from rehearsal.cloud.knownapis import APIS
from rehearsal.cloud.target import Endpoint
from rehearsal.lanes.rates import rates_of
from rehearsal.prober.client import ProberError
from rehearsal.recording.naming import run_of
from rehearsal.runner import guests as guests_module
from rehearsal.runner.guests import Guests
from rehearsal.runner.watch import Watch
from tests.made.repository import make_repository

RUN = "20261126T133849Z"


class Told:
    """A prober that notes its orders."""

    def __init__(self):
        self.tokens, self.declared, self.retired = [], [], []

    def token(self, name, token):
        self.tokens.append((name, token))

    def declare(self, spec):
        self.declared.append(spec)

    def retire(self, probe, _reason):
        self.retired.append(probe)


@pytest.fixture
def watched(tmp_path):
    """A watch with a prober that notes its orders, and the target of a run."""
    run = SimpleNamespace(run=RUN, path=tmp_path, logs=tmp_path)
    records = []
    watch = Watch(run, records.append, {}, rates_of({"write": 0.1}))
    watch._prober = Told()
    target = discover(make_repository(tmp_path))
    services = ["nova", "neutron", "placement"]
    urls = [(service, f"https://127.0.0.9:{APIS[service].port}") for service in services]
    endpoints = tuple(Endpoint(service, "public", url, "catalogue") for service, url in urls)
    target = dataclasses.replace(target, endpoints=endpoints)
    return SimpleNamespace(watch=watch, prober=watch._prober, target=target, services=services, records=records)


def guests_of(watched, author):
    guests = Guests(RUN, watched.records.append, watched.watch)
    guests.author = author
    return guests


def author(*tokens):
    left = list(tokens)

    def issue():
        token = left.pop(0)
        if isinstance(token, Exception):
            raise token
        return token

    return model.Author("u", "p", issue)


def test_the_canaries_user_writes_and_the_lane_ends_before_its_project(watched):
    """Every API that a user can write to gets the lane, with the run in all names; it is retired with the canaries."""
    guests_of(watched, author("t1")).let_write(watched.target, watched.services)
    assert watched.prober.tokens == [("writer", "t1")]
    assert [(spec.service, spec.lane, spec.period_ns) for spec in watched.prober.declared] == [
        ("neutron", "write", 10**10),
        ("nova", "write", 10**10),
    ]
    assert {run_of(f"{spec.settings['tag']}-1") for spec in watched.prober.declared} == {RUN}
    assert {spec.settings["project_id"] for spec in watched.prober.declared} == {"p"}
    watched.watch.leave_all("over")
    assert watched.prober.retired == [spec.probe for spec in watched.prober.declared]


def test_without_a_project_of_their_own_nothing_is_written_and_that_is_said(watched):
    """Nobody else's project is written to."""
    guests = guests_of(watched, None)
    guests.up = (object(),)
    guests.let_write(watched.target, watched.services)
    assert watched.prober.declared == []
    assert "no project of their own" in watched.records[0].text


@pytest.mark.parametrize("trouble", [exceptions.SDKException("keystone is away"), ProberError("it is gone")])
def test_without_a_token_nothing_is_written_and_that_is_said(watched, trouble):
    """A run goes on without the lane."""
    guests_of(watched, author(trouble)).let_write(watched.target, watched.services)
    assert watched.prober.declared == []
    assert str(trouble) in watched.records[0].text


def test_the_token_is_renewed_before_it_can_expire(watched, monkeypatch):
    """Listening to the canaries now and then brings a new token; one that cannot be had leaves the old one."""
    guests = guests_of(watched, author("t1", "t2", exceptions.SDKException("keystone is away"), "t4"))
    guests.let_write(watched.target, watched.services)
    guests.listen()
    assert watched.prober.tokens == [("writer", "t1")]
    monkeypatch.setattr(guests_module, "_TOKEN_S", -1.0)
    guests.listen()
    guests.listen()
    guests.listen()
    assert [token for _, token in watched.prober.tokens] == ["t1", "t2", "t4"]
