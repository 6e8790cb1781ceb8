"""Tests of the connection to the cloud: nothing repeats a request, whatever clouds.yaml says."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import json
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from openstack import exceptions as sdk_errors

from rehearsal.cloud import Release
from rehearsal.cloud import Target
from rehearsal.cloud import facts
from rehearsal.cloud.connection import CLOUD_ERRORS
from rehearsal.cloud.connection import CloudError
from rehearsal.cloud.connection import connect
from rehearsal.cloud.connection import sentence
from rehearsal.cloud.connection import status_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# openstacksdk warns about what it will change in itself.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]


class Recorder(http.server.ThreadingHTTPServer):
    """Keystone and glance as far as one request needs them; glance is away."""

    asked: list[str]
    tokens: list[str]
    elsewhere: str = ""
    redirect: str = ""


class Answer(http.server.BaseHTTPRequestHandler):
    server: Recorder

    def do_POST(self) -> None:
        root = f"http://127.0.0.1:{self.server.server_port}"
        catalog = [
            {
                "type": kind,
                "name": kind,
                "endpoints": [{"interface": "public", "region": "r", "region_id": "r", "url": url}],
            }
            for kind, url in (
                ("image", f"{root}/image"),
                ("compute", f"{root}/compute"),
                ("network", self.server.elsewhere or f"{root}/network"),
            )
        ]
        body = {
            "token": {
                "catalog": catalog,
                "expires_at": "2999-01-01T00:00:00.000000Z",
                "issued_at": "2020-01-01T00:00:00.000000Z",
                "methods": ["password"],
                "project": {"id": "p", "name": "p", "domain": {"id": "d", "name": "d"}},
                "user": {"id": "u", "name": "u", "domain": {"id": "d", "name": "d"}},
                "roles": [],
            }
        }
        self._send(201, body, {"X-Subject-Token": "secret-token"})

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.tokens += [self.headers[name] for name in ("X-Auth-Token",) if name in self.headers]
        root = f"http://127.0.0.1:{self.server.server_port}"
        if self.server.redirect and self.path.startswith("/compute"):
            self._send(302, {}, {"Location": self.server.redirect})
        elif self.path in {"/image", "/image/"}:
            link = [{"rel": "self", "href": f"{root}/image/v2/"}]
            self._send(200, {"versions": [{"id": "v2.16", "status": "CURRENT", "links": link}]})
        elif self.path in {"/v3", "/v3/"}:
            self._send(
                200, {"version": {"id": "v3.14", "status": "stable", "links": [{"rel": "self", "href": f"{root}/v3/"}]}}
            )
        else:
            self._send(503, {"error": "away"})

    def _send(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words: object) -> None:
        pass


@contextlib.contextmanager
def served() -> Iterator[Recorder]:
    server = Recorder(("127.0.0.1", 0), Answer)
    server.asked, server.tokens = [], []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def service() -> Iterator[Recorder]:
    with served() as server:
        yield server


@pytest.fixture
def stranger() -> Iterator[Recorder]:
    """Somebody who would like to have a token."""
    with served() as server:
        yield server


def target(folder: Path, port: int, more: str = "") -> Target:
    clouds = folder / "clouds.yaml"
    clouds.write_text(
        f"""
clouds:
  admin:
    auth:
      auth_url: http://127.0.0.1:{port}/v3
      username: u
      project_name: p
      user_domain_name: d
      project_domain_name: d
    region_name: r
    interface: public
{more}
"""
    )
    secure = folder / "secure.yaml"
    secure.write_text("clouds: {admin: {auth: {password: very-secret-word}}}\n")
    return Target(
        configuration="", cloud="admin", clouds_file=str(clouds), secure_file=str(secure), cacert="", operator_user="",
        operator_key="", hosts=(), groups={}, vips=(), endpoints=(), release=Release("", "", "", ""),
    )  # fmt: skip


@pytest.mark.parametrize(
    "more", ["", "    image_status_code_retries: 5\n    status_code_retries: 3\n    connect_retries: 4"]
)
def test_a_503_of_glance_is_asked_for_once(service: Recorder, tmp_path: Path, more: str) -> None:
    """A 503 is told at once: the request stands once on the server, even if clouds.yaml asks for retries."""
    connection = connect(target(tmp_path, service.server_port, more))

    with pytest.raises(CLOUD_ERRORS) as caught:
        list(connection.image.images())

    assert status_of(caught.value) == 503
    assert len([path for path in service.asked if path.startswith("/image/v2/images")]) == 1


def test_the_environment_does_not_choose_another_cloud(
    service: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OS_* variables of a shell do not redirect the connection."""
    monkeypatch.setenv("OS_CLOUD", "another")
    monkeypatch.setenv("OS_AUTH_URL", "http://127.0.0.1:1/v3")

    connection = connect(target(tmp_path, service.server_port))

    assert connection.config.config["auth"]["auth_url"] == f"http://127.0.0.1:{service.server_port}/v3"


