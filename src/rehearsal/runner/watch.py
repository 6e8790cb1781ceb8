"""What is watched during a run: the prober with its probes, declared from the target and from the canaries.

The prober is another process. If it dies the run goes on, but from then on nothing is proven, and a note says when.
"""

from __future__ import annotations

import dataclasses
import itertools
import socket
from typing import TYPE_CHECKING
from typing import Any
from urllib.parse import urlsplit

from rehearsal.cloud import CLOUD_ERRORS
from rehearsal.cloud import sentence
from rehearsal.events import Note
from rehearsal.probe import lanes
from rehearsal.probe.answers import DEEP
from rehearsal.probe.client import Prober
from rehearsal.probe.client import ProberError
from rehearsal.probe.spec import SECOND_NS
from rehearsal.runner.progress import say

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterable

    from rehearsal.canary import Canary
    from rehearsal.events import Event
    from rehearsal.probe.spec import ProbeSpec
    from rehearsal.runner.rundir import RunDirectory
    from rehearsal.target.model import Target

FAST_NS = SECOND_NS // 10
"""Every API on the public VIP, over new and over kept connections."""
FOCUS_NS = SECOND_NS // 20
"""Kept connections of the services that the running step upgrades; they cost no handshake."""
FOCUS_MOST = 2
"""A step that concerns more services than this has no focus: probing must not become the load that it measures."""
INTERNAL_NS = SECOND_NS
"""The internal VIP is the second opinion on the same services; the public one is what users have."""
FRESH_NS = 2 * SECOND_NS
KEPT, FRESH = "kept", "fresh"


class Watch:
    """The prober of one attempt. `numbers` are those that earlier attempts gave to probes of the same name."""

    def __init__(self, run: RunDirectory, record: Callable[[Event], object], numbers: dict[str, int]) -> None:
        self._run = run
        self._record = record
        self._numbers = dict(numbers)
        self._prober: Prober | None = None
        self._canary_probes: dict[str, list[ProbeSpec]] = {}
        self._kept_probes: list[ProbeSpec] = []
        self._focus: frozenset[str] = frozenset()
        self._reported_dead = False

    def start(self, target: Target, connection: Any, services: Iterable[str]) -> None:
        """Start the prober and declare every API probe. Raises ProberError if it cannot be started."""
        self._prober = Prober.start(self._run.path, self._run.logs / "prober.log")
        project_id = self._hand_over_tokens(connection)
        specs = self._renumbered(api_probes(target, services, project_id=project_id))
        declared = [spec for spec in specs if self._declare(spec)]
        self._kept_probes = [spec for spec in declared if spec.lane == "vip-reused" and spec.vip == "public"]
        say(f"prober: {len(declared)} probes of APIs, {self._prober.load_per_s:.0f} requests a second")

    def focus(self, services: Iterable[str]) -> None:
        """Sample kept connections of these services at 20 Hz, those of all others at 10 Hz."""
        wanted = frozenset(services)
        if len(wanted) > FOCUS_MOST:
            wanted = frozenset()
        for spec in self._kept_probes:
            if (spec.service in wanted) != (spec.service in self._focus):
                self._change_period(spec, FOCUS_NS if spec.service in wanted else FAST_NS)
        self._focus = wanted

    def _change_period(self, spec: ProbeSpec, period_ns: int) -> None:
        if self._prober is None:
            return
        try:
            self._prober.period(spec.probe, period_ns)
        except ProberError as error:
            self.note("warning", f"Probe {spec.name} keeps its period: {error}")

    def _hand_over_tokens(self, connection: Any) -> str:
        """Give the prober a token issued before the run, and what it needs to let keystone issue fresh ones."""
        assert self._prober is not None
        if connection is None:
            return ""
        try:
            self._prober.token(KEPT, connection.session.get_token())
            self._prober.token(FRESH, connection.session.get_token())
            project_id = str(connection.session.get_project_id() or "")
        except CLOUD_ERRORS as error:
            self.note("warning", f"No token for authenticated reads: {sentence(error)}; those probes prove nothing.")
            return ""
        auth = credentials_of(connection)
        if auth:
            self._prober.credentials(FRESH, auth)
        return project_id

    def _renumbered(self, specs: Iterable[ProbeSpec]) -> list[ProbeSpec]:
        """Give a probe the number that its name had in an earlier attempt, so that its samples stay one series."""
        numbered = []
        for spec in specs:
            number = self._numbers.setdefault(spec.name, max(self._numbers.values(), default=0) + 1)
            numbered.append(dataclasses.replace(spec, probe=number))
        return numbered

    def _declare(self, spec: ProbeSpec) -> bool:
        assert self._prober is not None
        try:
            self._prober.declare(spec)
        except ProberError as error:
            self.note("error", f"Probe {spec.name} was not declared: {error}")
            return False
        return True

    def reach(self, canaries: Iterable[Canary]) -> None:
        """Declare the probes that reach the canaries."""
        if self._prober is None:
            return
        for each in canaries:
            specs = self._renumbered(
                lanes.canary_probes(
                    itertools.repeat(0), canary=each.name, address=each.address, beacon_port=each.beacon_port
                )
            )
            self._canary_probes[each.name] = [spec for spec in specs if self._declare(spec)]

    def leave(self, canary: str, reason: str) -> None:
        """Retire the probes of a canary before it goes away: its silence is then no outage."""
        if self._prober is None:
            return
        for spec in self._canary_probes.pop(canary, []):
            try:
                self._prober.retire(spec.probe, reason)
            except ProberError as error:
                self.note("warning", f"Probe {spec.name} was not retired: {error}")

    def leave_all(self, reason: str) -> None:
        """Retire the probes of every canary."""
        for name in list(self._canary_probes):
            self.leave(name, reason)

    def closer(self, canary: str, *, close: bool) -> None:
        """Sample a canary's ICMP probe at 100 Hz while it migrates, at 50 Hz otherwise."""
        for spec in self._canary_probes.get(canary, []):
            if spec.lane == "icmp":
                self._change_period(spec, lanes.ICMP_MIGRATION_NS if close else lanes.ICMP_NS)

    def look_after(self) -> None:
        """Note once if the prober died."""
        if self._prober is not None and not self._prober.alive() and not self._reported_dead:
            self._reported_dead = True
            self.note("error", "The prober died: from here on nothing is measured. See logs/prober.log.")

    def stop(self) -> None:
        """Let the prober drain and end."""
        if self._prober is not None:
            code = self._prober.stop()
            self._prober = None
            if code != 0:
                self.note("error", f"The prober ended with code {code}; see logs/prober.log.")

    def note(self, level: str, text: str) -> None:
        """Record and show something that the reader of the report should know."""
        self._record(Note(level, text))
        say(f"{level}: {text}")


