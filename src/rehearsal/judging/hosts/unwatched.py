"""When nobody watched a host, or a part of it: what happened then may have been anything, and is told as such."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING

from rehearsal.judging import plans
from rehearsal.recording import events

if TYPE_CHECKING:
    from rehearsal.recording.history import History

_TOLD = (
    events.WitnessBegan,
    events.WitnessSight,
    events.WitnessClock,
    events.ContainersSeen,
    events.ContainerChanged,
    events.ProxiesSeen,
    events.ProxyChanged,
    events.VipChanged,
    events.PortMoved,
    events.GatewayMoved,
    events.ChassisChanged,
    events.WitnessEnded,
)
NOT_YET = "the connection was not there yet"


@dataclass(frozen=True, slots=True)
class Unwatched:
    """Nobody watched this part of a host (`host`: all of it; docker, haproxy, ovn, vip) in this time: anything may have happened."""

    host: str
    part: str
    from_ns: int
    to_ns: int
    why: str


def unwatched(history: History) -> list[Unwatched]:
    """Return when a host, or a part of it, should have been watched and was not, in order of time.

    A host that is not watched at all is told once, not part by part. Empty if no witness was there: see `was_witnessed`.
    """
    gaps = _Gaps()
    for record in history.records:
        if isinstance(record.event, _TOLD):
            gaps.take(record.t_ns, record.event)
    gaps.end(history.ended_ns)
    found = [dataclasses.replace(gap, why=_why(gap, history)) for gap in gaps.found]
    return sorted(found, key=lambda gap: (gap.from_ns, gap.host, gap.part))


def _why(gap: Unwatched, history: History) -> str:
    """Return why nobody watched; also which step of the plan makes the host silent, if one ran at that time."""
    steps = plans.silencing(history, gap.host, gap.from_ns, gap.to_ns)
    return f"{gap.why}; step {steps[0]} makes the host silent, as planned" if steps else gap.why


def was_witnessed(history: History) -> bool:
    """Return whether anybody was told to watch the hosts."""
    return bool(history.of(events.WitnessBegan))


@dataclass(slots=True)
class _Gaps:
    """What is not watched while the records are read in order."""

    found: list[Unwatched] = field(default_factory=list)
    heard: dict[str, int] = field(default_factory=dict)
    blind: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    watching: set[str] = field(default_factory=set)

    def take(self, now_ns: int, event: events.Event) -> None:
        match event:
            case events.WitnessBegan():
                for host in event.hosts:
                    silent_ns = self.heard.get(host, now_ns)
                    self._close_all(host, silent_ns)
                    self.blind[host, "host"] = silent_ns, NOT_YET
            case events.WitnessSight():
                self._sight(now_ns, event)
            case events.WitnessEnded():
                self._close_all(event.host, now_ns)
                self.watching.discard(event.host)
                self.heard[event.host] = now_ns
            case _:
                self.heard[getattr(event, "host", "")] = now_ns

    def _sight(self, now_ns: int, sight: events.WitnessSight) -> None:
        key = sight.host, sight.part
        if sight.state != "blind":
            self._close(key, now_ns)
            self.heard[sight.host] = now_ns
            if sight.part == "host":
                self.watching.add(sight.host)
            return
        since_ns = now_ns
        if sight.part == "host":
            since_ns = sight.heard_ns or self.heard.get(sight.host, now_ns)
            for part in [part for host, part in self.blind if host == sight.host and part != "host"]:
                self._close((sight.host, part), since_ns)
            self.watching.discard(sight.host)
        known = self.blind.get(key)
        self.blind[key] = known[0] if known else since_ns, sight.why

    def _close(self, key: tuple[str, str], now_ns: int) -> None:
        since = self.blind.pop(key, None)
        if since is not None and now_ns > since[0]:
            self.found.append(Unwatched(*key, since[0], now_ns, since[1]))

    def _close_all(self, host: str, now_ns: int) -> None:
        for key in [key for key in self.blind if key[0] == host]:
            self._close(key, now_ns)

    def end(self, now_ns: int) -> None:
        """Whoever did not end watching was cut off when he was last heard."""
        for host in self.watching:
            silent_ns = self.heard[host]
            self._close_all(host, silent_ns)
            self.blind[host, "host"] = silent_ns, "the witness was cut off"
        for key in list(self.blind):
            self._close(key, now_ns)
