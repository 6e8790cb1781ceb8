"""Reading one HTTP/1.1 answer, byte by byte as it comes; pure, no socket.

Invariant: an answer is complete only by its own framing (length, chunks, or a connection that ends where that is
allowed); anything else is an error, never a short success. Whatever is sent, reading costs a bounded time and memory:
every byte is looked at once, and what comes in too many parts is refused.
"""

from __future__ import annotations

import re

MOST_BYTES = 1 << 20  # an answer larger than this is none that a probe asked for
_MOST_HEAD_BYTES = 1 << 16
_MOST_HEADERS = 256
_MOST_INTERIM = 16  # answers 1xx before the real one; two is the most that HTTP knows a use for
_MOST_CHUNKS = 16_384
_MOST_PARTS = 4_096  # reads; a whole MiB comes in 725 segments
_MOST_CHUNK_LINE_BYTES = 4_096
_STATUS_LINE = re.compile(r"(HTTP/1\.[01]) ([1-9][0-9][0-9])(?: .*)?", re.DOTALL)
_LENGTH = re.compile(r"[0-9]{1,10}")
_CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,6}")


class ResponseError(Exception):
    """What arrived is not HTTP, or not what its own head announced."""


class Response:
    """One answer. Feed it bytes until it is `complete`."""

    __slots__ = (
        "_body_from", "_buffer", "_chunk_from", "_interim", "_length", "_looked", "_parts", "_pieces", "_rest", "body",
        "complete", "headers", "status", "version",
    )  # fmt: skip

    def __init__(self) -> None:
        self.status = 0
        self.version = ""
        self.headers: dict[str, str] = {}
        self.body = b""
        self.complete = False
        self._buffer = bytearray()
        self._body_from = -1  # where the body begins in the buffer; -1: the head is not complete
        self._length = -1  # bytes of the body; -1: until the connection ends; -2: chunked
        self._chunk_from = 0
        self._pieces: list[bytes] = []  # the chunks that are complete
        self._looked = 0  # so far the end of the head, or of the last chunk, was looked for in vain
        self._interim = 0
        self._parts = 0
        self._rest = False  # something came behind the answer

    @property
    def begun(self) -> bool:
        """True once a byte arrived."""
        return bool(self._parts)

    @property
    def keeps_alive(self) -> bool:
        """True if the connection may carry another request: not if something that nobody asked for came behind the answer."""
        connection = self.headers.get("connection", "").lower()
        if self._length == -1 or self._rest:
            return False
        return "keep-alive" in connection if self.version == "HTTP/1.0" else "close" not in connection

    def feed(self, data: bytes) -> None:
        """Take bytes from the wire. Raises ResponseError."""
        self._buffer += data
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise ResponseError(f"the answer came in more than {_MOST_PARTS} parts")
        if self._body_from < 0 and not self._read_head():
            return
        if self._length == -2:
            self._read_chunks()
        elif self._length >= 0:
            if len(self._buffer) - self._body_from >= self._length:
                self._finish(bytes(self._buffer[self._body_from : self._body_from + self._length]))
                self._rest = len(self._buffer) > self._body_from + self._length
        elif len(self._buffer) > MOST_BYTES:
            raise ResponseError("the answer is larger than 1 MiB")

    def end(self) -> None:
        """Take the end of the connection. Raises ResponseError if the answer was not complete."""
        if self.complete:
            return
        if self._body_from >= 0 and self._length == -1:
            self._finish(bytes(self._buffer[self._body_from :]))
            return
        raise ResponseError("the connection ended in the middle of the answer")

    def _finish(self, body: bytes) -> None:
        self.body = body
        self.complete = True

    def _read_head(self) -> bool:
        """Read the head if it is there; interim answers before it are passed over."""
        while self._buffer:
            if b"HTTP/1."[: len(self._buffer)] != self._buffer[:7]:
                raise ResponseError("the answer is not HTTP/1.x")
            end = self._buffer.find(b"\r\n\r\n", max(0, self._looked - 3))
            if (len(self._buffer) if end < 0 else end) > _MOST_HEAD_BYTES:
                raise ResponseError("the head of the answer is larger than 64 KiB")
            if end < 0:
                self._looked = len(self._buffer)
                return False
            self._looked = 0
            lines = self._buffer[:end].decode("latin-1").split("\r\n")
            found = _STATUS_LINE.fullmatch(lines[0])
            if not found:
                raise ResponseError("the status line is malformed")
            self.version, self.status = found[1], int(found[2])
            if self.status >= 200:
                self.headers = _headers(lines[1:])
                self._body_from = self._chunk_from = self._looked = end + 4
                self._length = self._announced_length()
                return True
            self._interim += 1  # the real one follows
            if self.status == 101 or self._interim > _MOST_INTERIM:
                raise ResponseError(f"{self._interim} interim answers ({self.status}) instead of one to the request")
            del self._buffer[: end + 4]
            self.status = 0
        return False

    def _announced_length(self) -> int:
        if self.status in {204, 304}:
            return 0
        coding = self.headers.get("transfer-encoding")
        if coding is not None:
            if coding.lower() != "chunked":
                raise ResponseError("the answer is coded in a way that was not asked for")
            return -2
        length = self.headers.get("content-length")
        if length is None:
            return -1
        if not _LENGTH.fullmatch(length) or int(length) > MOST_BYTES:
            raise ResponseError("the announced length is no number or larger than 1 MiB")
        return int(length)

    def _read_chunks(self) -> None:
        """Walk on through the chunks that are complete; bodies are joined once the last one is there."""
        if len(self._buffer) > 2 * MOST_BYTES:
            raise ResponseError("the answer is larger than 1 MiB")
        while True:
            at = self._chunk_from
            end = self._buffer.find(b"\r\n", at, at + _MOST_CHUNK_LINE_BYTES)
            if end < 0:
                if len(self._buffer) - at >= _MOST_CHUNK_LINE_BYTES:
                    raise ResponseError("the size of a chunk is malformed")
                return
            size = bytes(self._buffer[at:end]).split(b";")[0].strip()
            if not _CHUNK_SIZE.fullmatch(size):
                raise ResponseError("the size of a chunk is malformed")
            length = int(size, 16)
            if length == 0:
                self._read_trailers(end)
                return
            if len(self._buffer) < end + 2 + length + 2:
                return
            if self._buffer[end + 2 + length : end + 4 + length] != b"\r\n":
                raise ResponseError("a chunk is longer than announced")
            self._pieces.append(bytes(self._buffer[end + 2 : end + 2 + length]))
            if len(self._pieces) > _MOST_CHUNKS:
                raise ResponseError(f"the answer has more than {_MOST_CHUNKS} chunks")
            self._chunk_from = end + 4 + length

    def _read_trailers(self, end: int) -> None:
        """Finish if what follows the last chunk is complete; `end` is where its line ends."""
        over = self._buffer.find(b"\r\n\r\n", max(end, self._looked - 3))
        if over < 0:
            self._looked = len(self._buffer)
            if len(self._buffer) - end > _MOST_HEAD_BYTES:
                raise ResponseError("the trailer of the answer is larger than 64 KiB")
            return
        self._finish(b"".join(self._pieces))
        self._rest = len(self._buffer) > over + 4


def _headers(lines: list[str]) -> dict[str, str]:
    if len(lines) > _MOST_HEADERS:
        raise ResponseError(f"the answer has more than {_MOST_HEADERS} headers")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise ResponseError("a header line is malformed")
        name, value = name.strip().lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
