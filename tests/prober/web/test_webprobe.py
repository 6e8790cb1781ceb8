from __future__ import annotations

import http.client
import socket
import threading
import time

import pytest
import urllib3
from keystoneauth1 import noauth
from keystoneauth1 import session

from rehearsal.prober.loop import Loop
from rehearsal.prober.schedule import Schedule
from rehearsal.prober.web import webprobe
from rehearsal.prober.web.tokens import Tokens
from rehearsal.prober.web.webprobe import WebProbe
from rehearsal.recording.sampleclass import CountsAs
from rehearsal.recording.sampleclass import SampleClass
from rehearsal.recording.samples import FOLLOW_UP
from rehearsal.recording.samples import FRESH
from tests.made import wrong_rules
from tests.prober.farside import HAPROXY_503
from tests.prober.farside import NOVA_ROOT
from tests.prober.farside import answer
from tests.prober.farside import certificates
from tests.prober.farside import reset
from tests.prober.farside import server_terms
from tests.prober.taking import MS
from tests.prober.taking import Kept
from tests.prober.taking import take_web
from tests.prober.taking import web_spec


def replying(reply):
    return lambda connection, nth: reply


def statuses_of_urllib3(url):
    """Ask twice over one kept connection, as a pool does; what broke in between is repeated silently."""
    with urllib3.PoolManager() as pool:
        return [pool.request("GET", url).status for _ in range(2)]


def ask_twice(port, *, pause_s):
    """Ask twice over one connection, with nothing but the standard library."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/")
    connection.getresponse().read()
    time.sleep(pause_s)
    try:
        connection.request("GET", "/")
        connection.getresponse()
    except ConnectionError as error:
        raise http.client.HTTPException from error
    finally:
        connection.close()


def status_of_glance_by_sdk(url):
    """Ask as openstacksdk asks glance: a 503 is asked for again (five times there), only the last answer is told."""
    asking = session.Session(auth=noauth.NoAuth())
    again = {"status_code_retries": 5, "status_code_retry_delay": 0.01}
    return asking.get(url, authenticated=False, raise_exc=False, **again).status_code


def test_a_good_answer_is_ok(far_side):
    """A declared status with the service's own mark is OK, timed from the first byte of work to the last of the answer."""
    kept = take_web(web_spec(far_side().url), 3)
    assert kept.classes == [SampleClass.OK] * 3
    assert all(row.due <= row.sent <= row.done for row in kept.rows)
    assert kept.details == []


def test_every_request_names_run_probe_and_sample(far_side):
    """A request carries an id of the shape that services log, the declared host and no invitation to compress."""
    server = far_side()
    take_web(web_spec(server.url), 1)
    assert b"X-Openstack-Request-Id: req-0000abcd-0001-4000-8000-000000000000\r\n" in server.requests[0]
    assert f"Host: 127.0.0.1:{server.port}\r\n".encode() in server.requests[0]
    assert b"GET /v2.1/ HTTP/1.1\r\n" in server.requests[0]


# --- trap 9: every way to fail is told apart -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (answer(500, "{}"), SampleClass.HTTP_5XX_BACKEND),
        (HAPROXY_503.encode(), SampleClass.HTTP_5XX_LB),
        (answer(401, "{}"), SampleClass.HTTP_401_UNEXPECTED),
        (answer(403, "{}"), SampleClass.HTTP_403),
        (answer(404, "{}"), SampleClass.HTTP_404_UNEXPECTED),
        (answer(409, "{}"), SampleClass.HTTP_THROTTLED),
        (answer(413, "{}"), SampleClass.HTTP_THROTTLED),
        (answer(429, "{}"), SampleClass.HTTP_THROTTLED),
        (answer(302, "", location="http://127.0.0.1:9/"), SampleClass.HTTP_UNEXPECTED),
        (answer(200, "<html>welcome</html>", content_type="text/html"), SampleClass.BODY_MISMATCH),
        (b"SSH-2.0-OpenSSH_9.2\r\n", SampleClass.BODY_MISMATCH),
    ],
)
def test_trap_09_each_answer_has_its_class(far_side, reply, expected):
    """Answers of different meaning get different classes, and no redirect is followed."""
    server = far_side(replying(reply))
    kept = take_web(web_spec(server.url), 1)
    assert kept.classes == [expected]
    assert len(server.requests) == 1


