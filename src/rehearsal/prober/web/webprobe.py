"""The lanes of the web: one sample is one request, over a new connection or over a kept one.

Invariant: every request on the wire is one sample in the store. The only request that is not on schedule is the follow-up
after a kept connection broke, and it is recorded as such.
"""

from __future__ import annotations

import functools
import ssl
from time import monotonic_ns
from typing import TYPE_CHECKING

from rehearsal.figures import say
from rehearsal.lanes.answers import judge_response
from rehearsal.lanes.answers import request_id_of
from rehearsal.lanes.spec import web_settings
from rehearsal.prober.web.exchange import Broken
from rehearsal.prober.web.exchange import Connection
from rehearsal.prober.web.exchange import asking
from rehearsal.prober.web.exchange import broken_by
from rehearsal.prober.web.exchange import connecting
from rehearsal.prober.web.exchange import hearing
from rehearsal.prober.web.exchange import open_socket
from rehearsal.prober.web.exchange import own_fault
from rehearsal.prober.web.exchange import shaking_hands
from rehearsal.prober.web.exchange import tls_broken_by
from rehearsal.recording.events import SampleDetail
from rehearsal.recording.sampleclass import CountsAs
from rehearsal.recording.sampleclass import SampleClass
from rehearsal.recording.sampleflags import BLIND
from rehearsal.recording.sampleflags import FOLLOW_UP
from rehearsal.recording.sampleflags import FRESH
from rehearsal.recording.sampleflags import RETRANSMITTED

if TYPE_CHECKING:
    from collections.abc import Generator

    from rehearsal.lanes.response import Response
    from rehearsal.lanes.spec import ProbeSpec
    from rehearsal.lanes.spec import WebSettings
    from rehearsal.prober.loop import Exchange
    from rehearsal.prober.loop import Loop
    from rehearsal.prober.loop import Wait
    from rehearsal.prober.schedule import Schedule
    from rehearsal.prober.sink import Recorder
    from rehearsal.prober.web.tokens import Tokens

_KEPT_RACE = 0.9  # of the keep-alive time: an idle connection that breaks later was closed by the server's own rules
_CALM = frozenset({SampleClass.OK, SampleClass.CANCELLED_BY_STOP})


@functools.lru_cache(maxsize=16)
def tls_terms(cafile: str) -> ssl.SSLContext:
    """Return the terms of TLS: verified against these certificates, HTTP/1.1 only, no resumption."""
    terms = ssl.create_default_context(cafile=cafile or None)
    terms.set_alpn_protocols(["http/1.1"])
    return terms


class Sample:
    """One sample while it is being taken."""

    __slots__ = ("asked_stalled_ns", "due_ns", "flags", "notes", "phases", "request_id", "sent_ns", "seq", "stalled_ns")

    def __init__(self, seq: int, due_ns: int, sent_ns: int, stalled_ns: int, request_id: str) -> None:
        self.seq = seq
        self.due_ns = due_ns
        self.sent_ns = sent_ns
        self.flags = 0
        self.stalled_ns = stalled_ns  # the loop's own stalls when the sample was sent
        self.asked_stalled_ns = -1  # and when its request was with the kernel; -1: it never was
        self.request_id = request_id
        self.phases: list[str] = []
        self.notes = ""

    def phase(self, name: str) -> None:
        """Note when a phase ended."""
        self.phases.append(f"{name} {say.about(monotonic_ns() - self.sent_ns)}")


def connected(
    where: WebSettings, terms: ssl.SSLContext | None, loop: Loop, sample: Sample
) -> Generator[Wait, int, Connection]:
    """Open a connection, with TLS if there are terms, by deadlines that count from `sample.sent_ns`. Raises Broken."""
    sock = open_socket(where.family, kept=where.reused)
    connection = Connection(sock)
    try:
        yield from connecting(sock, where.address, sample.sent_ns + where.connect_ns)
        sample.phase("connect")
        if terms is not None:
            loop.forget(sock.fileno())
            try:
                connection.sock = terms.wrap_socket(sock, server_hostname=where.name, do_handshake_on_connect=False)
            except ssl.SSLError as error:
                raise tls_broken_by(error) from None
            except OSError as error:
                raise broken_by(error, SampleClass.RST_ON_CONNECT) from None
            yield from shaking_hands(connection.sock, sample.sent_ns + where.tls_ns)
            sample.phase("tls")
    except BaseException:
        connection.close(loop)
        raise
    return connection


