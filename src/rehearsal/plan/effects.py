"""A step, and what it may do to the cloud: replace, restart, reboot, move, disturb. Gates, judge and plan ask `Effects`, and nobody else knows.

A kind of effect is a key of `StepSpec`, with the names that it takes (`Of`), and what follows from it: an answer below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Annotated
from typing import Literal

from pydantic import Field

from rehearsal.cloud import expected
from rehearsal.cloud import sameness
from rehearsal.plan.allowances import LONGEST_ID
from rehearsal.plan.allowances import BudgetSpec
from rehearsal.plan.allowances import Name
from rehearsal.plan.allowances import Seconds
from rehearsal.plan.allowances import Strict
from rehearsal.recording.stretch import INFLIGHT
from rehearsal.recording.stretch import Gate

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Iterator
    from collections.abc import Mapping
    from collections.abc import Sequence

    from rehearsal.cloud.sameness import Row

    Groups = Mapping[str, Sequence[str]]

_STATES = frozenset({"state", "status", "alive", "enabled"})
"""What the row of an agent or service says of a host that is out: that it is down, or was switched off."""


@dataclass(frozen=True, slots=True)
class Of:
    """What the names in a key of a step are, and how the plan is told to people: `told` and the names.

    `groups`: the name of a group stands for its hosts.
    """

    kind: Literal["hosts", "containers", "roles"]
    told: str
    groups: bool = True


class StepSpec(Strict):
    """One command and what it may do.

    `containers` are kolla names that this step replaces (and nothing else may be restarted), `roles` those of which it
    replaces every container; `services` are the API services whose downtime is charged here; `disturbs` gives budgets by
    service (or `canaries`).
    `hosts`: groups or hosts whose containers are replaced or restarted ([] = everywhere the containers run).
    `retag`: the containers must have the target release's tag afterwards. `gates`: suites after the step.
    `restarts`: containers that it may start anew, and need not. `reboots`: hosts (or groups) whose containers start anew and
    which are silent meanwhile. `moves_servers`: hosts (or groups) whose servers may be elsewhere afterwards.
    `takes_out`: hosts whose agents and containers may be gone from then on, until a step `brings_in` the host.
    `updates_manager`: it replaces the manager's own containers, which are not kolla's.
    `for_each`: a group; the step is repeated for each of its hosts, which the command names as `{host}`.
    `migrate`: an occasion name: canaries are live-migrated after this step (e.g. `mixed`); `migrate_after` says after
    which repetition of a `for_each` step.
    `focus`: services that are sampled faster while it runs; without it, its `services` (see `PlanSpec.focus_of`).
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=LONGEST_ID)
    title: Name
    command: list[str] = Field(min_length=1)
    services: list[str] = []
    containers: Annotated[list[str], Of("containers", "replaces")] = []
    roles: Annotated[list[str], Of("roles", "replaces every container of")] = []
    hosts: Annotated[list[str], Of("hosts", "on")] = []
    retag: bool = True
    restarts: Annotated[list[str], Of("containers", "may restart")] = []
    reboots: Annotated[list[str], Of("hosts", "reboots")] = []
    moves_servers: Annotated[list[str], Of("hosts", "moves servers away from")] = []
    takes_out: Annotated[list[str], Of("hosts", "takes out", groups=False)] = []
    brings_in: Annotated[list[str], Of("hosts", "brings in", groups=False)] = []
    updates_manager: bool = False
    disturbs: dict[str, BudgetSpec] = {}
    gates: list[str] = [INFLIGHT]
    hold: str = ""  # a sentence that a person must confirm before the step
    timeout_s: Seconds = Field(default=3600, gt=0)
    for_each: str = ""
    migrate: str = Field(default="", pattern=r"^[a-z0-9-]*$", max_length=LONGEST_ID)
    migrate_after: Literal["first", "each", "last"] = "last"
    environment: dict[str, str] = {}
    focus: list[str] | None = None

    def gate(self, suite: str) -> Gate:
        """Return the gate at which a suite runs after the step."""
        return Gate(suite, self.id)

    @property
    def release(self) -> Literal["from", "to"]:
        """Which of the plan's releases its containers must have afterwards."""
        return "to" if self.retag else "from"

    def told(self) -> list[str]:
        """Return what it may do as lines for people: `replaces nova_api on control`."""
        where = f" on {', '.join(self.hosts)}" if self.hosts else ""
        lines = [
            f"{of.told} {', '.join(names)}{'' if of.kind == 'hosts' else where}"
            for key, of in NAMED.items()
            if key != "hosts" and (names := getattr(self, key))
        ]
        return [*lines, *(["updates the manager"] if self.updates_manager else [])]


NAMED = {key: of for key, field in StepSpec.model_fields.items() for of in field.metadata if isinstance(of, Of)}
"""The keys of a step that name hosts, containers or roles."""
HOSTS = tuple(key for key, of in NAMED.items() if of.kind == "hosts")


@dataclass(frozen=True, slots=True)
class _Act:
    """One step with its names looked up: kinds of containers (without numbers), and hosts by key of the step."""

    step: StepSpec
    replaces: frozenset[str]
    restarts: frozenset[str]
    hosts: dict[str, frozenset[str]]

    def names(self, key: str, host: str) -> bool:
        return host in self.hosts[key]

    def acts_on(self, host: str | None) -> bool:
        return host is None or not self.hosts["hosts"] or host in self.hosts["hosts"]


