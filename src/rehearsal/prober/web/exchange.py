"""One HTTP/1.1 request on the wire, phase by phase, each phase with its own deadline; nothing is done twice.

Every function here that waits is a generator for `loop.Loop`. A phase that fails raises Broken with the class of the
sample.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
import struct
import traceback
from typing import TYPE_CHECKING

from rehearsal.figures import say
from rehearsal.lanes.response import Response
from rehearsal.lanes.response import ResponseError
from rehearsal.prober.loop import EXPIRED
from rehearsal.prober.loop import READ
from rehearsal.prober.loop import STOPPED
from rehearsal.prober.loop import WRITE
from rehearsal.recording.sampleclass import SampleClass

if TYPE_CHECKING:
    from collections.abc import Generator

    from rehearsal.prober.loop import Loop
    from rehearsal.prober.loop import Wait

_TCP_INFO_BYTES = 104
_TOTAL_RETRANS_AT = 100  # struct tcp_info: 8 bytes, then 23 u4 before tcpi_total_retrans
_LINGER_RST = struct.pack("ii", 1, 0)  # close with RST: no TIME_WAIT, a day of probing would run out of ports
_READ_BYTES = 65536
USER_TIMEOUT_MS = (
    5000  # of connections that are kept: the kernel gives up if the far side acknowledges nothing for so long
)
_OURS = frozenset(
    {
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.EADDRNOTAVAIL,
        errno.EADDRINUSE,
        errno.ENETDOWN,
        errno.EPERM,
        errno.EACCES,
        errno.EINVAL,
        errno.EAFNOSUPPORT,
    }
)


class Broken(Exception):  # noqa: N818 - it is what happened, not a mistake of ours
    """A phase failed: the class of the sample, one sentence, and whether a part of an answer had arrived."""

    def __init__(self, sample_class: SampleClass, message: str, *, begun: bool = False) -> None:
        super().__init__(message)
        self.sample_class = sample_class
        self.message = message
        self.begun = begun


class Connection:
    """One TCP connection, with TLS or without; never reopened."""

    __slots__ = ("idle_since_ns", "retransmissions", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.idle_since_ns = 0
        self.retransmissions = 0

    def retransmitted(self) -> bool:
        """Tell whether the kernel sent anything again since this was last asked."""
        try:
            info = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
        except OSError:
            return False
        if len(info) < _TCP_INFO_BYTES:
            return False
        total = int(struct.unpack_from("<I", info, _TOTAL_RETRANS_AT)[0])
        before, self.retransmissions = self.retransmissions, total
        return total > before

    def was_closed_by_peer(self) -> bool:
        """Look, without waiting, whether the other side has closed or spoken unasked: then it carries no request."""
        try:
            self.sock.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError:
            return True
        return True

    def close(self, loop: Loop) -> None:
        """Close at once, with RST."""
        loop.forget(self.sock.fileno())
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RST)
        self.sock.close()


def broken_by(error: OSError, otherwise: SampleClass) -> Broken:
    """Return what an error of the operating system says about the sample."""
    text = error.strerror or str(error)
    if error.errno in _OURS:
        return Broken(SampleClass.LOCAL_FAULT, f"the prober's own host: {text}")
    if error.errno in {errno.EHOSTUNREACH, errno.ENETUNREACH}:
        return Broken(SampleClass.UNREACHABLE, text)
    if error.errno == errno.ETIMEDOUT:
        return Broken(SampleClass.TIMEOUT_TTFB, f"nothing was acknowledged for {say.exact_s(USER_TIMEOUT_MS / 1000)}")
    return Broken(otherwise, text)


def tls_broken_by(error: ssl.SSLError) -> Broken:
    """Return what a TLS error says about the sample."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Broken(SampleClass.TLS_CERT, f"certificate refused: {error.verify_message}")
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return Broken(SampleClass.EOF_MIDBODY, "closed during TLS")
    return Broken(SampleClass.TLS_ALERT, f"TLS: {error.reason or error}")


def own_fault(error: Exception) -> Broken:
    """Return what a mistake of the prober's own makes of a sample: nothing is proved. The traceback goes to its log."""
    traceback.print_exception(error, limit=-8)
    return Broken(SampleClass.LOCAL_FAULT, f"the prober's own mistake: {type(error).__name__}; see logs/prober.log")


def stopped() -> Broken:
    """Return the end of a sample that the prober's own stop cut off."""
    return Broken(SampleClass.CANCELLED_BY_STOP, "the prober stopped")


def open_socket(family: socket.AddressFamily, *, kept: bool) -> socket.socket:
    """Return a non-blocking TCP socket without Nagle's delay. Raises Broken (local fault)."""
    try:
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    except OSError as error:
        raise Broken(SampleClass.LOCAL_FAULT, f"the prober's own host: {error.strerror}") from None
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if kept:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
    return sock