def test_trap_09_a_closed_port_is_refused():
    """Nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        kept = take_web(web_spec(url), 1)
        assert wrong_rules.status_or_500(url) == 500
    assert kept.classes == [SampleClass.REFUSED]


def test_trap_01_a_lost_syn_is_a_timeout_although_the_kernel_would_try_again():
    """A SYN is lost, the one that the kernel sends 1 s later would be answered: the sample fails."""
    with socket.socket() as sock, socket.socket() as filling:
        sock.bind(("127.0.0.1", 0))
        sock.listen(0)
        filling.connect(sock.getsockname())  # the queue is full: further SYNs are dropped

        def accept_later():
            time.sleep(0.5)
            for _ in range(2):
                try:
                    connection, _ = sock.accept()
                except OSError:  # the test is over
                    return
                with connection:
                    connection.settimeout(3)
                    if connection.recv(4096):
                        connection.sendall(answer())

        spec = web_spec(f"http://127.0.0.1:{sock.getsockname()[1]}")
        thread = threading.Thread(target=accept_later, daemon=True)
        filling.shutdown(socket.SHUT_WR)
        kept = take_web(spec, 1, while_running=lambda loop: thread.start())
        sock.settimeout(0.1)
    assert kept.classes == [SampleClass.TIMEOUT_CONNECT]


def test_trap_09_a_reset_before_the_request_is_told_from_one_after_it(far_side, tls):
    """RST while connecting and RST after the request are two classes."""
    cafile, terms = tls
    early = far_side(tls=terms, on_accept=lambda connection: (connection.recv(1), reset(connection)))
    late = far_side(lambda connection, nth: reset(connection))
    kept = take_web(web_spec(early.url, settings={"cafile": cafile}), 1)
    assert kept.classes == [SampleClass.RST_ON_CONNECT]
    assert take_web(web_spec(late.url), 1).classes == [SampleClass.RST_MIDSTREAM]
    assert wrong_rules.status_or_500(late.url) == wrong_rules.status_or_500(early.url) == 500


def test_trap_09_a_connection_that_ends_in_the_middle_of_the_answer_is_no_short_success(far_side):
    """Fewer bytes than announced is EOF, as is an end without any answer."""

    def cut(connection, nth):
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n" + NOVA_ROOT.encode())

    assert take_web(web_spec(far_side(cut).url), 1).classes == [SampleClass.EOF_MIDBODY]
    assert take_web(web_spec(far_side(replying(None)).url), 1).classes == [SampleClass.EOF_MIDBODY]


def test_trap_09_tls_failures_are_told_apart(far_side, tls, tmp_path):
    """A bad certificate is TLS_CERT, a server without TLS is TLS_ALERT, a mute one is TIMEOUT_TLS."""
    cafile, terms = tls
    good = far_side(tls=terms)
    assert take_web(web_spec(good.url, settings={"cafile": cafile}), 1).classes == [SampleClass.OK]
    other_ca, _ = certificates(tmp_path)
    assert take_web(web_spec(good.url, settings={"cafile": str(other_ca)}), 1).classes == [SampleClass.TLS_CERT]
    misnamed = good.url.replace("api.example", "other.example")
    kept = take_web(web_spec(misnamed, settings={"cafile": cafile}), 1)
    assert kept.classes == [SampleClass.TLS_CERT]
    assert "other.example.test" in kept.messages
    (tmp_path / "old").mkdir()
    old_ca, old_server = certificates(tmp_path / "old", days=-1)
    old = far_side(tls=server_terms(old_server))
    assert take_web(web_spec(old.url, settings={"cafile": str(old_ca)}), 1).classes == [SampleClass.TLS_CERT]
    plain = far_side(on_accept=lambda connection: connection.sendall(HAPROXY_503.encode()))
    kept = take_web(web_spec(plain.url.replace("http:", "https:"), settings={"cafile": cafile}), 1)
    assert kept.classes == [SampleClass.TLS_ALERT]
    mute = far_side(on_accept=lambda connection: time.sleep(1))
    spec = web_spec(mute.url.replace("http:", "https:"), settings={"cafile": cafile, "tls_ns": 150 * MS})
    assert take_web(spec, 1).classes == [SampleClass.TIMEOUT_TLS]


def test_http_1_1_is_asked_for_where_h2_is_offered(far_side, tls):
    """A load balancer that prefers HTTP/2 is asked for HTTP/1.1 by ALPN."""
    cafile, terms = tls
    agreed = []
    server = far_side(lambda connection, nth: agreed.append(connection.selected_alpn_protocol()) or answer(), tls=terms)
    take_web(web_spec(server.url, settings={"cafile": cafile}), 1)
    assert agreed == ["http/1.1"]


def test_trap_09_a_missing_token_is_the_probers_fault(far_side):
    """What the prober itself lacks says nothing about the service, and nothing is sent."""
    server = far_side()
    kept = take_web(web_spec(server.url, lane="deep", settings={"token": "kept"}), 1)
    assert kept.classes == [SampleClass.LOCAL_FAULT]
    assert kept.classes[0].counts_as is CountsAs.PROBER_FAULT
    assert server.connections == 0


# --- slow answers ----------------------------------------------------------------------------------------------------


def test_trap_02_a_slow_answer_is_degraded_and_stamped_when_it_was_asked(far_side):
    """A late answer is SLOW_OK with the moment it was asked, and keeps no later sample waiting."""

    def first_is_slow(connection, nth):
        if len(server.requests) == 1:
            time.sleep(1)
        return answer()

    server = far_side(first_is_slow)
    kept = take_web(web_spec(server.url, soft_ns=700 * MS), 4)
    slow = next(row for row in kept.rows if row.seq == 0)
    assert slow.sample_class is SampleClass.SLOW_OK
    assert slow.done - slow.sent >= 1000 * MS
    assert slow.sent - slow.due < 300 * MS
    assert [row.seq for row in kept.rows] == [1, 2, 3, 0]
    assert "answered after 1." in kept.messages


def test_an_answer_that_never_comes_is_a_timeout_at_the_hard_deadline(far_side):
    """Silence becomes TIMEOUT_TTFB only after the hard deadline."""
    server = far_side(lambda connection, nth: time.sleep(3))
    kept = take_web(web_spec(server.url, deadline_ns=400 * MS), 1)
    assert kept.classes == [SampleClass.TIMEOUT_TTFB]
    assert kept.rows[0].done - kept.rows[0].sent >= 400 * MS


def test_trap_27_an_answer_waiting_in_the_socket_is_heard(far_side):
    """A prober that was stopped past the deadline finds the answer and calls it no timeout."""
    stopped = threading.Event()
    server = far_side(lambda connection, nth: answer() if stopped.wait(5) else None)

    def stop_the_world(loop):
        def stall():
            if not server.requests:
                loop.call_at(time.monotonic_ns() + MS // 5, stall)
                return
            stopped.set()
            time.sleep(0.5)

        stall()

    kept = take_web(web_spec(server.url, deadline_ns=300 * MS, soft_ns=0), 1, while_running=stop_the_world)
    assert kept.rows[0].sample_class is SampleClass.OK
    assert wrong_rules.over_time(kept.rows[0], 300 * MS)


# --- kept connections ------------------------------------------------------------------------------------------------


def reused(server, **changes):
    return web_spec(server.url, lane="vip-reused", **changes)


def test_kept_connections_are_kept(far_side):
    """The first sample opens a connection and is flagged FRESH; the others use it again."""
    server = far_side()
    kept = take_web(reused(server, period_ns=100 * MS), 5)
    fresh = [row.flags & FRESH for row in kept.rows]
    assert kept.classes == [SampleClass.OK] * 5
    assert fresh[0] == FRESH
    assert fresh.count(FRESH) == server.connections < 5
    assert len(server.requests) == 5


def test_trap_10_a_reset_second_request_fails_and_is_not_silently_repeated(far_side):
    """A request reset on a kept connection fails; the only other request is the recorded follow-up."""

    def reset_second(connection, nth):
        return answer() if nth == 0 else reset(connection)

    assert statuses_of_urllib3(far_side(reset_second).url) == [200, 200]
    server = far_side(reset_second)
    kept = take_web(reused(server, period_ns=300 * MS), 2)
    assert kept.classes == [SampleClass.OK, SampleClass.RST_MIDSTREAM, SampleClass.OK]
    assert kept.rows[2].flags == FRESH | FOLLOW_UP
    assert kept.rows[2].seq == kept.rows[1].seq == 1
    assert len(server.requests) == len(kept.rows)
    assert "follow-up: reset" in kept.messages


def test_a_broken_connection_is_told_from_a_broken_service(far_side):
    """A kept connection that stalls, a service that is down as well, and a port that is closed get different words."""

    def stall_second(connection, nth):
        return answer() if nth == 0 else time.sleep(0.6)

    kept = take_web(reused(far_side(stall_second), deadline_ns=200 * MS, soft_ns=100 * MS), 2)
    assert "follow-up: stalled" in kept.messages
    served = far_side(lambda connection, nth: answer() if len(served.requests) == 1 else reset(connection))
    kept = take_web(reused(served), 2)
    assert "follow-up: outage" in kept.messages
    closing = far_side(lambda connection, nth: answer() if nth == 0 else (closing.close(), reset(connection))[1])
    kept = take_web(reused(closing), 2)
    assert "follow-up: new-connection-failed" in kept.messages


def test_trap_12_an_idle_connection_closed_by_the_server_is_no_failure(far_side):
    """The server closes an idle connection by its own rules: closed-idle, a new one is opened in the open."""

    def close_after_answering(connection, nth):  # as if it would keep the connection
        connection.sendall(answer())
        time.sleep(0.02)

    with pytest.raises(http.client.HTTPException):
        ask_twice(far_side(close_after_answering).port, pause_s=0.2)
    server = far_side(close_after_answering)
    kept = take_web(reused(server, period_ns=100 * MS), 3)
    assert kept.classes == [SampleClass.OK] * 3
    assert all(row.flags & FRESH for row in kept.rows)
    assert "closed-idle" in kept.messages
    assert len(server.requests) == 3


def test_trap_12_an_idle_connection_that_breaks_at_the_keep_alive_limit_proves_nothing(far_side, monkeypatch):
    """When the server's close crosses the request, at the end of the keep-alive time, it is CLOSED_IDLE."""

    def close_second(connection, nth):
        return answer() if nth == 0 else reset(connection)

    server = far_side(close_second)
    monkeypatch.setattr(webprobe, "_KEPT_RACE", 0.001)  # 10 ms of 10 s: so that the test need not wait for the limit
    kept = take_web(reused(server, period_ns=200 * MS), 2)
    assert kept.classes == [SampleClass.OK, SampleClass.CLOSED_IDLE]
    assert kept.classes[1].counts_as is CountsAs.UNKNOWN