class WebProbe:
    """One probe of a lane of the web."""

    def __init__(self, spec: ProbeSpec, schedule: Schedule, loop: Loop, recording: Recorder, tokens: Tokens) -> None:
        self.spec = spec
        self.schedule = schedule
        self._loop = loop
        self._recording = recording
        self._tokens = tokens
        self._where = web_settings(spec)
        self._tls = tls_terms(self._where.cafile) if self._where.tls else None
        self._idle: list[Connection] = []
        self._good: tuple[int, bytes] | None = None  # status and body of the last answer with the service's mark

    def tick(self, seq: int, due_ns: int) -> None:
        """Send a sample, whatever became of the earlier ones."""
        self._loop.start(self._scheduled(seq, due_ns))

    def close(self) -> None:
        """Close the kept connections."""
        while self._idle:
            self._idle.pop().close(self._loop)

    # --- one sample ------------------------------------------------------------------------------------------------

    def _scheduled(self, seq: int, due_ns: int) -> Exchange:
        kept, closed_idle = self._take_idle() if self._where.reused else (None, 0)
        sample = self._begun(seq, due_ns)
        if closed_idle:
            sample.notes = f"{closed_idle} kept connection(s) closed-idle by the server before this request"
        if self._where.reused and kept is None:
            sample.flags |= FRESH
        broken = yield from self._sampled(sample, kept)
        if kept is not None and broken is not None:
            yield from self._followed_up(sample, broken)

    def _followed_up(self, sample: Sample, broken: SampleClass) -> Exchange:
        """Ask at once over a new connection, to tell a broken connection from a broken service."""
        following = self._begun(sample.seq, monotonic_ns())
        following.flags |= FRESH | FOLLOW_UP
        fresh_broken = yield from self._sampled(following, None)
        if fresh_broken is None:
            found = "stalled" if broken is SampleClass.TIMEOUT_TTFB else "reset"
        elif fresh_broken in {SampleClass.REFUSED, SampleClass.TIMEOUT_CONNECT, SampleClass.RST_ON_CONNECT}:
            found = "new-connection-failed"
        else:
            found = "outage"
        told = f"kept connection broke ({broken.name}); follow-up: {found}"
        self._recording.detail(SampleDetail(self.spec.probe, sample.seq, broken, told))

    def _begun(self, seq: int, due_ns: int) -> Sample:
        sent_ns = monotonic_ns()
        sample = Sample(seq, due_ns, sent_ns, self._loop.stalled_ns, self._recording.request_id(self.spec.probe, seq))
        if sent_ns - due_ns > self.schedule.period_ns:
            sample.flags |= BLIND
        return sample

    def _sampled(self, sample: Sample, kept: Connection | None) -> Generator[Wait, int, SampleClass | None]:
        """Take one sample and record it; return its class if the connection itself broke."""
        connection = kept
        try:
            request = self._request(sample)
            if connection is None:
                connection = yield from connected(self._where, self._tls, self._loop, sample)
            until_ns = sample.sent_ns + self.spec.deadline_ns
            yield from asking(connection.sock, request, until_ns, kept=kept is not None)
            sample.asked_stalled_ns = self._loop.stalled_ns
            response = yield from hearing(connection.sock, until_ns)
        except Broken as broken:
            self._record_broken(sample, broken, connection, kept)
            return broken.sample_class if broken.sample_class not in _UNTOLD else None
        except Exception as error:  # noqa: BLE001 - one answer must not end the prober: this sample proves nothing
            self._record_broken(sample, own_fault(error), connection, None)
            return None
        done_ns = monotonic_ns()
        answered = connection
        self._loop.later(lambda: self._take_answer(sample, response, answered, done_ns))
        return None

    def _request(self, sample: Sample) -> bytes:
        where = self._where
        lines = [
            f"{where.answer.method} {where.path} HTTP/1.1",
            f"Host: {where.host}",
            "User-Agent: rehearse-probe",
            "Accept: application/json",
            f"X-Openstack-Request-Id: {sample.request_id}",
            "Connection: keep-alive" if where.reused else "Connection: close",
        ]
        body = b""
        if where.answer.token:
            token = self._tokens.token(where.token)
            lines.append(f"X-Auth-Token: {token}")
            if where.answer.validates_token:
                lines.append(f"X-Subject-Token: {token}")
        if where.answer.issues_token:
            body = self._tokens.credentials(where.issues)
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, "", ""]).encode("ascii") + body

    def _take_idle(self) -> tuple[Connection | None, int]:
        """Return the connection that was used last and is still open, and how many the server had closed meanwhile."""
        closed = 0
        now_ns = monotonic_ns()
        while self._idle:
            connection = self._idle.pop()
            if now_ns - connection.idle_since_ns > self._where.keep_alive_ns:
                connection.close(self._loop)  # the server is about to close it: that would prove nothing
                continue
            if not connection.was_closed_by_peer():
                return connection, closed
            connection.close(self._loop)
            closed += 1
        return None, closed

    # --- what became of it -----------------------------------------------------------------------------------------

    def _record_broken(
        self, sample: Sample, broken: Broken, connection: Connection | None, kept: Connection | None
    ) -> None:
        done_ns = monotonic_ns()
        sample_class = broken.sample_class
        if (
            kept is not None
            and sample_class in {SampleClass.RST_MIDSTREAM, SampleClass.EOF_MIDBODY}
            and not broken.begun
            and sample.sent_ns - kept.idle_since_ns >= _KEPT_RACE * self._where.keep_alive_ns
        ):
            sample_class = broken.sample_class = SampleClass.CLOSED_IDLE
        if connection is not None and connection.sock.fileno() >= 0:
            if connection.retransmitted():
                sample.flags |= RETRANSMITTED
            connection.close(self._loop)
        if sample_class.counts_as is CountsAs.DOWN and self._was_stalled_before_asking(sample):
            sample.flags |= BLIND
        elif sample_class is SampleClass.TIMEOUT_TLS:  # a handshake waits for the prober several times
            own_ns = self._loop.stalled_between(sample.sent_ns, done_ns)
            if own_ns and done_ns - sample.sent_ns - own_ns < self._where.tls_ns:
                sample.flags |= BLIND
        self._record(sample, done_ns, sample_class, broken.message)

    def _take_answer(self, sample: Sample, response: Response, connection: Connection, done_ns: int) -> None:
        try:
            self._record_answer(sample, response, connection, done_ns)
        except Exception as error:  # noqa: BLE001 - as above
            self._record_broken(sample, own_fault(error), connection, None)

    def _record_answer(self, sample: Sample, response: Response, connection: Connection, done_ns: int) -> None:
        where = self._where
        if connection.retransmitted():
            sample.flags |= RETRANSMITTED
        if where.reused and response.keeps_alive:
            connection.idle_since_ns = done_ns
            self._idle.append(connection)
        else:
            connection.close(self._loop)
        if self._good == (response.status, response.body) and not where.answer.issues_token:
            sample_class, maker, message = SampleClass.OK, "", ""
        else:
            judged = judge_response(where.answer, response)
            sample_class, maker, message = judged.sample_class, judged.maker, judged.message
            if sample_class is SampleClass.OK and where.answer.mark and response.status in where.answer.statuses:
                self._good = response.status, response.body
        if sample_class is SampleClass.OK and where.answer.issues_token:
            self._tokens.set(where.issues, response.headers.get("x-subject-token", ""))
        took_ns = done_ns - sample.sent_ns
        if sample_class is SampleClass.OK and self.spec.soft_ns and took_ns > self.spec.soft_ns:
            sample_class = SampleClass.SLOW_OK
            message = f"answered after {say.about(took_ns)}"
            if took_ns - self._loop.stalled_between(sample.sent_ns, done_ns) <= self.spec.soft_ns:
                sample.flags |= BLIND
        self._record(
            sample,
            done_ns,
            sample_class,
            message,
            status=response.status,
            maker=maker,
            request_id=request_id_of(response),
        )

    def _was_stalled_before_asking(self, sample: Sample) -> bool:
        """Tell whether the prober itself was late in the middle of connecting, so that the failure may be its own."""
        until_ns = sample.asked_stalled_ns if sample.asked_stalled_ns >= 0 else self._loop.stalled_ns
        return until_ns - sample.stalled_ns > self.schedule.period_ns

    def _record(  # noqa: PLR0913 - the last three by keyword
        self,
        sample: Sample,
        done_ns: int,
        sample_class: SampleClass,
        message: str,
        *,
        status: int = 0,
        maker: str = "",
        request_id: str = "",
    ) -> None:
        self._recording.sample(
            self.spec.probe, sample_class, sample.flags, sample.seq, sample.due_ns, sample.sent_ns, done_ns
        )
        if sample_class.counts_as in _BAD:
            self._loop.look_again(self)
        if sample_class not in _CALM or sample.notes:
            parts = [message, sample.notes, ", ".join(sample.phases)]
            told = "; ".join(part for part in parts if part)
            self._recording.detail(
                SampleDetail(
                    self.spec.probe, sample.seq, sample_class, told, status, maker, request_id, sample.request_id
                )
            )


_BAD = frozenset({CountsAs.DOWN, CountsAs.DEGRADED})
_UNTOLD = frozenset({SampleClass.CANCELLED_BY_STOP, SampleClass.LOCAL_FAULT, SampleClass.CLOSED_IDLE})
