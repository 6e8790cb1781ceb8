"""HAProxy's configuration as kolla-ansible writes it, and as nobody should."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.cloud import balancer
from rehearsal.cloud.balancer import Server

KOLLA = """\
global
    log stdout format raw local1 notice

defaults
    timeout connect 10s

listen stats
    bind 10.0.0.10:1984
    stats auth openstack:a-secret-of-the-test

frontend nova_api_front
    mode http
    http-request set-header X-Forwarded-Proto https if { ssl_fc }
    bind 10.0.0.9:8774 ssl crt /etc/haproxy/haproxy-internal.pem alpn h2,http/1.1
    default_backend nova_api_back

backend nova_api_back
    mode http
    option httpchk
    server control-0 10.0.0.10:8774 check inter 2000 rise 2 fall 5
    server control-1 10.0.0.11:8774 check inter 2000 rise 2 fall 5  # one more

frontend keystone_external_front
    bind [fd00::254]:5000 ssl crt /etc/haproxy/haproxy.pem
    default_backend keystone_external_back
backend keystone_external_back
    server control-0 [fd00::10]:5000 check ssl verify required ca-file ca-certificates.crt
    server control-1 api-of-control-1:5000 check

listen placement_api
  bind 10.0.0.9:8780,10.0.0.254:8780
  server control-0 ipv4@10.0.0.10:8780 check
"""


def behind(address, port, text=KOLLA):
    return balancer.servers_behind(balancer.read(text), address, port)


def test_servers_behind_a_virtual_address():
    """Frontend and backend, as kolla-ansible writes them: every controller, in order, in plain HTTP."""
    found = behind("10.0.0.9", 8774)
    assert [Server("control-0", "10.0.0.10", 8774, False), Server("control-1", "10.0.0.11", 8774, False)] == list(found)
    assert found[1].url == "http://10.0.0.11:8774"


def test_tls_and_ipv6():
    """A server that HAProxy asks over TLS is asked over TLS; IPv6 is written in brackets; a name is no address."""
    [server] = behind("fd00:0::254", 5000)
    assert server.url == "https://[fd00::10]:5000"


def test_a_listen_section_has_servers_of_its_own():
    """The older form, with several addresses on one line."""
    assert behind("10.0.0.254", 8780) == behind("10.0.0.9", 8780) == (Server("control-0", "10.0.0.10", 8780, False),)


@pytest.mark.parametrize(("address", "port"), [("10.0.0.9", 8775), ("10.0.0.99", 8774), ("no address", 8774)])
def test_nothing_is_guessed(address, port):
    """An address and port at which nothing listens has no servers, however much the port looks like nova's."""
    assert behind(address, port) == ()


def test_an_address_that_stands_for_all_counts_where_none_is_named():
    """`bind *:80` is every address; a frontend that names the address comes before it."""
    everywhere = "frontend a\n bind *:80\n default_backend b\nbackend b\n server s 10.0.0.1:80\n"
    exact = "frontend c\n bind 10.0.0.9:80\n default_backend d\nbackend d\n server t 10.0.0.2:80\n"
    assert [server.name for server in behind("10.0.0.9", 80, everywhere)] == ["s"]
    assert [server.name for server in behind("10.0.0.9", 80, everywhere + exact)] == ["t"]


def test_no_secret_is_kept():
    """What is read holds nothing of the statistics page's password."""
    assert "a-secret-of-the-test" not in repr(balancer.read(KOLLA))


words = st.sampled_from(
    ["frontend", "backend", "listen", "bind", "server", "default_backend", "a", "b", "[::]:1", "*:2", ":3", "1.2.3.4:5",
     "[fd00::1]:70000", "::1", "[", "ssl", ",", "#", "255.255.255.255:x"]
)  # fmt: skip
lines = st.lists(words, max_size=5).map(" ".join)


@given(
    text=st.lists(st.one_of(lines, lines.map(lambda line: f"  {line}"), st.text(max_size=20)), max_size=20).map(
        "\n".join
    )
)
def test_any_text_is_read(text):
    """Whatever stands in the file: no error, and every server has a numeric address and a port."""
    sections = balancer.read(text)
    for section in sections:
        for server in section.servers:
            assert not ipaddress.ip_address(server.address).is_unspecified
            assert 0 < server.port < 2**16
        for address, port in section.binds:
            balancer.servers_behind(sections, address, port)
