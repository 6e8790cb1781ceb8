"""Admin's token goes to addresses of the configuration only, however another one is written."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.cloud import Endpoint
from rehearsal.cloud import Options
from rehearsal.cloud import Target
from rehearsal.cloud import Vip
from rehearsal.cloud import discover
from rehearsal.cloud import options as target_options
from rehearsal.cloud import trusted
from rehearsal.cloud import whereabouts
from rehearsal.lanes.rates import rates_of
from rehearsal.lanes.spec import ProbeRefused
from rehearsal.lanes.spec import spec_from
from rehearsal.runner import declared
from tests.made.repository import make_repository

TARGET = Target(
    configuration="", cloud="admin", clouds_file="", secure_file="", cacert="", operator_user="", operator_key="",
    hosts=(), groups={}, endpoints=(), release=None, auth_url="https://api.example.test:5000/v3", api_ports=(18774,),
    vips=(
        Vip("internal", "fd00::9", "api-int.example.test", tls=False),
        Vip("external", "192.0.2.254", "api.example.test", tls=True),
    ),
)  # fmt: skip
TRUST = trusted.trust_of(TARGET)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.test:8774/v2.1",
        "https://API.Example.test.:8774/v2.1",
        "https://api.example.test/compute",
        "https://192.0.2.254:9696",
        "http://[fd00::9]:9292/",
        "http://[FD00:0::9]:9292/",
        "http://api-int.example.test:5000/v3",
        "https://api.example.test:18774/v2.1",
    ],
)
def test_addresses_of_the_configuration_are_trusted(url):
    """Both VIPs, by name and by address, at the ports of OpenStack's APIs, and those that the configuration sets."""
    assert "" == TRUST.refusal(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.test:8774/v2.1",
        "http://api.example.test:8774/v2.1",  # TLS is on there
        "ftp://api.example.test:8774/",
        "https://api.example.test:22/",
        "https://api.example.test:0/",
        "https://api.example.test@evil.test:8774/",
        "https://evil.test:8774@api.example.test:8774/",
        "https://evil.test\\@api.example.test:8774/",
        "https://evil.test#@api.example.test:8774/",
        "https://api.example.test.evil.test:8774/",
        "https://\u0430pi.example.test:8774/",  # a Cyrillic letter
        "https://xn--pi-7kc.example.test:8774/",
        "https://api\u3002example\u3002test:8774/",
        "https://api.example.test\n:8774/",
        "https://api.example.test%2eevil.test:8774/",
        "https://0xc00002fe:8774/",
        "https://3221226238:8774/",
        "https://192.0.766:8774/",
        "http://[fd00::9%25eth0]:9292/",
        "http://[fd00::a]:9292/",
        "http://[::ffff:192.0.2.254]:8774/",
        "https://api.example.test:8774:8774/",
        "//api.example.test:8774/",
        "",
    ],
)
def test_everything_else_is_refused(url):
    """Another host, scheme or port; userinfo; look-alikes; what clients understand differently."""
    assert TRUST.refusal(url)


hosts = st.one_of(
    st.from_regex(r"[a-z]{1,8}(\.[a-z]{2,8}){1,3}", fullmatch=True),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
    st.text(max_size=12),
    st.sampled_from(["api.example.test", "192.0.2.254", "[fd00::9]", "api-int.example.test"]),
)
OURS = {"api.example.test", "192.0.2.254", "fd00::9", "api-int.example.test"}


@given(
    st.sampled_from(["http", "https", "HTTPS", "file", ""]), st.text(max_size=6), hosts, st.integers(0, 70000), st.text(max_size=6)
)  # fmt: skip
def test_no_spelling_leads_elsewhere(scheme, before, host, port, path):
    """What is trusted leads to one of our hosts for requests' own parser, too."""
    import requests

    for userinfo in (before, f"{before}@", ""):
        url = f"{scheme}://{userinfo}{host}:{port}/{path}"
        if not TRUST.refusal(url):
            sent = requests.Request("GET", url).prepare()
            from urllib.parse import urlsplit

            asked = urlsplit(sent.url)
            assert asked.hostname.rstrip(".") in OURS
            assert asked.scheme == "https" or asked.hostname in {"fd00::9", "api-int.example.test"}
            assert "@" not in asked.netloc


@pytest.mark.parametrize(
    ("entry", "good", "bad"),
    [
        ("swift.test", "https://swift.test:1234/", "http://swift.test:1234/"),
        ("swift.test:1234", "https://swift.test:1234/", "https://swift.test:1235/"),
        ("http://swift.test:1234/v1", "http://swift.test:1234/x", "https://swift.test:1234/"),
        ("fd00::c", "https://[fd00::c]:1/", "https://[fd00::d]:1/"),
        ("[fd00::c]:77", "https://[fd00::c]:77/", "https://[fd00::c]:78/"),
    ],
)
def test_what_the_operator_names_is_trusted_and_no_more(entry, good, bad):
    """By host, by host and port, or by a URL's origin; in the clear only if the operator wrote so."""
    trust = trusted.trust_of(dataclasses.replace(TARGET, allowed_endpoints=(entry,)))
    assert "" == trust.refusal(good)
    assert trust.refusal(bad)
    assert TRUST.refusal(good)


