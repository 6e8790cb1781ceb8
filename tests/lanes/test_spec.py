from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.lanes import declare
from rehearsal.lanes.answers import DEEP
from rehearsal.lanes.answers import SHALLOW
from rehearsal.lanes.load import check_load
from rehearsal.lanes.spec import ProbeRefused
from rehearsal.lanes.spec import ProbeSpec
from rehearsal.lanes.spec import spec_from
from rehearsal.lanes.spec import web_settings
from rehearsal.prober.sink import request_id


def declared(**changes):
    data = {
        "probe": 1,
        "name": "nova public new",
        "lane": "vip-new",
        "service": "nova",
        "target": "https://api.example.test:8774/v2.1/",
        "period_ns": 100_000_000,
        "deadline_ns": 10_000_000_000,
        "settings": {"address": "192.0.2.10"},
    }
    return {**data, **changes}


def test_packets_go_to_the_declared_address_and_the_name_is_only_spoken():
    """The address is numeric; the name of the URL is used in TLS and in `Host`, nothing is looked up."""
    where = web_settings(spec_from(declared()))
    assert where.address == ("192.0.2.10", 8774)
    assert (where.name, where.host, where.path, where.tls) == (
        "api.example.test",
        "api.example.test:8774",
        "/v2.1/",
        True,
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"settings": {}}, "must be a numeric address"),
        ({"settings": {"address": "api.example.test"}}, "resolve names before declaring"),
        ({"settings": {"address": "224.0.0.1"}}, "no unicast address"),
        ({"settings": {"address": "0.0.0.0"}}, "no unicast address"),
        ({"settings": {"address": "255.255.255.255"}}, "no unicast address"),
        ({"settings": {"address": "10.0.0.1"}}, "not among the addresses that may be probed"),
        ({"target": "ftp://api.example.test/"}, "no http or https URL"),
        ({"target": "https://user:word@api.example.test/"}, "no http or https URL"),
        ({"target": "https://api.example.test:x/"}, "no http or https URL"),
        ({"target": "https://api.example.test/a b"}, "characters that no URL may hold"),
        ({"target": "https://api.example.test/\r\nX-A: b"}, "characters that no URL may hold"),
        ({"lane": "smtp"}, "unknown lane"),
        ({"service": "horizon"}, "no good answer is declared for 'horizon'"),
        ({"period_ns": 1_000_000}, "the period must be between"),
        ({"period_ns": True}, "wrong type"),
        ({"soft_ns": 20_000_000_000}, "soft deadline must not be later"),
        ({"deadline_ns": 10**12}, "the deadline must be between"),
        ({"probe": 70_000}, "between 0 and 65535"),
        ({"lane": "tcp"}, "must be a port number"),
        ({"speed": 3}, "unknown fields: speed"),
    ],
)
def test_what_could_harm_or_prove_nothing_is_refused(changes, says):
    """Each refusal is one sentence that says why."""
    allowed = [
        ipaddress.ip_network("192.0.2.0/24"),
        ipaddress.ip_network("224.0.0.0/3"),
        ipaddress.ip_network("0.0.0.0/8"),
    ]
    with pytest.raises(ProbeRefused, match=says):
        spec_from(declared(**changes), allowed=allowed)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.dictionaries(st.text(), inner) | st.lists(inner),
    )
)
def test_any_declaration_is_carried_out_or_refused(data):
    """Nothing that comes as an order can crash the prober."""
    for candidate in (
        data,
        {**declared(), "settings": data},
        {**declared(), "target": data},
        {**declared(), "probe": data},
    ):
        try:
            spec_from(candidate)
        except ProbeRefused:
            continue


def test_the_load_is_computed_and_capped():
    """The load is known before the first sample, and too much is refused."""
    specs = [ProbeSpec(**declared(probe=number)) for number in range(10)]
    assert check_load(specs) == pytest.approx(100)
    with pytest.raises(ProbeRefused, match="500 new connections a second would exceed the cap of 400"):
        check_load([ProbeSpec(**declared(period_ns=2_000_000))])
    with pytest.raises(ProbeRefused, match="samples a second would exceed the cap"):
        check_load([ProbeSpec(**declared(lane="icmp", period_ns=2_000_000)) for _ in range(10)])


def test_every_service_has_its_lanes():
    """Each service with a shallow answer also has a deep one, and its probes are accepted."""
    assert declare.services_known() == set(DEEP)
    for service in sorted(declare.services_known()):
        for port in (5000, 443):
            where = declare.Where(service, f"https://api.example.test:{port}/x", "192.0.2.10", "public")
            specs = declare.shallow_probes(where)
            specs += declare.read_probes(where, project_id="p")
            for spec in specs:
                settings = web_settings(spec_from(spec.to_dict()))
                assert "{" not in settings.path
    assert len(SHALLOW) == len(DEEP) + 1


def test_a_canary_gets_icmp_and_an_established_flow():
    """A canary is reached by ICMP at 50 Hz and by TCP at 20 Hz."""
    icmp, tcp = declare.canary_probes("c0", "192.0.2.77", 7)
    assert (icmp.samples_per_s, tcp.samples_per_s) == (50, 20)
    assert [spec_from(spec.to_dict()) for spec in (icmp, tcp)] == [icmp, tcp]


@given(run=st.integers(0, 2**40), probe=st.integers(0, 65535), seq=st.integers(0, 2**32 - 1))
def test_request_ids_have_the_shape_that_services_keep(run, probe, seq):
    """`req-` and a lower-case UUID; other shapes are dropped silently by the services."""
    text = request_id(run, probe, seq)
    parts = text.removeprefix("req-").split("-")
    assert text == text.lower()
    assert [len(part) for part in parts] == [8, 4, 4, 4, 12]
    assert (int(parts[1], 16), int(parts[4], 16)) == (probe, seq)
