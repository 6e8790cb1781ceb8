"""The addresses that the host holds, as its kernel tells them."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from typing import TYPE_CHECKING

from rehearsal.witness.on_host.talk import LOCAL_TIMEOUT_S
from rehearsal.witness.on_host.talk import RETRY_S
from rehearsal.witness.on_host.talk import tell
from rehearsal.witness.on_host.talk import wall_ns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rehearsal.witness.on_host.talk import Sight


def netlink(groups: int) -> socket.socket:
    """Return a socket to the kernel's routing messages (rtnetlink(7))."""
    connection = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    connection.settimeout(LOCAL_TIMEOUT_S)
    connection.bind((0, groups))
    return connection


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and payload of each netlink message (netlink(7)); what is cut short ends it."""
    while len(data) >= 16:
        size, kind = struct.unpack_from("=IH", data)
        if size < 16 or size > len(data):
            return
        yield kind, data[16:size]
        data = data[(size + 3) & ~3 :]


def addresses_in(payload: bytes) -> set[bytes]:
    """Return the packed addresses that one RTM_NEWADDR message holds (IFA_ADDRESS 1, IFA_LOCAL 2)."""
    found, at = set(), 8
    while at + 4 <= len(payload):
        size, kind = struct.unpack_from("=HH", payload, at)
        if size < 4:
            break
        if kind in {1, 2}:
            found.add(payload[at + 4 : at + size])
        at += (size + 3) & ~3
    return found


def held_addresses() -> set[bytes]:
    """Return every address of this host, packed. Raises OSError."""
    found: set[bytes] = set()
    with contextlib.closing(netlink(0)) as connection:
        # RTM_GETADDR 22, NLM_F_REQUEST | NLM_F_DUMP
        connection.send(struct.pack("=IHHIIBBBBi", 24, 22, 0x301, 1, 0, 0, 0, 0, 0, 0))
        while True:
            for kind, payload in messages(connection.recv(1 << 20)):
                if kind == 3:  # NLMSG_DONE
                    return found
                if kind == 2:
                    raise OSError("the kernel does not tell its addresses")
                found |= addresses_in(payload)


class Addresses:
    """Whether this host holds the virtual addresses: told at the beginning and when it changes."""

    def __init__(self, sight: Sight, wanted: list[str]) -> None:
        self._sight = sight
        self._wanted = {}
        for text in wanted:
            with contextlib.suppress(OSError, ValueError):
                family = socket.AF_INET6 if ":" in text else socket.AF_INET
                self._wanted[text] = socket.inet_pton(family, text)
        self._held: dict[str, bool] = {}
        self.socket: socket.socket | None = None
        self.due = 0.0 if self._wanted else float("inf")

    def tick(self) -> None:
        """Subscribe if it is not subscribed."""
        self.due = time.monotonic() + RETRY_S
        try:
            if self.socket is None:
                self.socket = netlink(0x10 | 0x100)  # RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR
                self.socket.setblocking(False)
            self._compare()
            self.due = float("inf")
        except OSError as error:
            self.close()
            self._sight("vip", "blind", str(error))

    def read(self) -> None:
        """Take what the kernel says. Raises OSError."""
        assert self.socket is not None
        try:
            part = self.socket.recv(1 << 20)
        except BlockingIOError:
            return
        except OSError:
            part = b""  # some were lost: look
        if not part or any(packed in part for packed in self._wanted.values()):
            self._compare()

    def _compare(self) -> None:
        held = held_addresses()
        self._sight("vip", "watching", "")
        for text, packed in sorted(self._wanted.items()):
            now = packed in held
            if self._held.get(text) != now:
                tell("vip", address=text, held=now, first=text not in self._held, wall_ns=wall_ns())
            self._held[text] = now

    def close(self) -> None:
        """Forget the subscription."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None
