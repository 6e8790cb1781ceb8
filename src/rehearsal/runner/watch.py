"""What is watched during a run: the prober with its probes, declared from the target and from the canaries.

The prober is another process. If it dies the run goes on: the prober is started again, a bounded number of times, and its
probes go on under their names. What happened meanwhile is not known, and a note says when that was.
"""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.cloud.connection import CLOUD_ERRORS
from rehearsal.cloud.connection import sentence
from rehearsal.figures import say as lengths
from rehearsal.lanes.declare import FRESH
from rehearsal.lanes.declare import KEPT
from rehearsal.lanes.load import load_of_specs
from rehearsal.lanes.rates import period_ns
from rehearsal.prober.client import Prober
from rehearsal.prober.client import ProberError
from rehearsal.recording.events import Note
from rehearsal.runner import declared
from rehearsal.runner.progress import say
from rehearsal.runner.progress import still

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterable
    from collections.abc import Mapping
    from collections.abc import Sequence

    from rehearsal.canaries.model import Author
    from rehearsal.canaries.model import Canary
    from rehearsal.cloud.target import Target
    from rehearsal.hosts.backends import Backends
    from rehearsal.lanes.spec import ProbeSpec
    from rehearsal.recording.events import Event
    from rehearsal.recording.rundir import RunDirectory

_QUIET_S = 20.0
MOST_RESTARTS = 5
"""A prober that dies more often than this in one attempt has a cause that starting it again does not end."""
_RESTART_AFTER_S = (0.0, 1.0, 10.0, 30.0, 60.0)


