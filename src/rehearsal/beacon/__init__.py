"""What a canary tells about itself from inside: the script that runs in the guest, and the question that it answers.

The script travels as user data and needs no image of our own: any cloud image with cloud-init will do (Python beacon),
and one with only busybox will do too (shell beacon: coarser, without UDP). Two TCP ports: one echoes what it gets, one
answers every connection with a line of JSON. Invariant: guest clocks stay inside; only differences of them are used.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import time
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import replace
from importlib import resources
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.figures import say
from rehearsal.lanes import table
from rehearsal.outside import bounded

if TYPE_CHECKING:
    from collections.abc import Mapping

ECHO_PORT = 7007
"""TCP echo, and UDP echo where the guest has Python."""
FACTS_PORT = 7008
"""One line of JSON per connection."""
USER_DATA_LIMIT_BYTES = 32768
"""Nova takes 65 535 bytes of base64; this leaves room for what a cloud adds."""
_ANSWER_LIMIT_BYTES = 65536
_LIMITS = bounded.Limits(total_bytes=_ANSWER_LIMIT_BYTES + 8192, depth=8, values=20_000, text=4096)
_MOST_PEERS = 16  # a canary has two, and asks two kinds of things; what a guest tells may be anything
_BOOT_ID = re.compile(r"[\x21-\x7e]{1,64}")


class BeaconSilentError(Exception):
    """The beacon gave no usable answer; the message says what happened instead."""


@dataclass(frozen=True, slots=True)
class BeaconSettings:
    """How a beacon watches its own guest. A beat or write later than its limit is counted as a pause or a stall.

    `peers` are other canaries of the same network (name, fixed address) that it asks over UDP; no answer for longer than
    the limit is counted as a gap. Every `metadata_ms` it asks the metadata service, and the resolver that DHCP gave for
    its own name; 0: neither. `kind` forces an implementation: auto (what the guest has) | shell.
    """

    echo_port: int = ECHO_PORT
    facts_port: int = FACTS_PORT
    beat_ms: int = 50
    write_ms: int = 250
    pause_limit_ms: int = 100
    stall_limit_ms: int = 250
    peer_ms: int = 200
    gap_limit_ms: int = 300
    metadata_ms: int = 5000
    peers: tuple[tuple[str, str], ...] = ()
    kind: str = "auto"

    def at_rates(self, rates: Mapping[str, float]) -> BeaconSettings:
        """Return the same with the periods of these rates (Hz, by name)."""
        return replace(
            self,
            beat_ms=round(1000 / rates[table.GUEST_BEAT.name]),
            write_ms=round(1000 / rates[table.GUEST_WRITE.name]),
            peer_ms=round(1000 / rates[table.GUEST_PEER.name]),
        )


@dataclass(frozen=True, slots=True)
class Heard:
    """One answer: its facts, and when (CLOCK_MONOTONIC ns of this host) it was asked for and complete."""

    facts: dict[str, Any]
    asked_ns: int
    told_ns: int

    @property
    def boot_id(self) -> str:
        """The kernel's boot id: another one means that the guest was booted again."""
        return str(self.facts["boot_id"])

    @property
    def uptime_s(self) -> float:
        """The guest's own clock since boot."""
        return bounded.number_or(self.facts["uptime_s"])


def user_data(settings: BeaconSettings | None = None) -> str:
    """Return the script that installs and starts the beacon in a guest, at most 32 KiB of text."""
    settings = settings or BeaconSettings()
    folder = resources.files(__name__)
    script = (folder / "in_guest.sh").read_text()
    values = {
        "ECHO": settings.echo_port,
        "FACTS": settings.facts_port,
        "BEAT_MS": settings.beat_ms,
        "WRITE_MS": settings.write_ms,
        "PAUSE_MS": settings.pause_limit_ms,
        "STALL_MS": settings.stall_limit_ms,
        "PEER_MS": settings.peer_ms,
        "GAP_MS": settings.gap_limit_ms,
        "METADATA_MS": settings.metadata_ms,
        "PEERS": " ".join(_peer(name, address) for name, address in settings.peers),
        "KIND": settings.kind,
    }
    for name, value in values.items():
        script = script.replace(f"@{name}@", str(value))
    program = (folder / "in_guest.py").read_text().splitlines()
    carried = "\n".join(line for line in program if not line.lstrip().startswith("#"))
    text = script.replace("@PROGRAM@", carried)
    if len(text.encode()) > USER_DATA_LIMIT_BYTES:
        raise ValueError(f"the beacon's user data has {len(text.encode())} bytes; clouds take {USER_DATA_LIMIT_BYTES}")
    return text


def _peer(name: str, address: str) -> str:
    """Return a peer as the script takes it. The name comes from a cloud: nothing that a shell would read may be in it."""
    return f"{re.sub(r'[^A-Za-z0-9.-]', '_', name)}={ipaddress.IPv4Address(address)}"