def connecting(sock: socket.socket, address: tuple[str, int], until_ns: int) -> Generator[Wait, int, None]:
    """Connect, until a monotonic moment (ns). Raises Broken.

    The deadline must lie below the first retransmission of a SYN (1 s), or a lost SYN would become a late success.
    """
    code = sock.connect_ex(address)
    if code == errno.EINPROGRESS:
        cause = yield sock.fileno(), WRITE, until_ns
        if cause == STOPPED:
            raise stopped()
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if cause == EXPIRED and code == 0:
            raise Broken(SampleClass.TIMEOUT_CONNECT, "no answer to the SYN before the connect deadline")
    elif code == errno.ENETUNREACH:
        raise Broken(SampleClass.LOCAL_FAULT, "the prober's own host has no route to the address")
    if code:
        error = OSError(code, errno.errorcode.get(code, str(code)))
        if code == errno.ETIMEDOUT:
            raise Broken(SampleClass.TIMEOUT_CONNECT, "no answer to the SYN")
        raise broken_by(error, SampleClass.REFUSED if code == errno.ECONNREFUSED else SampleClass.RST_ON_CONNECT)


def shaking_hands(sock: ssl.SSLSocket, until_ns: int) -> Generator[Wait, int, None]:
    """Perform a full TLS handshake, until a monotonic moment (ns). Raises Broken."""
    expired = False
    while True:
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            events = READ
        except ssl.SSLWantWriteError:
            events = WRITE
        except ssl.SSLError as error:
            raise tls_broken_by(error) from None
        except OSError as error:
            raise broken_by(error, SampleClass.RST_ON_CONNECT) from None
        else:
            return
        if expired:
            raise Broken(SampleClass.TIMEOUT_TLS, "no end of the TLS handshake before its deadline")
        cause = yield sock.fileno(), events, until_ns
        if cause == STOPPED:
            raise stopped()
        expired = cause == EXPIRED


def asking(sock: socket.socket, request: bytes, until_ns: int, *, kept: bool) -> Generator[Wait, int, None]:
    """Hand the request to the kernel. Raises Broken."""
    view = memoryview(request)
    expired = False
    while view:
        try:
            view = view[sock.send(view) :]
            continue
        except (BlockingIOError, ssl.SSLWantWriteError):
            events = WRITE
        except ssl.SSLWantReadError:
            events = READ
        except ssl.SSLError as error:
            raise tls_broken_by(error) from None
        except OSError as error:
            raise broken_by(error, SampleClass.RST_MIDSTREAM if kept else SampleClass.RST_ON_CONNECT) from None
        if expired:
            raise Broken(SampleClass.TIMEOUT_TTFB, "the request could not be sent before the deadline")
        cause = yield sock.fileno(), events, until_ns
        if cause == STOPPED:
            raise stopped()
        expired = cause == EXPIRED


def hearing(sock: socket.socket, until_ns: int) -> Generator[Wait, int, Response]:
    """Read one complete answer, until a monotonic moment (ns). Raises Broken.

    After the deadline the socket is read once more, so that an answer that was waiting there is heard.
    """
    response = Response()
    expired = False
    while True:
        got = _received(sock, response)
        if isinstance(got, bytes):
            _take(response, got)
            if response.complete:
                return response
            continue
        if expired:
            what = "the answer began but did not end" if response.begun else "no answer"
            raise Broken(SampleClass.TIMEOUT_TTFB, f"{what} before the deadline", begun=response.begun)
        cause = yield sock.fileno(), got, until_ns
        if cause == STOPPED:
            raise stopped()
        expired = cause == EXPIRED


def _received(sock: socket.socket, response: Response) -> bytes | int:
    """Return the bytes that are there, none at the end of the connection, or the event to wait for. Raises Broken."""
    try:
        return sock.recv(_READ_BYTES)
    except (BlockingIOError, ssl.SSLWantReadError):
        return READ
    except ssl.SSLWantWriteError:
        return WRITE
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
        return b""
    except ssl.SSLError as error:
        raise tls_broken_by(error) from None
    except OSError as error:
        broken = broken_by(error, SampleClass.RST_MIDSTREAM)
        broken.begun = response.begun
        raise broken from None


def _take(response: Response, data: bytes) -> None:
    try:
        if data:
            response.feed(data)
        else:
            response.end()
    except ResponseError as error:
        cut = not data
        raise Broken(
            SampleClass.EOF_MIDBODY if cut else SampleClass.BODY_MISMATCH,
            "closed without an answer" if cut and not response.begun else str(error),
            begun=response.begun,
        ) from None