class Watch:
    """The prober of one attempt. `numbers` are those that earlier attempts gave to probes of the same name.

    `rates`: Hz by lane, all of them (`lanes.rates.rates_of`).
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
        self.probes: Mapping[int, ProbeSpec] = {}
        """What is probed now, by number. Never changed, only replaced: another thread may be reading it."""
        self._canary_probes: dict[str, list[ProbeSpec]] = {}
        self._api_probes: list[ProbeSpec] = []
        self._focus: frozenset[str] = frozenset()
        self._close: set[str] = set()
        self._allowed: list[str] = []
        self._tokens: dict[str, str] = {}  # in memory only, for a prober that must be started again
        self._credentials: dict[str, Any] = {}
        self._deaths = 0
        self._restart_at_s: float | None = None

    def start(self, target: Target, connection: Any, services: Sequence[str], backends: Backends) -> None:
        """Start the prober and declare every API probe. Raises ProberError if it cannot be started.

        What the target and HAProxy declare may be probed, and nothing else.
        """
        for reason in backends.missing:
            self.note("warning", reason)
        specs = declared.api_probes(target, services, self._rates)
        past = declared.backend_probes(target, backends.servers, self._rates)
        self._allowed = declared.networks_of([*specs, *past])
        self._prober = self._started()
        project_id = self._hand_over_tokens(connection)
        if project_id:
            specs = declared.api_probes(target, services, self._rates, project_id=project_id)
        self._api_probes = [spec for spec in self._renumbered([*specs, *past]) if self._declare(spec)]
        say(
            f"prober: {len(self._api_probes)} API probe{'s' * (len(self._api_probes) != 1)}, {len(past)} of them past HAProxy: "
            f"{load_of_specs(self._api_probes)}"
        )

    def _started(self) -> Prober:
        return Prober.start(self._run.path, self._run.logs / "prober.log", allowed=self._allowed)

    def focus(self, services: Iterable[str]) -> None:
        """Sample these services as fast as the rates of the focus say, all others as usual."""
        before, self._focus = self._focus, frozenset(services)
        for spec in [*self._api_probes, *self._canary_probes.get("", ())]:  # "": what writes through the APIs
            changes = (spec.service in self._focus) != (spec.service in before)
            if changes and declared.focused(spec, self._rates) is not None:
                self._change_period(spec)

    def _period_now(self, spec: ProbeSpec) -> int:
        """Return how often (ns) a probe looks at present: closer in the focus and in a migration."""
        hz = None
        if not spec.canary and spec.service in self._focus:
            hz = declared.focused(spec, self._rates)
        elif spec.canary in self._close and spec.canary:
            hz = declared.migrating(spec, self._rates)
        return spec.period_ns if hz is None else period_ns(hz)

    def _change_period(self, spec: ProbeSpec) -> None:
        if self._prober is None:
            return
        try:
            self._prober.period(spec.probe, self._period_now(spec))
        except ProberError as error:
            self.note("warning", f"The rate of probe {spec.name} was not changed: {error}")

    def _hand_over_tokens(self, connection: Any) -> str:
        """Give the prober a token issued before the run, and what it needs to let keystone issue fresh ones."""
        if connection is None:
            return ""
        try:
            self._hand_over(KEPT, connection.session.get_token())
            self._hand_over(FRESH, connection.session.get_token())
            project_id = str(connection.session.get_project_id() or "")
        except CLOUD_ERRORS as error:
            self.note("warning", f"No token for authenticated reads: {sentence(error)}; those probes prove nothing.")
            return ""
        auth = credentials_of(connection)
        if auth:
            self._credentials = auth
            if self._prober is not None:
                self._prober.credentials(FRESH, auth)
        return project_id

    def _hand_over(self, name: str, token: str) -> None:
        self._tokens[name] = token
        if self._prober is not None:
            self._prober.token(name, token)

    def _renumbered(self, specs: Iterable[ProbeSpec]) -> list[ProbeSpec]:
        """Give a probe the number that its name had in an earlier attempt, so that its samples stay one series."""
        numbered = []
        for spec in specs:
            number = self._numbers.setdefault(spec.name, max(self._numbers.values(), default=0) + 1)
            numbered.append(dataclasses.replace(spec, probe=number))
        return numbered

    def _declare(self, spec: ProbeSpec) -> bool:
        if self._prober is None:
            return False
        try:
            self._prober.declare(spec)
        except ProberError as error:
            self.note("error", f"Probe {spec.name} was not declared: {error}")
            return False
        self.probes = {**self.probes, spec.probe: spec}
        return True

    def reach(self, canaries: Iterable[Canary]) -> None:
        """Declare the probes that reach the canaries, whose addresses are those that the cloud's API gave them."""
        if self._prober is None:
            return
        for each in canaries:
            specs = self._renumbered(declared.canary_probes(each, self._rates))
            self._canary_probes[each.name] = self._reached(each.name, specs)

    def _reached(self, canary: str, specs: Sequence[ProbeSpec]) -> list[ProbeSpec]:
        """Let the addresses of a canary be probed, declare its probes, and return those that were not refused."""
        if self._prober is None:
            return []
        try:
            for address in dict.fromkeys(str(spec.settings["address"]) for spec in specs):
                self._prober.allow(address, f"canary {canary}")
        except ProberError as error:
            self.note("error", f"Canary {canary} may not be probed: {error}")
            return []
        return [spec for spec in specs if self._declare(spec)]

    def write(self, target: Target, services: Iterable[str], author: Author) -> None:
        """Declare the write lane, which writes as this author; it ends before the canaries' project is removed."""
        if self._prober is None or not self.renew(author):
            return
        specs = self._renumbered(declared.write_probes(target, services, self._rates, author, self._run.run))
        self._canary_probes[""] = [spec for spec in specs if self._declare(spec)]
        say(f"writing: a cheap resource is created and deleted through {len(specs)} APIs, in the canaries' project")

    def renew(self, author: Author) -> bool:
        """Hand over a new token for the write lane; without one, what it had goes on as long as it is good."""
        if self._prober is None:
            return False
        try:
            self._hand_over(declared.WRITER, author.issue())
        except (ProberError, *CLOUD_ERRORS) as error:
            self.note("warning", f"No new token for writing through the APIs: {sentence(error)}")
            return False
        return True

    def leave(self, canary: str, reason: str) -> None:
        """Retire the probes of a canary before it goes away: its silence is then no outage."""
        if self._prober is None:
            return
        gone = self._canary_probes.pop(canary, [])
        self.probes = {number: spec for number, spec in self.probes.items() if spec not in gone}
        for spec in gone:
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
        before = canary in self._close
        (self._close.add if close else self._close.discard)(canary)
        if close == before:
            return
        for spec in self._canary_probes.get(canary, []):
            if declared.migrating(spec, self._rates) is not None:
                self._change_period(spec)

    def look_after(self) -> None:
        """Start the prober again if it died; after MOST_RESTARTS times it stays dead, and the run goes on without it."""
        if self._prober is not None and not self._prober.alive():
            code = self._prober.stop()
            self._prober = None
            self._deaths += 1
            how = f"The prober died (exit code {code}; see logs/prober.log)"
            if self._deaths > MOST_RESTARTS:
                self.note("error", f"{how} for the {self._deaths}th time: from here on nothing is measured.")
                return
            self.note("error", f"{how}: nothing is measured until it is restarted.")
            self._restart_at_s = time.monotonic() + _RESTART_AFTER_S[self._deaths - 1]
        if self._restart_at_s is not None and time.monotonic() >= self._restart_at_s:
            self._restart_at_s = None
            self._restart()

    def _restart(self) -> None:
        try:
            self._prober = self._started()
            for name, token in self._tokens.items():
                self._prober.token(name, token)
            if self._credentials:
                self._prober.credentials(FRESH, self._credentials)
        except ProberError as error:
            if self._prober is not None:
                self._prober.stop(0)
                self._prober = None
            self._deaths += 1
            if self._deaths > MOST_RESTARTS:
                self.note("error", f"The prober cannot be restarted: {error}: from here on nothing is measured.")
                return
            self.note("error", f"The prober cannot be restarted yet: {error}")
            self._restart_at_s = time.monotonic() + _RESTART_AFTER_S[self._deaths - 1]
            return
        self._api_probes = [spec for spec in self._api_probes if self._declare_again(spec)]
        for canary, specs in self._canary_probes.items():
            if canary:
                self._canary_probes[canary] = [
                    spec for spec in self._reached(canary, specs) if self._closer_again(spec)
                ]
            else:
                self._canary_probes[canary] = [spec for spec in specs if self._declare_again(spec)]
        count = len(self._api_probes) + sum(map(len, self._canary_probes.values()))
        self.note("warning", f"The prober was restarted: {count} probes continue. What happened in between is unknown.")

    def _declare_again(self, spec: ProbeSpec) -> bool:
        return self._declare(spec) and self._closer_again(spec)

    def _closer_again(self, spec: ProbeSpec) -> bool:
        if self._period_now(spec) != spec.period_ns:
            self._change_period(spec)
        return True

    def wait(self, seconds: float) -> None:
        """Let time pass, and look after the prober meanwhile."""
        until_s = time.monotonic() + seconds
        shown_s = time.monotonic()
        while (left_s := until_s - time.monotonic()) > 0:
            time.sleep(min(1.0, left_s))
            self.look_after()
            if time.monotonic() - shown_s >= _QUIET_S:
                shown_s = time.monotonic()
                still(f"… {lengths.lasted(left_s)} to go")

    def stop(self) -> None:
        """Let the prober drain and end."""
        self.probes = {}
        self._restart_at_s = None
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
