"""What a host says (`on_host`), line by line, as records. Pure; whatever a host may say, it never raises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.outside import bounded
from rehearsal.recording import events

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_LINE_BYTES = 8 * 1024 * 1024
_LIMITS = bounded.Limits(total_bytes=LONGEST_LINE_BYTES, depth=6, text=4096)


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to ping number `number`: the host's wall clock then, and what its process has used so far."""

    number: int
    wall_ns: int
    cpu_ns: int
    rss_bytes: int


@dataclass(frozen=True, slots=True)
class Hello:
    """The process on the host is there."""

    pid: int
    boot_id: str


@dataclass(frozen=True, slots=True)
class Bye:
    """The process on the host ends because its standard input ended."""

    cpu_ns: int
    rss_bytes: int


@dataclass(frozen=True, slots=True)
class Strange:
    """A line that nobody understands: the beginning of it, for people."""

    text: str


Said = events.Event | Pong | Hello | Bye | Strange


def read_line(host: str, line: bytes) -> Said:
    """Return what one line of a host means; Strange if it is nothing that this version knows."""
    try:
        data = bounded.read_json(line, _LIMITS)
        return _READERS[data["k"]](host, data)
    except (ValueError, KeyError, TypeError, AttributeError):
        return Strange(bounded.text_of(line, 200).strip())


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 1 << 63:
        raise TypeError(f"not a number: {value!r}")
    return value


def _sight(host: str, data: dict[str, Any]) -> Said:
    if data["state"] not in {"watching", "blind", "absent"}:
        raise ValueError(data["state"])
    return events.WitnessSight(host, str(data["part"]), data["state"], str(data["why"]), _whole(data["wall_ns"]))


def _containers(host: str, data: dict[str, Any]) -> Said:
    names = ("name", "id", "status", "started_at", "finished_at", "health")
    rows = [{name: str(row.get(name, "")) for name in names} for row in data["rows"]]
    return events.ContainersSeen(host, _whole(data["wall_ns"]), rows)


def _container(host: str, data: dict[str, Any]) -> Said:
    code = data.get("exit_code")
    return events.ContainerChanged(
        host,
        str(data["name"]),
        str(data["action"]),
        _whole(data["wall_ns"]),
        id=str(data.get("id", "")),
        image=str(data.get("image", "")),
        exit_code=None if code is None else _whole(code),
        signal=str(data.get("signal", "")),
        health=str(data.get("health", "")),
    )


def _proxies(host: str, data: dict[str, Any]) -> Said:
    rows = [[str(item) for item in row] for row in data["rows"] if len(row) == 4]
    return events.ProxiesSeen(host, _whole(data["wall_ns"]), rows)


def _proxy(host: str, data: dict[str, Any]) -> Said:
    return events.ProxyChanged(
        host,
        proxy=str(data["proxy"]),
        server=str(data["server"]),
        status=str(data["status"]),
        before=str(data["before"]),
        after_wall_ns=_whole(data["after_wall_ns"]),
        wall_ns=_whole(data["wall_ns"]),
        check=str(data.get("check", "")),
    )


def _vip(host: str, data: dict[str, Any]) -> Said:
    return events.VipChanged(
        host, str(data["address"]), bool(data["held"]), _whole(data["wall_ns"]), bool(data["first"])
    )


def _port(host: str, data: dict[str, Any]) -> Said:
    up = data.get("up")
    up = up if isinstance(up, bool) else None
    return events.PortMoved(host, server_id=str(data["server_id"]), up=up, **_move(data))


def _move(data: dict[str, Any]) -> dict[str, Any]:
    """Return what a port and a gateway tell alike: which, from where, to where, when."""
    names = {name: str(data[name]) for name in ("port", "before", "chassis")}
    return {**names, "wall_ns": _whole(data["wall_ns"]), "first": bool(data["first"])}


_READERS: dict[str, Callable[[str, dict[str, Any]], Said]] = {
    "hello": lambda _host, data: Hello(_whole(data["pid"]), str(data["boot_id"])),
    "pong": lambda _host, data: Pong(
        _whole(data["n"]), _whole(data["wall_ns"]), _whole(data["cpu_ns"]), _whole(data["rss_bytes"])
    ),
    "bye": lambda _host, data: Bye(_whole(data["cpu_ns"]), _whole(data["rss_bytes"])),
    "sight": _sight,
    "containers": _containers,
    "container": _container,
    "proxies": _proxies,
    "proxy": _proxy,
    "vip": _vip,
    "port": _port,
    "gateway": lambda host, data: events.GatewayMoved(host, **_move(data)),
    "chassis": lambda host, data: events.ChassisChanged(
        host, str(data["name"]), bool(data["present"]), _whole(data["wall_ns"])
    ),
    "chassis-list": lambda host, data: Strange(f"{host}: {len(data['names'])} chassis"),
}
