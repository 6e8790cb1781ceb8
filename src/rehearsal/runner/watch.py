"""What is watched during a run: the prober with its probes, declared from the target and from the canaries.

The prober is another process. If it dies the run goes on, but from then on nothing is proven, and a note says when.
"""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING
from typing import Any

from rehearsal import lengths
from rehearsal.cloud import CLOUD_ERRORS
from rehearsal.cloud import sentence
from rehearsal.events import Note
from rehearsal.probe.client import Prober
from rehearsal.probe.client import ProberError
from rehearsal.probe.load import load_of_specs
from rehearsal.probe.rates import MIGRATION
from rehearsal.probe.rates import period_ns
from rehearsal.runner import declared
from rehearsal.runner.declared import FRESH
from rehearsal.runner.declared import KEPT
from rehearsal.runner.progress import say

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterable
    from collections.abc import Mapping
    from collections.abc import Sequence

    from rehearsal.canaries.model import Author
    from rehearsal.canaries.model import Canary
    from rehearsal.events import Event
    from rehearsal.probe.spec import ProbeSpec
    from rehearsal.runner.backends import Backends
    from rehearsal.runner.rundir import RunDirectory
    from rehearsal.target.model import Target

_QUIET_S = 20.0


class Watch:
    """The prober of one attempt. `numbers` are those that earlier attempts gave to probes of the same name.

    `rates`: Hz by lane, all of them (`probe.rates.rates_of`).
    """

    def __init__(
        self,
        run: RunDirectory,
        record: Callable[[Event], object],
        numbers: Mapping[str, int],
        rates: Mapping[str, float],
    ) -> None:
        self._run = run
        self._record = record
        self._numbers = dict(numbers)
        self._rates = rates
        self._prober: Prober | None = None
        self._canary_probes: dict[str, list[ProbeSpec]] = {}
        self._api_probes: list[ProbeSpec] = []
        self._focus: frozenset[str] = frozenset()
        self._reported_dead = False

    def start(self, target: Target, connection: Any, services: Sequence[str], backends: Backends) -> None:
        """Start the prober and declare every API probe. Raises ProberError if it cannot be started.

        What the target and HAProxy declare may be probed, and nothing else.
        """
        for reason in backends.missing:
            self.note("warning", reason)
        specs = declared.api_probes(target, services, self._rates)
        past = declared.backend_probes(target, backends.servers, self._rates)
        self._prober = Prober.start(
            self._run.path, self._run.logs / "prober.log", allowed=declared.networks_of([*specs, *past])
        )
        project_id = self._hand_over_tokens(connection)
        if project_id:
            specs = declared.api_probes(target, services, self._rates, project_id=project_id)
        self._api_probes = [spec for spec in self._renumbered([*specs, *past]) if self._declare(spec)]
        say(
            f"prober: {len(self._api_probes)} probes of APIs, {len(past)} of them past HAProxy: "
            f"{load_of_specs(self._api_probes)}"
        )

    def focus(self, services: Iterable[str]) -> None:
        """Sample these services as fast as the rates of the focus say, all others as usual."""
        wanted = frozenset(services)
        for spec in self._api_probes:
            hz = declared.focused(spec, self._rates)
            if hz is not None and (spec.service in wanted) != (spec.service in self._focus):
                self._change_period(spec, period_ns(hz) if spec.service in wanted else spec.period_ns)
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
        """Declare the probes that reach the canaries, whose addresses are those that the cloud's API gave them."""
        if self._prober is None:
            return
        for each in canaries:
            specs = self._renumbered(declared.canary_probes(each, self._rates))
            try:
                for address in dict.fromkeys(str(spec.settings["address"]) for spec in specs):
                    self._prober.allow(address, f"canary {each.name}")
            except ProberError as error:
                self.note("error", f"Canary {each.name} may not be probed: {error}")
                continue
            self._canary_probes[each.name] = [spec for spec in specs if self._declare(spec)]

    def write(self, target: Target, services: Iterable[str], author: Author) -> None:
        """Declare the write lane, which writes as this author; it ends before the canaries' project is removed."""
        if self._prober is None or not self.renew(author):
            return
        specs = self._renumbered(declared.write_probes(target, services, self._rates, author, self._run.run))
        self._canary_probes[""] = [spec for spec in specs if self._declare(spec)]
        say(f"writing: {len(specs)} APIs, something cheap is created and deleted in the canaries' project")

    def renew(self, author: Author) -> bool:
        """Hand over a new token for the write lane; without one, what it had goes on as long as it is good."""
        if self._prober is None:
            return False
        try:
            self._prober.token(declared.WRITER, author.issue())
        except (ProberError, *CLOUD_ERRORS) as error:
            self.note("warning", f"No new token for writing through the APIs: {sentence(error)}")
            return False
        return True

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
        """Retire the probes of every canary, and those that write in the canaries' project."""
        for name in list(self._canary_probes):
            self.leave(name, reason)

    def closer(self, canary: str, *, close: bool) -> None:
        """Sample a canary's ICMP probes as the rates say for migrations, or as usual again."""
        for spec in self._canary_probes.get(canary, []):
            hz = self._rates.get(f"{MIGRATION}{spec.lane}")
            if hz is not None:
                self._change_period(spec, period_ns(hz) if close else spec.period_ns)

    def look_after(self) -> None:
        """Note once if the prober died."""
        if self._prober is not None and not self._prober.alive() and not self._reported_dead:
            self._reported_dead = True
            self.note("error", "The prober died: from here on nothing is measured. See logs/prober.log.")

    def wait(self, seconds: float) -> None:
        """Let time pass, and look after the prober meanwhile."""
        until_s = time.monotonic() + seconds
        shown_s = time.monotonic()
        while (left_s := until_s - time.monotonic()) > 0:
            time.sleep(min(1.0, left_s))
            self.look_after()
            if time.monotonic() - shown_s >= _QUIET_S:
                shown_s = time.monotonic()
                say(f"… {lengths.lasted(left_s)} to go")

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