def hear(address: str, port: int = FACTS_PORT, *, timeout_s: float = 5.0) -> Heard:
    """Ask a beacon once. BeaconSilentError after `timeout_s` in total, or if somebody else answered."""
    asked_ns = time.monotonic_ns()
    end_ns = asked_ns + int(timeout_s * 1e9)
    answer = b""
    try:
        with socket.create_connection((address, port), timeout=timeout_s) as connection:
            while len(answer) < _ANSWER_LIMIT_BYTES:
                connection.settimeout(max(0.001, (end_ns - time.monotonic_ns()) / 1e9))
                part = connection.recv(8192)
                if not part:
                    break
                answer += part
    except TimeoutError:
        raise BeaconSilentError(
            f"the beacon at {address}:{port} did not answer within {say.exact_s(timeout_s)}"
        ) from None
    except OSError as error:
        raise BeaconSilentError(
            f"the beacon at {address}:{port} cannot be reached: {error.strerror or error}"
        ) from error
    told_ns = time.monotonic_ns()
    return Heard(parse(answer, f"{address}:{port}"), asked_ns, told_ns)


def parse(answer: bytes, sender: str = "the canary") -> dict[str, Any]:
    """Return the facts in an answer. BeaconSilentError if it is not a beacon's."""
    try:
        facts = bounded.read_json(answer, _LIMITS)
    except bounded.Unusable as error:
        raise BeaconSilentError(f"what answered at {sender} is not a beacon: {error}: {answer[:80]!r}") from None
    if (
        not isinstance(facts, dict)
        or facts.get("beacon") != 1
        or not isinstance(facts.get("boot_id"), str)
        or not _BOOT_ID.fullmatch(facts["boot_id"])
        or not bounded.is_number(facts.get("uptime_s"))
        or facts["uptime_s"] < 0
    ):
        raise BeaconSilentError(f"what answered at {sender} is not a beacon: {answer[:80]!r}")
    return facts


def stood_still_s(before: Heard, after: Heard) -> tuple[float, float]:
    """Return how long (s, at least and at most) the guest's clock stood still between two answers of one boot.

    A hypervisor that stops a guest, as at the end of a live migration, stops its clock too: the guest cannot see such a
    pause, but the difference to our own clock shows it. The bounds are as wide as the two answers took.
    """
    guest_s = after.uptime_s - before.uptime_s
    at_least = (after.asked_ns - before.told_ns) / 1e9 - guest_s
    at_most = (after.told_ns - before.asked_ns) / 1e9 - guest_s
    return max(0.0, at_least), max(0.0, at_most)


def between(before: Heard, after: Heard) -> dict[str, Any]:
    """Return what a guest itself noticed between two answers of one boot: pauses, stalls, and whether its file is intact.

    `peers` has for each other canary what became of the questions to it, `asks` the same for the metadata service and the
    resolver. Longest lengths are ms; None if the beacon of the shell, which keeps no lists, does not know.
    `file_intact` is None if the checksum was not told on both sides.
    """
    noticed: dict[str, Any] = {}
    for kind, one in (("pauses", "pause"), ("stalls", "stall")):
        noticed[kind] = _number(after, kind) - _number(before, kind)
        recent = [length_ms for at_s, length_ms in _listed(after.facts.get(f"{one}_list")) if at_s >= before.uptime_s]
        longest = _length(after.facts, f"{one}_longest_ms")
        if noticed[kind] and longest > _length(before.facts, f"{one}_longest_ms"):
            recent.append(longest)  # longer than any before: it is not in a list that is short
        noticed[f"{kind}_longest_ms"] = max(recent) if recent else (0 if noticed[kind] == 0 else None)
    noticed["writes"] = _number(after, "writes") - _number(before, "writes")
    noticed["write_errors"] = _number(after, "write_errors") - _number(before, "write_errors")
    noticed["peers"] = _peers_between(before, after)
    noticed["asks"] = {name: asdict(each) for name, each in asks_between(before, after).items()}
    sums = before.facts.get("file_sha256"), after.facts.get("file_sha256")
    noticed["file_intact"] = sums[0] == sums[1] if all(sums) else None
    return noticed


def _peers_between(before: Heard, after: Heard) -> dict[str, dict[str, Any]]:
    """Return for each peer how many questions, how many gaps, and the longest that ended since (ms)."""
    earlier = {_name(peer): peer for peer in _peers(before)}
    found = {}
    for peer in _peers(after):
        old = earlier.get(_name(peer), {})
        recent = [
            length_ms for at_s, length_ms in _listed(peer.get("gap_list")) if at_s + length_ms / 1000 >= before.uptime_s
        ]
        found[_name(peer)] = {
            "asked": _count(peer, "sent") - _count(old, "sent"),
            "answered": _count(peer, "answered") - _count(old, "answered"),
            "gaps": _count(peer, "gaps") - _count(old, "gaps"),
            "lost_there": _count(peer, "lost_there") - _count(old, "lost_there"),
            "lost_back": _count(peer, "lost_back") - _count(old, "lost_back"),
            "longest_ms": max(recent, default=0.0),
        }
    return found