def credentials_of(connection: Any) -> dict[str, Any]:
    """Return keystone's `auth` object for the connection's own password or application credential; empty for others."""
    auth = connection.config.get_auth_args()
    credential = auth.get("application_credential_id")
    if credential and auth.get("application_credential_secret"):
        return {
            "identity": {
                "methods": ["application_credential"],
                "application_credential": {"id": credential, "secret": auth["application_credential_secret"]},
            }
        }
    if not auth.get("password") or not (auth.get("username") or auth.get("user_id")):
        return {}
    user: dict[str, Any] = {"password": auth["password"]}
    if auth.get("user_id"):
        user["id"] = auth["user_id"]
    else:
        user |= {"name": auth["username"], "domain": _domain(auth, "user")}
    identity: dict[str, Any] = {"methods": ["password"], "password": {"user": user}}
    if auth.get("project_id"):
        return {"identity": identity, "scope": {"project": {"id": auth["project_id"]}}}
    if auth.get("project_name"):
        return {
            "identity": identity,
            "scope": {"project": {"name": auth["project_name"], "domain": _domain(auth, "project")}},
        }
    return {"identity": identity}


def _domain(auth: dict[str, Any], of: str) -> dict[str, str]:
    if auth.get(f"{of}_domain_id"):
        return {"id": auth[f"{of}_domain_id"]}
    return {"name": auth.get(f"{of}_domain_name") or auth.get("domain_name") or "Default"}


def api_probes(target: Target, services: Iterable[str], *, project_id: str = "") -> list[ProbeSpec]:
    """Return the probes of every API that the plan watches and the target offers; their numbers are not final.

    Per service on the public VIP: `new` and `reused` at 10 Hz (`reused` at 20 Hz in focus), an authenticated read a second with
    a token from before the run and one every two seconds with a fresh token; on the internal VIP each pair at 1 Hz.
    """
    specs: list[ProbeSpec] = []
    for service in sorted(set(services) & lanes.services_known()):
        for interface in ("public", "internal"):
            endpoint = target.endpoint(service, interface)
            address = address_of(target, endpoint.url) if endpoint else ""
            if endpoint and address:
                where = {"url": endpoint.url, "address": address, "vip": interface, "cafile": target.cacert}
                specs += _public(service, project_id, where) if interface == "public" else _internal(service, where)
    return specs


def _public(service: str, project_id: str, where: dict[str, Any]) -> list[ProbeSpec]:
    numbers = itertools.repeat(0)
    specs = lanes.endpoint_probes(numbers, service=service, period_ns=FAST_NS, **where)
    if service in DEEP:
        specs += [
            lanes.deep_probe(numbers, service=service, token=token, project_id=project_id, period_ns=period_ns, **where)
            for token, period_ns in ((KEPT, lanes.DEEP_NS), (FRESH, FRESH_NS))
        ]
    if service == "keystone":
        specs.append(lanes.issue_probe(numbers, token=FRESH, **where))
    return specs


def _internal(service: str, where: dict[str, Any]) -> list[ProbeSpec]:
    return lanes.endpoint_probes(itertools.repeat(0), service=service, period_ns=INTERNAL_NS, **where)


def address_of(target: Target, url: str) -> str:
    """Return the numeric address behind an endpoint: its VIP's, else what the name resolves to; empty if nothing does."""
    host = urlsplit(url).hostname or ""
    for vip in target.vips:
        if host in {vip.name, vip.address}:
            return vip.address
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError:
        return ""