def _discovered(tmp_path, monkeypatch, *urls, allowed=()):
    found = tuple(
        Endpoint("nova", kind, url, "catalogue") for kind, url in zip(("public", "internal"), urls, strict=False)
    )
    monkeypatch.setattr(whereabouts, "from_keystone", lambda *_: found)
    options = dataclasses.replace(make_repository(tmp_path), online=True, allowed_endpoints=allowed)
    return discover(options)


def test_an_endpoint_elsewhere_is_refused_with_its_remedy(tmp_path, monkeypatch):
    """It is no part of the target, nothing goes on, and one sentence says what and what to type."""
    target = _discovered(tmp_path, monkeypatch, "https://evil.test:8774/v2.1", "https://127.0.0.9:8774/v2.1")
    assert target.endpoint("nova", "public") is None
    assert target.endpoint("nova", "internal") is not None
    (problem,) = target.errors
    assert "nova (public)" in problem.sentence
    assert "https://evil.test:8774/v2.1" in problem.sentence
    assert "--allow-endpoint https://evil.test:8774" in problem.remedy


def test_an_endpoint_that_is_allowed_by_name_is_taken(tmp_path, monkeypatch):
    """The operator decides; suites and a resumed run get the same decision."""
    target = _discovered(tmp_path, monkeypatch, "https://dns.test:8774/v2.1", allowed=("dns.test:8774",))
    assert () == target.errors
    assert target.endpoint("nova", "public") is not None
    target.save(tmp_path / "target.json")
    assert target == Target.load(tmp_path / "target.json")
    passed = target_options.as_environment(Options(allowed_endpoints=("dns.test:8774", "x.test")))
    assert ("dns.test:8774", "x.test") == target_options.from_environment(passed).allowed_endpoints


def test_a_word_that_allows_nothing_is_told(tmp_path, monkeypatch):
    """A typing mistake in what is allowed is an error, not a silence."""
    target = _discovered(tmp_path, monkeypatch, "https://127.0.0.9:8774/v2.1", allowed=("a@b", "*"))
    assert 2 == len(target.errors)


def test_no_probe_with_a_token_is_declared_for_an_address_elsewhere(tmp_path):
    """Even if a target came with such an endpoint: reads and fresh tokens are not declared for it."""
    target = discover(make_repository(tmp_path))
    endpoints = (
        Endpoint("nova", "public", "https://127.0.0.66:8774/v2.1", "catalogue"),
        Endpoint("keystone", "public", "https://127.0.0.66:5000/v3", "catalogue"),
    )
    target = dataclasses.replace(target, endpoints=endpoints)
    specs = declared.api_probes(target, ["nova", "keystone"], rates_of({}), project_id="p")
    assert [] == [spec for spec in specs if spec.settings.get("token") or spec.settings.get("issues")]


@pytest.mark.parametrize("setting", ["token", "issues"])
def test_no_token_goes_past_haproxy(setting):
    """API servers are found on hosts: the prober itself refuses to send them a token."""
    spec = {
        "probe": 1, "name": "x", "lane": "backend-new", "service": "nova", "target": "http://127.0.0.1:8774/",
        "period_ns": 10**9, "deadline_ns": 10**9, "settings": {"address": "127.0.0.1", setting: "kept"},
    }  # fmt: skip
    with pytest.raises(ProbeRefused, match="carries no token"):
        spec_from(spec)


@pytest.mark.parametrize(
    ("entry", "host"),
    [
        ("api.example.org", "api.example.org"),
        ("API.example.org:9696", "api.example.org"),
        ("https://api.example.org:9696/v2", "api.example.org"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]:9696", "2001:db8::1"),
        ("not a host", None),
    ],
)
def test_what_an_entry_of_the_operator_names(entry, host):
    """The host as it is compared: a part of a name is another name."""
    assert ({host} if host else set()) == trusted.hosts_of([entry])
    assert "example.org" not in trusted.hosts_of([entry])


@pytest.mark.parametrize(
    ("allowed", "told"), [((), True), (("api.elsewhere.example",), False), (("xapi.elsewhere.example",), True)]
)
def test_a_catalogue_beside_the_vips_is_told_unless_the_operator_says_that_it_is_right(allowed, told):
    """Probes and users would look at different places."""
    problems = []
    endpoint = Endpoint("nova", "public", "https://api.elsewhere.example:8774/v2.1", "catalogue")
    whereabouts.check_against_vips((endpoint,), (), allowed, problems)
    assert told == ("nova (public) to api.elsewhere.example" in " ".join(map(str, problems)))
