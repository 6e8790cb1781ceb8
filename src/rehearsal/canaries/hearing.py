"""Whether canaries answer: waited for after they were made, and asked at any time what they noticed."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING
from typing import Any

from rehearsal import beacon
from rehearsal.canaries.model import Canary
from rehearsal.cloud.connection import CLOUD_ERRORS
from rehearsal.cloud.connection import sentence
from rehearsal.figures import say
from rehearsal.recording.events import BeaconHeard

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Sequence

    from rehearsal.canaries.model import Ground
    from rehearsal.canaries.model import Planned
    from rehearsal.canaries.network import GuestNetwork
    from rehearsal.canaries.place import Place
    from rehearsal.recording.events import Event

    Answering = tuple[Canary, beacon.Heard]

_POLL_S = 1.0
_CONSOLE_LINES = 25
_IPV6_S = 30.0
"""How long a canary that answers over IPv4 may take to answer over IPv6: router advertisement and duplicate detection."""


def wait_active(place: Place, planned: Sequence[Planned], ends_s: float, missing: dict[str, str]) -> list[Planned]:
    """Wait for all servers together; return those that are ACTIVE and put what became of the others into `missing`."""
    waiting = list(planned)
    active: list[Planned] = []
    status = {each.name: "not seen" for each in planned}
    while waiting and time.monotonic() < ends_s:
        for each in list(waiting):
            try:
                server = place.admin.compute.get_server(each.server_id)
            except CLOUD_ERRORS as error:
                status[each.name] = sentence(error)
                continue
            status[each.name] = server.status
            if server.status == "ACTIVE":
                # One that was found again may have been migrated since.
                active.append(replace(each, host=server.compute_host or each.host))
                place.log(f"{each.name} is ACTIVE on {server.compute_host or each.host}")
            elif server.status == "ERROR":
                fault = (server.fault or {}).get("message", "no fault given")
                missing[each.name] = f"{each.name} on {each.host} went to ERROR: {fault}"
            else:
                continue
            waiting.remove(each)
        if waiting:
            time.sleep(_POLL_S)
    for each in waiting:
        missing[each.name] = f"{each.name} on {each.host} did not become ACTIVE in time: {status[each.name]}"
    return active


def wait_answers(
    place: Place, ground: Ground, active: Sequence[Planned], ends_s: float, missing: dict[str, str]
) -> list[Answering]:
    """Wait until the beacons answer; return those that do, and put the others with the end of their console into `missing`."""
    settings = ground.wish.beacon
    waiting = list(active)
    answered: list[Answering] = []
    silence = {each.name: "time ran out before it was queried" for each in active}
    while waiting and time.monotonic() < ends_s:
        for each in list(waiting):
            try:
                heard = beacon.hear(each.address, settings.facts_port, timeout_s=3)
            except beacon.BeaconSilentError as error:
                silence[each.name] = str(error)
                continue
            kind, up_s = heard.facts.get("kind"), heard.uptime_s
            place.log(f"{each.name} answers at {each.address}: {kind} beacon, up for {say.lasted(up_s)}")
            canary = Canary(
                name=each.name, server_id=each.server_id, host=each.host, address=each.address, fixed_ip=each.fixed_ip,
                network=str(ground.network.network.name), boot_id=heard.boot_id, beacon_port=settings.echo_port,
                facts_port=settings.facts_port, udp=heard.facts.get("udp") is True,
                router_id=str(ground.network.router_id),
            )  # fmt: skip
            answered.append((canary, heard))
            waiting.remove(each)
        if waiting:
            time.sleep(_POLL_S)
    for each in waiting:
        console = console_end(place.admin, each.server_id)
        missing[each.name] = f"{each.name} on {each.host} is ACTIVE but silent: {silence[each.name]}; {console}"
    return answered


def also_over_ipv6(
    place: Place, network: GuestNetwork, up: Sequence[Answering], addresses: dict[str, str], ends_s: float
) -> list[Answering]:
    """Return the same with the IPv6 addresses at which they answer, too, or why they do not."""
    until_s = min(ends_s, time.monotonic() + _IPV6_S)
    asked = {canary.name: addresses[canary.name] for canary, _ in up if addresses[canary.name]}
    why = dict.fromkeys(asked, "time ran out before it was queried")  # those that have not answered yet
    while why and time.monotonic() < until_s:
        for canary, first_heard in up:
            if canary.name in why:
                try:
                    heard = beacon.hear(asked[canary.name], canary.facts_port, timeout_s=3)
                except beacon.BeaconSilentError as error:
                    why[canary.name] = str(error)
                    continue
                if heard.boot_id == first_heard.boot_id:
                    del why[canary.name]
                    place.log(f"{canary.name} answers at {asked[canary.name]}")
                else:
                    why[canary.name] = "another machine answers there"
        if why:
            time.sleep(_POLL_S)
    found: list[Answering] = []
    for canary, heard in up:
        address = asked.get(canary.name, "")
        if canary.name in why:
            without = f"it has the address {address}, but is out of reach there: {why[canary.name]}"
            found.append((replace(canary, without_ipv6=without), heard))
        else:
            found.append(
                (replace(canary, address_v6=address, without_ipv6="" if address else network.without_ipv6), heard)
            )
    return found


def console_end(connection: Any, server_id: str) -> str:
    """Return the last lines of a server's console, or a sentence that says why there are none."""
    try:
        output = connection.compute.get_server_console_output(server_id, length=_CONSOLE_LINES)
    except CLOUD_ERRORS as error:
        return f"its console cannot be read: {sentence(error)}"
    text = output.get("output", "") if isinstance(output, dict) else str(output)
    return f"its console ends with:\n{text.strip()[-2000:]}" if text.strip() else "its console is empty"


def listen(canary: Canary, record: Callable[[Event], object], *, timeout_s: float = 5) -> beacon.Heard | None:
    """Ask a canary's beacon once and record what it says; None (and a sentence in the record) if it is silent."""
    try:
        heard = beacon.hear(canary.address, canary.facts_port, timeout_s=timeout_s)
    except beacon.BeaconSilentError as error:
        record(BeaconHeard(canary.name, "", {"error": str(error)}))
        return None
    record(heard_event(canary.name, heard))
    return heard


def heard_event(name: str, heard: beacon.Heard) -> BeaconHeard:
    """Return the record of what a canary told, with when it was asked and when it had told (ns)."""
    return BeaconHeard(name, heard.boot_id, {**heard.facts, "asked_ns": heard.asked_ns, "told_ns": heard.told_ns})