@dataclass(frozen=True, slots=True)
class Ask:
    """What became of the questions of one kind between two answers of a beacon.

    `ever`: there was a good answer once, so that something could be lost. `runs` are those that touch the time between;
    the longest of them lasted at least and at most so long (ms; None: not known). `open`: it was still failing.
    """

    what: str
    ever: bool
    asked: int
    failed: int
    runs: int
    at_least_ms: float | None
    at_most_ms: float | None
    open: bool


ASK_TIMEOUT_MS = 5000.0
"""How long a beacon waits for the metadata service or the resolver."""


def asks_between(before: Heard, after: Heard) -> dict[str, Ask]:
    """Return what became of the questions to `metadata` and `dns`; empty for a beacon that asks neither."""
    asks, earlier = after.facts.get("asks"), before.facts.get("asks")
    if not isinstance(asks, dict):
        asks, earlier = _flat_asks(after), _flat_asks(before)
    found = {}
    for name, told in list(asks.items())[:_MOST_PEERS]:
        if isinstance(told, dict):
            old = earlier.get(name) if isinstance(earlier, dict) else None
            found[bounded.text_of(name, 40)] = _ask(
                told, old if isinstance(old, dict) else {}, before.uptime_s, after.uptime_s
            )
    return found


def _flat_asks(heard: Heard) -> dict[str, Any]:
    """Return what the first beacons told: how many questions, how many good answers."""
    if not _number(heard, "metadata_asked"):
        return {}
    return {"metadata": {"asked": _number(heard, "metadata_asked"), "ok": _number(heard, "metadata_ok")}}


def _ask(told: dict[str, Any], old: dict[str, Any], since_s: float, until_s: float) -> Ask:
    asked, good = (_count(told, key) - _count(old, key) for key in ("asked", "ok"))
    lengths: list[tuple[float, float]] = []
    more = 0  # runs of which only the longest is known
    windows = told.get("windows")
    if isinstance(windows, list):
        for last_good, first_bad, last_bad, first_good in (_instants(each) for each in [*windows, told.get("open")]):
            end = until_s if first_good < 0 else first_good
            if last_good >= 0 and end >= since_s:
                at_least = max(0.0, (last_bad - first_bad) * 1000 - ASK_TIMEOUT_MS)
                lengths.append((at_least, max(0.0, end - last_good) * 1000))
    else:
        runs = _count(told, "runs") - _count(old, "runs")
        failing = _length(told, "failing_ms")
        if failing:
            lengths.append((max(0.0, failing - ASK_TIMEOUT_MS), failing + ASK_TIMEOUT_MS))
        if runs > 0:
            longest = _length(told, "longest_ms")
            at_least = longest - ASK_TIMEOUT_MS if longest > _length(old, "longest_ms") else 0.0
            lengths.append((max(0.0, at_least), longest + ASK_TIMEOUT_MS))
            more = runs - 1
    failed = asked - good
    known = bool(lengths) or not failed or not told.get("ok")
    return Ask(
        what=bounded.text_of(str(told.get("what", "")), 200),
        ever=bool(told.get("ok")),
        asked=asked,
        failed=failed,
        runs=len(lengths) + more,
        at_least_ms=max((low for low, _ in lengths), default=0.0) if known else None,
        at_most_ms=max((high for _, high in lengths), default=0.0) if known else None,
        open=bool(told.get("open")) or bool(told.get("failing_ms")),
    )


def _instants(run: Any) -> tuple[float, float, float, float]:
    """Return last good, first bad, last bad and first good (-1: none yet) of a run; a last good of -1: not a run."""
    if not isinstance(run, list) or len(run) != 5 or not all(map(bounded.is_number, run)):
        return -1.0, 0.0, 0.0, 0.0
    return float(run[0]), float(run[1]), float(run[2]), float(run[3])


def _peers(heard: Heard) -> list[dict[str, Any]]:
    listed = heard.facts.get("peers")
    return [peer for peer in listed if isinstance(peer, dict)][:_MOST_PEERS] if isinstance(listed, list) else []


def _name(peer: dict[str, Any]) -> str:
    return bounded.text_of(str(peer.get("name")), 100)


def _number(heard: Heard, key: str) -> int:
    return _count(heard.facts, key)


def _count(told: dict[str, Any], key: str) -> int:
    return int(_length(told, key))


def _length(told: dict[str, Any], key: str) -> float:
    """What a guest tells may be anything."""
    return bounded.number_or(told.get(key))


def _listed(listed: Any) -> list[tuple[float, float]]:
    if not isinstance(listed, list):
        return []
    return [
        (float(pair[0]), float(pair[1]))
        for pair in listed
        if isinstance(pair, list) and len(pair) == 2 and all(map(bounded.is_number, pair))
    ]