def test_many_kept_connections_when_answers_are_slow(far_side):
    """An open loop over HTTP/1.1 needs several kept connections; each that had to be opened is flagged."""

    def slow_at_first(connection, nth):
        if nth == 0:
            time.sleep(0.18)
        return answer()

    server = far_side(slow_at_first)
    kept = take_web(reused(server), 12)
    assert 2 <= server.connections <= 6
    assert sum(bool(row.flags & FRESH) for row in kept.rows) == server.connections
    assert len(server.requests) == 12


# --- what is good ----------------------------------------------------------------------------------------------------


def deep(server, **changes):
    return web_spec(server.url, lane="deep", path="/v2.1/servers?limit=1", settings={"token": "kept"}, **changes)


def with_token():
    tokens = Tokens()
    tokens.set("kept", "a-token-of-the-test")
    return tokens


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (answer(401, '{"error": {}}', www_authenticate="Keystone uri='x'"), SampleClass.HTTP_401_UNEXPECTED),
        (answer(403, "{}"), SampleClass.HTTP_403),
        (answer(404, "{}"), SampleClass.HTTP_404_UNEXPECTED),
        (answer(200, "{}"), SampleClass.BODY_MISMATCH),
    ],
)
def test_trap_08_unauthorised_and_missing_are_down_on_deep_reads(far_side, reply, expected):
    """200 to 499 is not good: a deep read wants its own answer."""
    server = far_side(replying(reply))
    assert wrong_rules.below_500_is_ok(wrong_rules.status_or_500(server.url))
    kept = take_web(deep(server), 1, tokens=with_token())
    assert kept.classes == [expected]
    assert expected.counts_as is CountsAs.DOWN


