"""Many datagrams in one system call (sendmmsg, recvmmsg)."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Sequence
    from typing import Any

    Buffer = ctypes.Array[ctypes.c_char]

SO_TIMESTAMPNS = 35
SO_RXQ_OVFL = 40
_CONTROL_BYTES = 64
_NAME_BYTES = 28  # struct sockaddr_in6
_STAMP = struct.Struct("@Niiqq")  # struct cmsghdr, struct timespec
_COUNT = struct.Struct("@NiiI")  # struct cmsghdr, the count
_DONTWAIT = int(socket.MSG_DONTWAIT)


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("len", ctypes.c_size_t))


class _Msghdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint32),
        ("iov", ctypes.c_void_p),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Mmsghdr(ctypes.Structure):
    _fields_ = (("hdr", _Msghdr), ("len", ctypes.c_uint))


_HEADER_BYTES = ctypes.sizeof(_Mmsghdr)
_LENGTH_AT = _Mmsghdr.len.offset
_CONTROLLEN_AT = _Msghdr.controllen.offset
_LENGTH, _SIZE = struct.Struct("@I"), struct.Struct("@N")

_libc = ctypes.CDLL(None, use_errno=True)
_sendmmsg, _recvmmsg = _libc.sendmmsg, _libc.recvmmsg
_sendmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
_recvmmsg.argtypes = (*_sendmmsg.argtypes, ctypes.c_void_p)


class Outbox:
    """Datagrams whose pieces lie where they are: pieces that several share are written once for all of them."""

    def __init__(self, datagrams: Sequence[tuple[bytes, Sequence[tuple[Buffer, int, int]]]]) -> None:
        """Take each datagram's address (as the kernel has it), and its pieces: buffer, begin, length (bytes)."""
        self._headers = (_Mmsghdr * len(datagrams))()
        self._kept: list[object] = []  # the kernel reads them: they must stay
        for header, (address, pieces) in zip(self._headers, datagrams, strict=True):
            name = ctypes.create_string_buffer(address, len(address))
            iov = (_Iovec * len(pieces))()
            for entry, (buffer, begin, length) in zip(iov, pieces, strict=True):
                entry.base, entry.len = ctypes.addressof(buffer) + begin, length
            self._kept += [name, iov, pieces]
            header.hdr.name, header.hdr.namelen = ctypes.addressof(name), len(address)
            header.hdr.iov, header.hdr.iovlen = ctypes.addressof(iov), len(pieces)
        self._at = ctypes.addressof(self._headers)

    def send(self, fd: int, first: int, count: int) -> tuple[int, int]:
        """Send `count` datagrams from `first` on; return how many were sent and, if none, why (errno)."""
        sent = _sendmmsg(fd, self._at + first * _HEADER_BYTES, count, _DONTWAIT)
        return (sent, 0) if sent >= 0 else (0, ctypes.get_errno())


class Inbox:
    """Room for a number of datagrams, filled by one call, with their senders and the kernel's time stamps."""

    def __init__(self, rows: int, width: int) -> None:
        self.rows, self.width = rows, width
        self._data = ctypes.create_string_buffer(rows * width)
        self._names = ctypes.create_string_buffer(rows * _NAME_BYTES)
        self._control = ctypes.create_string_buffer(rows * _CONTROL_BYTES + _STAMP.size)
        data, names, control = (ctypes.addressof(each) for each in (self._data, self._names, self._control))
        self._iovecs = (_Iovec * rows)()
        self._headers = (_Mmsghdr * rows)()
        for row, (iov, header) in enumerate(zip(self._iovecs, self._headers, strict=True)):
            iov.base, iov.len = data + row * width, width
            header.hdr.name, header.hdr.namelen = names + row * _NAME_BYTES, _NAME_BYTES
            header.hdr.iov, header.hdr.iovlen = ctypes.addressof(iov), 1
            header.hdr.control, header.hdr.controllen = control + row * _CONTROL_BYTES, _CONTROL_BYTES
        self._at = ctypes.addressof(self._headers)
        self._view = memoryview(self._headers).cast("B")
        self._template = bytes(self._view)
        self._used = 0

    def receive(self, fd: int) -> int:
        """Take what is there, up to all rows; return how many, -1 after an error that belonged to the socket."""
        end = self._used * _HEADER_BYTES
        self._view[:end] = self._template[:end]  # the kernel wrote lengths into them
        got: int = _recvmmsg(fd, self._at, self.rows, _DONTWAIT, None)
        self._used = max(0, got)
        if got >= 0:
            return got
        error = ctypes.get_errno()
        if error == errno.EBADF:
            raise OSError(error, os.strerror(error))
        return 0 if error == errno.EAGAIN else -1

    def taken(self, begin: int, length: int) -> Iterator[tuple[bytes, bytes, int, int]]:
        """Yield what was received last: datagram, a part of its sender's address, the kernel's stamp and count of losses.

        `begin`, `length`: of that part (bytes). A datagram is cut off at the width of a row. The stamp is wall time (ns),
        the count that of datagrams for which there was no room; 0 where the kernel says nothing.
        """
        data: Any = self._data
        names: Any = self._names
        control, view = self._control, self._view
        for row in range(self._used):
            at, name_at, header_at = row * self.width, row * _NAME_BYTES + begin, row * _HEADER_BYTES
            count: int = _LENGTH.unpack_from(view, header_at + _LENGTH_AT)[0]
            control_bytes: int = _SIZE.unpack_from(view, header_at + _CONTROLLEN_AT)[0]
            _, _, kind, seconds, nanoseconds = _STAMP.unpack_from(control, row * _CONTROL_BYTES)
            stamp_ns, lost = seconds * 1_000_000_000 + nanoseconds, 0
            if control_bytes != _STAMP.size or kind != SO_TIMESTAMPNS:
                stamp_ns, lost = self._told(row * _CONTROL_BYTES, control_bytes)
            yield data[at : at + count], names[name_at : name_at + length], stamp_ns, lost

    def _told(self, at: int, length: int) -> tuple[int, int]:
        stamp_ns = lost = 0
        end = at + length
        while at + _COUNT.size <= end:
            length, _, kind, seconds, nanoseconds = _STAMP.unpack_from(self._control, at)
            if kind == SO_TIMESTAMPNS:
                stamp_ns = seconds * 1_000_000_000 + nanoseconds
            elif kind == SO_RXQ_OVFL:
                lost = _COUNT.unpack_from(self._control, at)[3]
            at += max(length + 7 & ~7, _COUNT.size)
        return stamp_ns, lost
