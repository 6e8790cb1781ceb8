"""Many datagrams in one system call (sendmmsg, recvmmsg), their headers laid out in numpy arrays.

Only for 64-bit little-endian Linux, where the layout of the kernel's structures is the one below; `available` says so.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
import sys
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

_IOVEC = np.dtype([("base", "<u8"), ("len", "<u8")])
_MMSGHDR = np.dtype(
    [
        ("name", "<u8"),
        ("namelen", "<u4"),
        ("pad1", "<u4"),
        ("iov", "<u8"),
        ("iovlen", "<u8"),
        ("control", "<u8"),
        ("controllen", "<u8"),
        ("flags", "<i4"),
        ("pad2", "<u4"),
        ("len", "<u4"),
        ("pad3", "<u4"),
    ]
)
_CONTROL_BYTES = 64
_STAMP_BYTES = 32  # of a control message with a struct timespec
_NAME_BYTES = 28  # struct sockaddr_in6
_DONTWAIT = int(socket.MSG_DONTWAIT)

_libc = ctypes.CDLL(None, use_errno=True)


def available() -> bool:
    """Tell whether this machine has the calls, with the layout that is assumed here."""
    layout = struct.calcsize("P") == 8 and sys.byteorder == "little" and sys.platform == "linux"
    return layout and hasattr(_libc, "sendmmsg") and hasattr(_libc, "recvmmsg")


class Outbox:
    """Packets, one a row, each with its address; any run of rows is sent by one call."""

    def __init__(self, packets: NDArray[np.uint8], addresses: NDArray[np.uint8], *, offset: int = 0) -> None:
        """Take rows whose packets begin at `offset` bytes, for the sake of alignment."""
        rows, width = packets.shape
        self._packets, self._addresses = packets, addresses  # the kernel reads them: they must stay
        self._iovecs = np.zeros(rows, _IOVEC)
        self._iovecs["base"] = packets.ctypes.data + offset + np.arange(rows, dtype=np.uint64) * packets.strides[0]
        self._iovecs["len"] = width - offset
        self._headers = np.zeros(rows, _MMSGHDR)
        self._headers["name"] = addresses.ctypes.data + np.arange(rows, dtype=np.uint64) * addresses.strides[0]
        self._headers["namelen"] = addresses.shape[1]
        self._headers["iov"] = self._iovecs.ctypes.data + np.arange(rows, dtype=np.uint64) * _IOVEC.itemsize
        self._headers["iovlen"] = 1
        self._at = self._headers.ctypes.data

    def send(self, fd: int, first: int, count: int) -> tuple[int, int]:
        """Send `count` rows from `first` on; return how many were sent and, if none, why (errno)."""
        sent = _libc.sendmmsg(fd, ctypes.c_void_p(self._at + first * _MMSGHDR.itemsize), count, _DONTWAIT)
        return (sent, 0) if sent >= 0 else (0, ctypes.get_errno())


class Inbox:
    """Room for a number of datagrams, filled by one call, with the kernel's time stamps."""

    def __init__(self, rows: int, width: int, *, offset: int = 0, named: bool = True) -> None:
        """Make room for datagrams of `width` bytes, each written from `offset` on, for the sake of alignment.

        `named`: the kernel is asked for the address of the sender; not needed where the packet itself has it.
        """
        self.rows = rows
        self.data = np.zeros((rows, offset + width), np.uint8)
        self.names = np.zeros((rows, _NAME_BYTES), np.uint8)
        self._control = np.zeros((rows, _CONTROL_BYTES), np.uint8)
        self._stamps: NDArray[Any] = self._control[:, 16:32].view("<i8")
        self._kinds: NDArray[Any] = self._control[:, 8:16].view("<i8")
        self._iovecs = np.zeros(rows, _IOVEC)
        self._iovecs["base"] = self.data.ctypes.data + offset + np.arange(rows, dtype=np.uint64) * (offset + width)
        self._iovecs["len"] = width
        template = np.zeros(rows, _MMSGHDR)
        if named:
            template["name"] = self.names.ctypes.data + np.arange(rows, dtype=np.uint64) * _NAME_BYTES
            template["namelen"] = _NAME_BYTES
        template["iov"] = self._iovecs.ctypes.data + np.arange(rows, dtype=np.uint64) * _IOVEC.itemsize
        template["iovlen"] = 1
        template["control"] = self._control.ctypes.data + np.arange(rows, dtype=np.uint64) * _CONTROL_BYTES
        template["controllen"] = _CONTROL_BYTES
        self._template = template
        self._headers = template.copy()
        self._used = 0
        self._is_usual = True  # every datagram has the time stamp as its only control message

    def receive(self, fd: int) -> int:
        """Take what is there, up to all rows; return how many. An error of the socket counts as nothing."""
        self._headers[: self._used] = self._template[: self._used]  # the kernel wrote lengths into them
        got = _libc.recvmmsg(fd, ctypes.c_void_p(self._headers.ctypes.data), self.rows, _DONTWAIT, None)
        if got < 0 and ctypes.get_errno() == errno.EBADF:
            raise OSError(errno.EBADF, "the socket is closed")
        self._used = max(0, got)
        self._is_usual = bool((self._headers["controllen"][: self._used] == _STAMP_BYTES).all())
        return self._used

    def lengths(self, count: int) -> NDArray[np.uint32]:
        """Return the length of each datagram (bytes)."""
        found: NDArray[np.uint32] = self._headers["len"][:count]
        return found

    def wall_ns(self, count: int, kind: int, otherwise_ns: int) -> NDArray[np.int64]:
        """Return the kernel's time stamps of this kind (SO_TIMESTAMPNS), or another moment where there is none."""
        stamps: NDArray[np.int64] = self._stamps[:count, 0] * 1_000_000_000 + self._stamps[:count, 1]
        is_stamp = self._kinds[:count, 0] == socket.SOL_SOCKET + (kind << 32)
        if not (self._is_usual and is_stamp.all()):
            stamps[~is_stamp | (self._headers["controllen"][:count] < _STAMP_BYTES)] = otherwise_ns
        return stamps

    def drops(self, count: int, kind: int) -> int:
        """Return the largest count of lost datagrams (SO_RXQ_OVFL) among the second control messages, 0 if none."""
        if self._is_usual:
            return 0
        kinds = self._control[:count, 40:48].view("<i8")[:, 0]
        counts = self._control[:count, 48:52].view("<u4")[:, 0]
        has_count = (self._headers["controllen"][:count] > _STAMP_BYTES) & (kinds == socket.SOL_SOCKET + (kind << 32))
        return int(counts[has_count].max(initial=0))