def test_a_deep_read_carries_its_token(far_side):
    """The token goes out with the read and appears in no record."""
    server = far_side(replying(answer(200, '{"servers": []}')))
    kept = take_web(deep(server), 1, tokens=with_token())
    assert kept.classes == [SampleClass.OK]
    assert b"X-Auth-Token: a-token-of-the-test\r\n" in server.requests[0]


def test_keystone_issues_the_token_that_reads_then_carry(far_side):
    """The prober obtains a fresh token itself, and that is a sample too."""
    issued = '{"token": {"expires_at": "2030-01-01T00:00:00Z"}}'
    keystone = far_side(replying(answer(201, issued, x_subject_token="fresh-token")))
    tokens = Tokens()
    tokens.set_credentials("fresh", {"identity": {"methods": ["password"]}})
    spec = web_spec(keystone.url, lane="deep", service="keystone", path="/v3/auth/tokens", settings={"issues": "fresh"})
    assert take_web(spec, 1, tokens=tokens).classes == [SampleClass.OK]
    assert tokens.token("fresh") == "fresh-token"
    assert keystone.requests[0].startswith(b"POST /v3/auth/tokens HTTP/1.1\r\n")


def test_trap_11_no_answer_is_asked_for_twice(far_side):
    """A 503 is one failed sample, and the server counts one request for it."""
    away = answer(503, "{}", retry_after="0")
    patient = far_side(lambda connection, nth: away if len(patient.requests) == 1 else answer())
    assert status_of_glance_by_sdk(patient.url) == 200
    server = far_side(replying(away))
    kept = take_web(web_spec(server.url), 3)
    assert kept.classes == [SampleClass.HTTP_5XX_BACKEND] * 3
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("reply", "expected", "maker"),
    [
        (HAPROXY_503.encode(), SampleClass.HTTP_5XX_LB, "lb"),
        (
            answer(200, "<html>It works</html>", content_type="text/html", server="Apache"),
            SampleClass.BODY_MISMATCH,
            "web-server",
        ),
        (
            answer(502, "<html>Bad Gateway</html>", content_type="text/html", server="Apache"),
            SampleClass.HTTP_5XX_BACKEND,
            "web-server",
        ),
        (answer(503, "{}", x_openstack_request_id="req-1"), SampleClass.HTTP_5XX_BACKEND, "service"),
        (answer(503, "{}"), SampleClass.HTTP_5XX_BACKEND, "unknown"),
        (HAPROXY_503.replace("no-cache", "private").encode(), SampleClass.HTTP_5XX_BACKEND, "web-server"),
        (HAPROXY_503.replace("cache-c", "server: x\r\ncache-c").encode(), SampleClass.HTTP_5XX_BACKEND, "web-server"),
    ],
)
def test_trap_35_who_made_a_bad_answer_is_named(far_side, reply, expected, maker):
    """The load balancer's page, a stray web server's and the service's own are told apart, and all are down."""
    server = far_side(replying(reply))
    assert wrong_rules.status_or_500(server.url) == int(reply.split()[1])  # and says nothing of who made it
    kept = take_web(web_spec(server.url), 1)
    assert kept.classes == [expected]
    assert kept.details[0]["maker"] == maker
    assert expected.counts_as is CountsAs.DOWN


