"""The write lane: something cheap is made through a service's API and removed again; one sample is the whole round.

Every request of a round goes over a new connection and is sent once: what a failed delete leaves behind is left for
`rehearse clean`, and named in the sample's detail. The sample begins with the create and ends with the last answer; its
class is the worst of its requests'.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from dataclasses import field
from time import monotonic_ns
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.figures import say
from rehearsal.lanes.answers import json_of
from rehearsal.lanes.answers import judge_response
from rehearsal.lanes.answers import request_id_of
from rehearsal.lanes.spec import SECOND_NS
from rehearsal.lanes.spec import web_settings
from rehearsal.lanes.writes import DELETED
from rehearsal.lanes.writes import SHOWN
from rehearsal.lanes.writes import WRITES
from rehearsal.lanes.writes import filled
from rehearsal.outside import bounded
from rehearsal.prober.loop import READ
from rehearsal.prober.loop import STOPPED
from rehearsal.prober.web.exchange import Broken
from rehearsal.prober.web.exchange import asking
from rehearsal.prober.web.exchange import hearing
from rehearsal.prober.web.exchange import own_fault
from rehearsal.prober.web.webprobe import Sample
from rehearsal.prober.web.webprobe import connected
from rehearsal.prober.web.webprobe import tls_terms
from rehearsal.recording.events import SampleDetail
from rehearsal.recording.sampleclass import CountsAs
from rehearsal.recording.sampleclass import SampleClass
from rehearsal.recording.sampleflags import BLIND
from rehearsal.recording.sampleflags import RETRANSMITTED

if TYPE_CHECKING:
    from collections.abc import Generator

    from rehearsal.lanes.answers import Answer
    from rehearsal.lanes.response import Response
    from rehearsal.lanes.spec import ProbeSpec
    from rehearsal.prober.loop import Exchange
    from rehearsal.prober.loop import Loop
    from rehearsal.prober.loop import Wait
    from rehearsal.prober.schedule import Schedule
    from rehearsal.prober.sink import Recorder
    from rehearsal.prober.web.tokens import Tokens

EACH_NS = 20 * SECOND_NS
"""How long one request of a round may take before it has failed, as for reads: later than HAProxy asks another backend."""
_POLL_NS = SECOND_NS
_STALL_NS = SECOND_NS
_RANK = {CountsAs.GOOD: 0, CountsAs.DEGRADED: 1, CountsAs.UNKNOWN: 2, CountsAs.PROBER_FAULT: 2, CountsAs.DOWN: 3}
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(slots=True)
class _Round:
    """One round while it is under way."""

    seq: int
    due_ns: int
    sent_ns: int
    flags: int = 0
    stalled_ns: int = 0
    sample_class: SampleClass = SampleClass.OK
    message: str = ""
    status: int = 0
    maker: str = ""
    request_id: str = ""
    request_id_sent: str = ""
    told: list[str] = field(default_factory=list)

    def take(self, sample_class: SampleClass, message: str) -> bool:
        """Keep the class of one request if it is the worst so far; tell whether it was kept."""
        if _RANK[sample_class.counts_as] <= _RANK[self.sample_class.counts_as]:
            return False
        self.sample_class, self.message = sample_class, message
        return True


class WriteProbe:
    """One probe of the lane write."""

    def __init__(self, spec: ProbeSpec, schedule: Schedule, loop: Loop, recording: Recorder, tokens: Tokens) -> None:
        self.spec = spec
        self.schedule = schedule
        self._loop = loop
        self._recording = recording
        self._tokens = tokens
        self._where = web_settings(spec)
        self._tls = tls_terms(self._where.cafile) if self._where.tls else None
        self._write = WRITES[spec.service]
        self._each_ns = min(EACH_NS, spec.deadline_ns // 2)

    def tick(self, seq: int, due_ns: int) -> None:
        """Begin a round, whatever became of the earlier ones."""
        self._loop.start(self._round(seq, due_ns))

    def close(self) -> None:
        """Nothing is kept."""

    # --- one round -------------------------------------------------------------------------------------------------

    def _round(self, seq: int, due_ns: int) -> Exchange:
        now_ns = monotonic_ns()
        round_ = _Round(seq, due_ns, now_ns, stalled_ns=self._loop.stalled_ns)
        if now_ns - due_ns > self.schedule.period_ns:
            round_.flags |= BLIND
        settings = {key: str(value) for key, value in self.spec.settings.items()}
        name = f"{settings['tag']}-{seq}"
        body = filled(self._write.body, {"description": "", "user_id": "", "project_id": "", **settings, "name": name})
        path = self._where.path
        answer = yield from self._asked(round_, "create", self._write.create, path, json.dumps(body).encode())
        if answer is not None:
            made = _found(answer, self._write.made)
            if not isinstance(made, str) or not _ID.fullmatch(made):
                round_.take(SampleClass.BODY_MISMATCH, "the answer to the create names nothing that could be deleted")
                round_.told.append(f"{name} may have been made all the same")
            else:
                there = f"{path}/{made}"
                if self._write.settling is not None:
                    yield from self._settled(round_, there)
                if (yield from self._asked(round_, "delete", DELETED, there)) is None:
                    round_.told.append(f"{name} ({made}) may be left behind")
        elif round_.sample_class not in _NOT_MADE and not 300 <= round_.status < 500:
            round_.told.append(f"{name} may have been made all the same")
        self._record(round_)

    def _asked(
        self, round_: _Round, what: str, answer: Answer, path: str, body: bytes = b""
    ) -> Generator[Wait, int, Response | None]:
        """Send one request over a connection of its own; None if it was not answered well."""
        now_ns = monotonic_ns()
        request_id = self._request_id(round_.seq, what)
        sample = Sample(round_.seq, round_.due_ns, now_ns, self._loop.stalled_ns, request_id)
        until_ns = min(now_ns + self._each_ns, round_.sent_ns + self.spec.deadline_ns)
        connection = None
        try:
            request = self._request(answer, path, body, request_id)
            connection = yield from connected(self._where, self._tls, self._loop, sample)
            yield from asking(connection.sock, request, until_ns, kept=False)
            response = yield from hearing(connection.sock, until_ns)
        except Broken as broken:
            sample_class = broken.sample_class
            if what != "create" and sample_class.proof_is_sent:
                # The sample was sent when the create was, and that was well: a failure is proved only at the end.
                sample_class = SampleClass.TIMEOUT_TTFB
            self._take(round_, what, request_id, sample_class, broken.message)
            return None
        except Exception as error:  # noqa: BLE001 - one answer must not end the prober: this round proves nothing
            fault = own_fault(error)
            self._take(round_, what, request_id, fault.sample_class, fault.message)
            return None
        finally:
            if connection is not None:
                if connection.retransmitted():
                    round_.flags |= RETRANSMITTED
                connection.close(self._loop)
        done_ns = monotonic_ns()
        took_ns = done_ns - now_ns
        judged = judge_response(answer, response)
        sample_class, message = judged.sample_class, judged.message
        if sample_class is SampleClass.OK and took_ns > self.spec.soft_ns > 0:
            sample_class, message = SampleClass.SLOW_OK, f"answered after {say.about(took_ns)}"
            own_ns = self._loop.stalled_between(now_ns, done_ns)
            if round_.sample_class is SampleClass.OK and took_ns - own_ns <= self.spec.soft_ns:
                round_.flags |= BLIND
        returned = request_id_of(response)
        self._take(round_, what, request_id, sample_class, message, response.status, judged.maker, returned)
        return response if judged.sample_class is SampleClass.OK else None

    def _take(  # noqa: PLR0913, PLR0917 - what is known of one answer
        self,
        round_: _Round,
        what: str,
        sent_id: str,
        sample_class: SampleClass,
        message: str,
        status: int = 0,
        maker: str = "",
        returned: str = "",
    ) -> None:
        round_.told.append(f"{what} {sent_id}{f' ({returned})' if returned else ''} {status or sample_class.name}")
        if round_.take(sample_class, f"{what}: {message}" if message else ""):
            round_.status, round_.maker, round_.request_id, round_.request_id_sent = status, maker, returned, sent_id

    def _request(self, answer: Answer, path: str, body: bytes, request_id: str) -> bytes:
        lines = [
            f"{answer.method} {path} HTTP/1.1",
            f"Host: {self._where.host}",
            "User-Agent: rehearse-probe",
            "Accept: application/json",
            f"X-Openstack-Request-Id: {request_id}",
            f"X-Auth-Token: {self._tokens.token(self._where.token)}",
            "Connection: close",
        ]
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, "", ""]).encode("ascii") + body

    def _request_id(self, seq: int, what: str) -> str:
        """The requests of one sample differ in one digit, in which a UUID has room for it."""
        return self._recording.request_id(self.spec.probe, seq).replace("-8000-", _VARIANT[what], 1)

    def _settled(self, round_: _Round, path: str) -> Generator[Wait, int, None]:
        """Look until the thing is what it was made to be; a look that fails, or fails to come true, makes it bad."""
        settling = self._write.settling
        if settling is None:
            return
        seen = ""
        while monotonic_ns() < round_.sent_ns + self.spec.deadline_ns - self._each_ns:
            answer = yield from self._asked(round_, "show", SHOWN, path)
            if answer is None:
                return
            round_.told.pop()
            seen = bounded.text_of(str(_found(answer, settling.status)), 40)
            if seen == settling.wanted:
                return
            if seen == settling.failed:
                round_.take(SampleClass.HTTP_UNEXPECTED, f"what was made went to {seen}")
                return
            if (yield from self._slept()):
                round_.take(SampleClass.CANCELLED_BY_STOP, "")
                return
        round_.take(
            SampleClass.TIMEOUT_TTFB, f"what was made did not become {settling.wanted}; it was {seen or 'not seen'}"
        )

    def _slept(self) -> Generator[Wait, int, bool]:
        """Wait before the next look; True if the prober stops. An exchange waits for a descriptor: here for one that stays silent."""
        silent, other = os.pipe2(os.O_CLOEXEC)
        cause = yield silent, READ, monotonic_ns() + _POLL_NS
        self._loop.forget(silent)
        os.close(silent)
        os.close(other)
        return cause == STOPPED

    def _record(self, round_: _Round) -> None:
        done_ns = monotonic_ns()
        stalled_ns = self._loop.stalled_ns - round_.stalled_ns
        if round_.sample_class is not SampleClass.OK and stalled_ns > min(self.schedule.period_ns, _STALL_NS):
            round_.flags |= BLIND
        self._recording.sample(
            self.spec.probe, round_.sample_class, round_.flags, round_.seq, round_.due_ns, round_.sent_ns, done_ns
        )
        if round_.sample_class.counts_as in {CountsAs.DOWN, CountsAs.DEGRADED}:
            self._loop.look_again(self)
        if round_.sample_class not in {SampleClass.OK, SampleClass.CANCELLED_BY_STOP}:
            self._recording.detail(
                SampleDetail(
                    self.spec.probe,
                    round_.seq,
                    round_.sample_class,
                    "; ".join(filter(None, [round_.message, *round_.told])),
                    status=round_.status,
                    maker=round_.maker,
                    request_id=round_.request_id,
                    request_id_sent=round_.request_id_sent,
                )
            )


_VARIANT = {"create": "-8000-", "delete": "-9000-", "show": "-a000-"}
_NOT_MADE = frozenset(
    {
        SampleClass.REFUSED,
        SampleClass.RST_ON_CONNECT,
        SampleClass.UNREACHABLE,
        SampleClass.TIMEOUT_CONNECT,
        SampleClass.TIMEOUT_TLS,
        SampleClass.TLS_ALERT,
        SampleClass.TLS_CERT,
        SampleClass.LOCAL_FAULT,
    }
)
"""After these, as after an answer that says no, nothing was made."""


def _found(response: Response, path: tuple[str, ...]) -> Any:
    """Return what stands at a path in a JSON body; None if there is nothing."""
    value = json_of(response)
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value