def test_a_missing_clouds_file_is_one_sentence(tmp_path: Path) -> None:
    """Without a clouds.yaml there is no connection, and the sentence says what to do."""
    nothing = Target(
        configuration="", cloud="", clouds_file="", secure_file="", cacert="", operator_user="", operator_key="", hosts=(),
        groups={}, vips=(), endpoints=(), release=Release("", "", "", ""),
    )  # fmt: skip

    with pytest.raises(CloudError, match="--clouds FILE"):
        connect(nothing)


def test_a_cloud_that_is_not_in_the_file_is_one_sentence(tmp_path: Path) -> None:
    """A cloud that clouds.yaml does not have is an error of one line."""
    clouds = tmp_path / "clouds.yaml"
    clouds.write_text("clouds: {other: {auth: {auth_url: 'http://127.0.0.1:1/v3'}}}\n")
    nobody = Target(
        configuration="", cloud="admin", clouds_file=str(clouds), secure_file="", cacert="", operator_user="",
        operator_key="", hosts=(), groups={}, vips=(), endpoints=(), release=Release("", "", "", ""),
    )  # fmt: skip

    with pytest.raises(CloudError) as caught:
        connect(nobody)

    assert "\n" not in str(caught.value)
    assert "admin" in str(caught.value)


def test_a_sentence_has_one_line_and_no_token() -> None:
    """What an operator reads of an error is one line, short, and without secrets."""
    told = sentence(ValueError("first\n  second X-Auth-Token: gAAAAABabcdefghijklmnopqrstuvwxyz " + "x" * 1000))

    assert "\n" not in told
    assert "gAAAAAB" not in told
    assert len(told) < 320


@pytest.mark.parametrize("also_as_another", [False, True])
def test_the_catalogue_cannot_send_a_token_elsewhere(
    service: Recorder, stranger: Recorder, tmp_path: Path, also_as_another: bool
) -> None:
    """An endpoint of the catalogue that is no address of the configuration is not asked; allowed by name, it is."""
    service.elsewhere = f"http://127.0.0.1:{stranger.server_port}/network"
    described = target(tmp_path, service.server_port)
    connection = connect(described)
    if also_as_another:
        connection = connection.connect_as(username="canary", password="another-word")
    with pytest.raises(CLOUD_ERRORS) as caught:
        list(connection.network.networks())
    assert [] == stranger.asked == stranger.tokens
    assert "--allow-endpoint" in sentence(caught.value)

    allowed = dataclasses.replace(described, allowed_endpoints=(f"http://127.0.0.1:{stranger.server_port}",))
    with pytest.raises(CLOUD_ERRORS):
        list(connect(allowed).network.networks())
    assert stranger.tokens


def test_a_redirect_cannot_send_a_token_elsewhere(service: Recorder, stranger: Recorder, tmp_path: Path) -> None:
    """Whatever an API answers, the token stays with the cloud."""
    service.redirect = f"http://127.0.0.1:{stranger.server_port}/compute"
    with pytest.raises(CLOUD_ERRORS):
        list(connect(target(tmp_path, service.server_port)).compute.servers())
    assert [] == stranger.asked == stranger.tokens


def test_what_clouds_yaml_itself_names_is_asked(service: Recorder, stranger: Recorder, tmp_path: Path) -> None:
    """An endpoint that overrules the catalogue in clouds.yaml is the configuration."""
    more = f"    network_endpoint_override: http://127.0.0.1:{stranger.server_port}/network"
    with pytest.raises(CLOUD_ERRORS):
        list(connect(target(tmp_path, service.server_port, more)).network.networks())
    assert stranger.tokens


@pytest.mark.parametrize(
    ("newest", "older", "answers"), [(200, 200, True), (500, 200, True), (500, 500, False), (403, 200, False)]
)
def test_servers_are_read_at_an_older_microversion_and_it_is_said(newest: int, older: int, answers: bool) -> None:
    """One failed server makes nova's list answer 500 from 2.96 on: 2.95 is asked then, and only then."""
    asked: list[str] = []

    def servers(*, all_projects: bool, microversion: str = "") -> list[object]:
        assert all_projects
        asked.append(microversion)
        status = older if microversion else newest
        if status != 200:
            raise sdk_errors.HttpException("it failed", http_status=status)
        return ["a server"]

    fake = SimpleNamespace(compute=SimpleNamespace(servers=servers))
    if not answers:
        with pytest.raises(sdk_errors.HttpException):
            facts.servers_of(fake)
    else:
        found, why = facts.servers_of(fake)
        assert ["a server"] == found
        assert ("microversion 2.95" in why and "HTTP 500" in why) == (newest == 500)
    assert (["", "2.95"] if newest == 500 else [""]) == asked