def test_trap_36_a_root_document_without_a_request_id_is_good(far_side):
    """Most root documents carry no request id; its absence proves nothing."""
    reply = answer(200, NOVA_ROOT, server="uWSGI")
    assert wrong_rules.made_by_the_balancer(reply)
    server = far_side(replying(reply))
    assert take_web(web_spec(server.url), 1).classes == [SampleClass.OK]


def test_trap_37_the_token_filters_503_is_charged_to_keystone(far_side):
    """With keystone down, nova's deep read is down, and the maker is the token filter."""
    reply = answer(
        503,
        '{"message": "The server is currently unavailable. Please try again at a later time.<br /><br />\\n'
        'The Keystone service is temporarily unavailable.\\n\\n", "code": "503 Service Unavailable"}',
        x_openstack_request_id="req-2",
    )
    assert not wrong_rules.made_by_the_balancer(reply)  # so it would be charged to nova
    kept = take_web(deep(far_side(replying(reply))), 1, tokens=with_token())
    assert kept.classes == [SampleClass.HTTP_5XX_BACKEND]
    assert kept.details[0]["maker"] == "token-filter"
    assert kept.details[0]["request_id"] == "req-2"


def test_trap_16_a_stopped_prober_cancels_what_is_in_flight(far_side):
    """A sample cut off by the prober's own stop is neither good nor bad."""
    server = far_side(lambda connection, nth: time.sleep(1))

    def stop_soon(loop):
        loop.call_at(time.monotonic_ns() + 150 * MS, loop.stop_exchanges)

    kept = take_web(web_spec(server.url), 1, while_running=stop_soon)
    assert kept.classes == [SampleClass.CANCELLED_BY_STOP]
    assert kept.classes[0].counts_as is CountsAs.UNKNOWN