@dataclass(frozen=True, slots=True)
class Effects:
    """What some steps of a plan may do together, in their order. A question names a container and its host, or a host."""

    acts: tuple[_Act, ...]
    managers: frozenset[str] = frozenset()

    @classmethod
    def of(cls, steps: Iterable[StepSpec], groups: Groups) -> Effects:
        """Return the effects of steps in a cloud whose groups have these hosts; of no group: a name is a host's."""
        return cls(tuple(_act(step, groups) for step in steps), frozenset(groups.get("manager") or ()))

    def replaced_by(self, container: str, host: str | None = None) -> Iterator[StepSpec]:
        """Yield the steps that replace a container on a host (none: on any)."""
        kind = expected.stem(container)
        return (act.step for act in self.acts if kind in act.replaces and act.acts_on(host))

    def replaces(self, container: str, host: str | None = None) -> bool:
        """Return whether a container on a host may be another one afterwards, made from another image."""
        return any(True for _ in self.replaced_by(container, host))

    def retags(self, container: str, host: str) -> bool:
        """Return whether a container on a host must have the target release's tag afterwards."""
        return any(step.retag for step in self.replaced_by(container, host))

    def may_restart(self, container: str, host: str) -> bool:
        """Return whether a container on a host may have been started anew, though it is the same one."""
        kind = expected.stem(container)
        restarted = any(kind in act.restarts and act.acts_on(host) for act in self.acts)
        return restarted or self.replaces(container, host) or self.silences(host)

    def silences(self, host: str) -> bool:
        """Return whether nothing may be heard of a host while they run."""
        return any(act.names(key, host) for act in self.acts for key in ("reboots", "takes_out", "brings_in"))

    def updates_manager(self, host: str) -> bool:
        """Return whether the manager's own containers on a host may be others afterwards."""
        return host in self.managers and any(act.step.updates_manager for act in self.acts)

    def concern(self, service: str) -> bool:
        """Return whether they may touch a service (or `canaries`)."""
        return any(service in act.step.services or service in act.step.disturbs for act in self.acts)

    def out_before(self) -> frozenset[str]:
        """Return the hosts that are not in yet: what is said first of them is that they are brought in."""
        out: set[str] = set()
        known: set[str] = set()
        for act in self.acts:
            out |= act.hosts["brings_in"] - known
            known |= act.hosts["brings_in"] | act.hosts["takes_out"]
        return frozenset(out)

    def out_after(self, step: str | None = None) -> frozenset[str]:
        """Return the hosts that are out after a step (none: after all of them): nothing of theirs is missed then."""
        out = self.out_before()
        for act in self.acts:
            out = (out | act.hosts["takes_out"]) - act.hosts["brings_in"]
            if act.step.id == step:
                break
        return out

    def explain(self, kind: str, before: Row | None, after: Row | None) -> bool:
        """Return whether they explain that a row of CloudFacts is lost (`after` None), new or another one.

        A host that is out has no agents, or ones that are down; one that was brought in has new ones; a server that may be
        moved is elsewhere.
        """
        if not self.acts:
            return False
        row = before or after or {}
        if kind in sameness.BY_HOST:
            host = sameness.what_and_host(str(row.get("id") or row.get("name")))[1]
            if before is None:
                return any(_among(host, act.hosts["brings_in"]) for act in self.acts)
            return _among(host, self.out_after()) and _changed(before, after) <= _STATES
        moved = kind in sameness.MOVABLE and before is not None and _changed(before, after) == {"host"}
        return moved and any(_among(str(row["host"]), act.hosts["moves_servers"]) for act in self.acts)


NO_EFFECTS = Effects(())


def _act(step: StepSpec, groups: Groups) -> _Act:
    replaced = {*step.containers, *(name for role in step.roles for name in expected.containers_of(role))}
    return _Act(
        step,
        frozenset(map(expected.stem, replaced)),
        frozenset(map(expected.stem, step.restarts)),
        {key: frozenset(hosts_of(getattr(step, key), groups)) for key in HOSTS},
    )


def hosts_of(names: Iterable[str], groups: Groups) -> set[str]:
    """Return the hosts that names of hosts and groups stand for."""
    return {host for name in names for host in (groups.get(name) or (name,))}


def _among(host: str, hosts: Iterable[str]) -> bool:
    return any(sameness.same_host(host, each) for each in hosts)


def _changed(before: Row, after: Row | None) -> set[str]:
    """Return the keys that differ; none if nothing is there to differ."""
    return set() if after is None else {key for key in {**before, **after} if before.get(key) != after.get(key)}


# --- what an OSISM command says of itself ------------------------------------------------------------------------------


def pulled_roles(command: Sequence[str]) -> tuple[str, ...]:
    """Return the roles whose images a command pulls: `osism apply -a pull ROLE`, with OSISM's `a//b` and `a,b` for many."""
    words = list(command)
    if words[:2] != ["osism", "apply"] or not _pulls(words):
        return ()
    known = set(expected.roles())
    named = {role for word in words[2:] for role in word.replace("//", ",").split(",")}
    return tuple(sorted(named & known))


def _pulls(words: Sequence[str]) -> bool:
    return any(
        (word in {"-a", "--action"} and words[at + 1 : at + 2] == ["pull"]) or word in {"-apull", "--action=pull"}
        for at, word in enumerate(words)
    )


def limit(command: Sequence[str]) -> str:
    """Return the host or group to which `-l` limits a command, or an empty string."""
    words = list(command)
    return next((words[at + 1] for at, word in enumerate(words[:-1]) if word in {"-l", "--limit"}), "")


def gathers_facts(command: Sequence[str]) -> bool:
    """Return whether a command makes OSISM gather the facts of all hosts."""
    return (
        list(command[:2]) == ["osism", "apply"]
        and bool({"facts", "gather-facts"} & set(command))
        and not limit(command)
    )
