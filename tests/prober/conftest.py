from __future__ import annotations

import pytest

from rehearsal.prober.client import Prober
from tests.prober import farside


@pytest.fixture
def far_side():
    """Make far sides that are closed after the test."""
    made = []

    def make(*arguments, **options):
        made.append(farside.FarSide(*arguments, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def echo():
    server = farside.Echo()
    yield server
    server.close()


@pytest.fixture(scope="session")
def tls(tmp_path_factory):
    """Return the path of a CA and the server's side of TLS."""
    ca_path, server_path = farside.certificates(tmp_path_factory.mktemp("tls"))
    return str(ca_path), farside.server_terms(server_path)


@pytest.fixture
def prober(tmp_path):
    """Start real probers on a run directory; each is stopped after the test."""
    started = []

    def start(run_dir=tmp_path, allowed=("127.0.0.0/8", "::1/128"), **options):
        log = run_dir / "logs" / "prober.log"
        started.append(Prober.start(run_dir, log, allowed=allowed, precedence="none", **options))
        return started[-1]

    yield start
    for each in started:
        each.stop(3)