HOSTILE = {
    "interim": b"HTTP/1.1 100 Continue\r\n\r\n" * 4000,
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "deep": b"HTTP/1.1 300 OK\r\nContent-Length: 200000\r\n\r\n" + b"[" * 200_000,
    "digits": b"HTTP/1.1 200 OK\r\nContent-Length: 6000\r\n\r\n" + b"1" * 6000,
    "empty": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n",
    "garbage": bytes(range(256)) * 20,
}


@pytest.mark.parametrize("lane", ["vip-new", "vip-reused"])
@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_a_hostile_answer_is_that_samples_own_failure(far_side, name, lane):
    """The first answer is hostile and bad, on every lane; the prober goes on and the next ones are good."""
    served = []

    def behave(connection, nth):
        served.append(nth)
        return HOSTILE[name] if len(served) == 1 else answer()

    kept = take_web(web_spec(far_side(behave).url, lane=lane, deadline_ns=3000 * MS, period_ns=400 * MS), 3)
    assert 3 == len(kept.classes)
    assert 2 == kept.classes.count(SampleClass.OK)


# --- after a failure -------------------------------------------------------------------------------------------------


@pytest.mark.realtime
@pytest.mark.parametrize(
    ("first", "asked"), [(answer(500, "{}"), 2), (answer(200, NOVA_ROOT), 1)], ids=["failed", "good"]
)
def test_a_lane_with_a_long_period_looks_again_soon_after_a_failure(far_side, first, asked):
    """Its outage then ends when the service answers again, not a period later; after a good sample it just goes on."""
    replies = [first]
    server = far_side(lambda *_: replies.pop() if replies else answer(200, NOVA_ROOT))
    loop, kept = Loop(), Kept()
    spec = web_spec(server.url, period_ns=10_000 * MS)
    now_ns = time.monotonic_ns()
    probe = WebProbe(spec, Schedule(spec.probe, spec.period_ns, now_ns), loop, kept, Tokens())
    loop.add(probe)
    loop.call_at(now_ns + 2_500 * MS, loop.end)
    loop.run()
    assert len(kept.rows) == asked
    assert kept.classes[-1] is SampleClass.OK
