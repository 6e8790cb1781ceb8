"""Reading one HTTP/1.1 answer, byte by byte as it comes; pure, no socket.

Invariant: an answer is complete only by its own framing (length, chunks, or a connection that ends where that is
allowed); anything else is an error, never a short success.
"""

from __future__ import annotations

MOST_BYTES = 1 << 20  # an answer larger than this is none that a probe asked for
_MOST_HEAD_BYTES = 1 << 16


class ResponseError(Exception):
    """What arrived is not HTTP, or not what its own head announced."""


class Response:
    """One answer. Feed it bytes until it is `complete`."""

    __slots__ = ("_body_from", "_buffer", "_chunk_from", "_length", "body", "complete", "headers", "status", "version")

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

    @property
    def begun(self) -> bool:
        """True once a byte arrived."""
        return bool(self._buffer)

    @property
    def keeps_alive(self) -> bool:
        """True if the connection may carry another request."""
        connection = self.headers.get("connection", "").lower()
        if self._length == -1:
            return False
        return "keep-alive" in connection if self.version == "HTTP/1.0" else "close" not in connection

    def feed(self, data: bytes) -> None:
        """Take bytes from the wire. Raises ResponseError."""
        self._buffer += data
        if self._body_from < 0 and not self._read_head():
            return
        if self._length == -2:
            self._read_chunks()
        elif self._length >= 0:
            if len(self._buffer) - self._body_from >= self._length:
                self._finish(bytes(self._buffer[self._body_from : self._body_from + self._length]))
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
        if self._buffer and not (b"HTTP/1."[: len(self._buffer)] == self._buffer[:7]):
            raise ResponseError("the answer is not HTTP/1.x")
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _MOST_HEAD_BYTES:
                raise ResponseError("the head of the answer is larger than 64 KiB")
            return False
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        parts = lines[0].split(" ", 2)
        if len(parts) < 2 or not (len(parts[1]) == 3 and parts[1].isascii() and parts[1].isdigit()):
            raise ResponseError("the status line is malformed")
        self.version, self.status = parts[0], int(parts[1])
        if 100 <= self.status < 200:  # an interim answer: the real one follows
            del self._buffer[: end + 4]
            self.status = 0
            return bool(self._buffer) and self._read_head()
        self.headers = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon:
                raise ResponseError("a header line is malformed")
            name = name.strip().lower()
            value = value.strip()
            self.headers[name] = f"{self.headers[name]}, {value}" if name in self.headers else value
        self._body_from = self._chunk_from = end + 4
        self._length = self._announced_length()
        return True

    def _announced_length(self) -> int:
        if self.status in {204, 304}:
            return 0
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            return -2
        length = self.headers.get("content-length")
        if length is None:
            return -1
        if not (length.isascii() and length.isdigit()) or int(length) > MOST_BYTES:
            raise ResponseError("the announced length is no number or larger than 1 MiB")
        return int(length)

    def _read_chunks(self) -> None:
        """Walk the chunks that are complete; bodies are joined once the last one is there."""
        if len(self._buffer) > 2 * MOST_BYTES:
            raise ResponseError("the answer is larger than 1 MiB")
        pieces: list[bytes] = []
        at = self._chunk_from
        while True:
            end = self._buffer.find(b"\r\n", at)
            if end < 0:
                return
            size = bytes(self._buffer[at:end]).split(b";")[0].strip()
            if not size or len(size) > 6 or any(digit not in b"0123456789abcdefABCDEF" for digit in size):
                raise ResponseError("the size of a chunk is malformed")
            length = int(size, 16)
            if length == 0:
                if self._buffer[end : end + 4] == b"\r\n\r\n" or self._buffer.find(b"\r\n\r\n", end) >= 0:
                    self._finish(b"".join(pieces))
                return
            if len(self._buffer) < end + 2 + length + 2:
                return
            if self._buffer[end + 2 + length : end + 4 + length] != b"\r\n":
                raise ResponseError("a chunk is longer than announced")
            pieces.append(bytes(self._buffer[end + 2 : end + 2 + length]))
            at = end + 4 + length
