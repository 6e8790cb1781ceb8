"""APIs: they answer themselves, the servers behind the load balancer are up, the certificates last."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from fixtures.cloud import certificate
from fixtures.cloud import get
from rehearsal.claims import apis
from rehearsal.figures.expectation import NotObserved
from rehearsal.figures.expectation import expect
from rehearsal.hosts.parts import haproxy
from rehearsal.lanes.answers import SHALLOW

if TYPE_CHECKING:
    from fixtures.cloud import Cloud
    from fixtures.hosts import Hosts
    from fixtures.subjects import OfferedApi
    from rehearsal.cloud import Target


@pytest.mark.check("preflight.api-answers", after_upgrade=True)
def test_api_answers(api: OfferedApi, cloud: Cloud) -> None:
    """The API answers at this endpoint with the status and content that only this service gives."""
    good = SHALLOW[api.service]
    parts = urlsplit(api.url)
    expect(apis.answered_by_itself(get(f"{parts.scheme}://{parts.netloc}{good.path}", cloud.tls), api.service, good))


@pytest.mark.check("preflight.haproxy-servers", service="loadbalancer", needs=("haproxy",), after_upgrade=True)
def test_haproxy_servers(placed_host: str, hosts: Hosts) -> None:
    """The load balancer on the host reports every server of every service as up."""
    expect(haproxy.servers_up(hosts[placed_host]))


@pytest.mark.check("preflight.certificate", service="loadbalancer", needs=("tls",), after_upgrade=True)
def test_certificate(vip: str, target: Target, cloud: Cloud) -> None:
    """The certificate of the VIP is trusted by the cloud's CA and valid for at least another 14 days."""
    found = target.vip(vip)
    wanted = "public" if vip == "external" else vip
    offered = sorted(each.url for each in target.endpoints if each.interface == wanted and each.url.startswith("https"))
    if found is None or not offered:
        raise NotObserved(f"no endpoint with TLS is known on the {vip} VIP")
    where = urlsplit(offered[0])
    expect(apis.valid_long_enough(certificate(found.name, where.port or 443, cloud.tls), time.time()))
