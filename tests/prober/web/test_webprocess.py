from __future__ import annotations

import json
import os
import signal
import socket
import time
from dataclasses import replace

import numpy as np
import pytest

from rehearsal.figures.outcome import Outcome
from rehearsal.judging import damage
from rehearsal.lanes import declare
from rehearsal.lanes.rates import rates_of
from rehearsal.lanes.spec import ProbeSpec
from rehearsal.prober.client import ProberError
from rehearsal.prober.web.webprocess import CONTROL_PROBE
from rehearsal.recording import events
from rehearsal.recording import history
from rehearsal.recording import samplestream
from rehearsal.recording.journal import Journal
from rehearsal.recording.journal import read
from rehearsal.recording.sampleclass import CountsAs
from rehearsal.recording.sampleclass import SampleClass
from rehearsal.recording.samples import BLIND
from rehearsal.recording.samples import FRESH
from rehearsal.recording.samples import samples_by_probe
from tests.made import wrong_rules
from tests.prober.farside import HAPROXY_503
from tests.prober.farside import answer
from tests.prober.taking import MS
from tests.prober.taking import web_spec

pytestmark = pytest.mark.realtime

S = 1_000_000_000


def until(condition, within_s=30.0):
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, f"not within {within_s} s"
        time.sleep(0.01)


def journal(run_dir, kind=events.Event):
    path = run_dir / "journal" / "prober.jsonl"
    return [record.event for record in read(path).records if isinstance(record.event, kind)]


def classes(samples):
    return {SampleClass(value) for value in np.unique(samples["sample_class"])}


def icmp_spec(**changes):
    values = {
        "probe": 5,
        "name": "c0 icmp",
        "lane": "icmp",
        "service": "canary",
        "target": "127.0.0.1",
        "period_ns": 20 * MS,
        "deadline_ns": 2 * S,
        "settings": {"address": "127.0.0.1"},
        **changes,
    }
    return ProbeSpec(**values)


def tcp_spec(port, **changes):
    values = {"probe": 6, "name": "c0 tcp", "lane": "tcp", "target": f"127.0.0.1 port {port}", "period_ns": 25 * MS}
    return icmp_spec(**{**values, "settings": {"address": "127.0.0.1", "port": port}, **changes})


def test_trap_34_the_server_counts_as_many_requests_as_there_are_samples(tmp_path, prober, far_side):
    """What was on the wire is what is in the store, over new, kept and authenticated lanes together."""
    twice = far_side()
    assert wrong_rules.fallen_through(twice.url) == 1
    assert len(twice.requests) == 2
    server = far_side(lambda connection, nth: answer(200, '{"version": {"id": "v2.1"}, "servers": []}'))
    running = prober()
    fast = rates_of({"vip-new": 33, "vip-reused": 33, "deep": 20})
    where = declare.Where("nova", server.url, "127.0.0.1", "public")
    new, reused, deep, *_ = [*declare.shallow_probes(where, fast), *declare.read_probes(where, fast)]
    for number, spec in enumerate((new, reused), start=1):
        running.declare(replace(spec, probe=number))
    running.token("kept", "token-of-the-test")
    running.declare(replace(deep, probe=3))
    until(lambda: len(server.requests) >= 70)
    assert running.stop() == 0
    found = samples_by_probe(tmp_path)
    assert len(server.requests) == sum(len(found[number]) for number in (1, 2, 3))
    assert all(classes(found[number]) == {SampleClass.OK} for number in (1, 2, 3, CONTROL_PROBE))
    assert len(found[1]) >= 20
    [stopped] = journal(tmp_path, events.ProberStopped)
    assert stopped.recorded == sum(map(len, found.values()))
    assert stopped.stored == {str(number): len(samples) for number, samples in found.items()}
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"token-of-the-test" not in path.read_bytes()


def test_trap_26_a_stopped_prober_is_blind_and_not_an_outage(tmp_path, prober, far_side, echo):
    """SIGSTOP for 2 s leaves a blind interval and flagged samples, and no failed sample."""
    server = far_side()
    running = prober()
    running.declare(web_spec(server.url))
    running.declare(web_spec(server.url, probe=2, lane="vip-reused"))
    running.declare(tcp_spec(echo.port, deadline_ns=8 * S))
    time.sleep(0.4)
    os.killpg(running.pid, signal.SIGSTOP)
    stopped_ns = time.monotonic_ns()
    time.sleep(2)
    os.killpg(running.pid, signal.SIGCONT)
    time.sleep(0.6)
    running.stop()
    found = samples_by_probe(tmp_path)
    for number in (1, 2, 6):
        down = [value for value in classes(found[number]) if value.counts_as is CountsAs.DOWN]
        assert down == []
        blind = found[number][(found[number]["flags"] & BLIND) != 0]
        assert len(blind) >= 1
        gaps = np.diff(found[number]["sent"])
        assert gaps.max() > 1.8 * S
    blinds = journal(tmp_path, events.ProberBlind)
    for cause in ("the prober was not running", "the prober (icmp, tcp) was not running"):
        assert any(b.cause == cause and b.began_ns < stopped_ns + S and b.ended_ns > stopped_ns + S for b in blinds)
    assert max(beat.dropped for beat in journal(tmp_path, events.ProberBeat)) > 50


def test_trap_15_a_stop_during_an_outage_keeps_every_sample(tmp_path, prober, far_side):
    """Stopped while the service is down, the recording ends with its failures; nothing sent is missing."""
    server = far_side(lambda connection, nth: HAPROXY_503.encode())
    running = prober()
    running.declare(web_spec(server.url, period_ns=20 * MS))
    until(lambda: len(server.requests) >= 20)
    assert running.stop() == 0
    samples = samples_by_probe(tmp_path)[1]
    assert wrong_rules.closed_outages(samples) == []
    assert classes(samples) == {SampleClass.HTTP_5XX_LB}
    assert len(samples) == len(server.requests)
    assert samples["seq"].tolist() == list(range(len(samples)))
    details = journal(tmp_path, events.SampleDetail)
    assert details[0].maker == "lb"
    assert details[0].status == 503
    assert details[0].request_id_sent.startswith("req-")


def test_trap_16_samples_in_flight_at_the_stop_are_cancelled_and_recorded(tmp_path, prober, far_side):
    """What has no answer when the prober must end counts as unknown."""
    server = far_side(lambda connection, nth: time.sleep(5))
    running = prober()
    running.declare(web_spec(server.url, deadline_ns=20 * S, soft_ns=S))
    until(lambda: server.connections >= 5)
    assert running.stop(4.2) == 0
    samples = samples_by_probe(tmp_path)[1]
    assert classes(samples) == {SampleClass.CANCELLED_BY_STOP}
    assert len(samples) == server.connections


def test_the_end_of_the_runner_is_a_stop(tmp_path, prober, far_side):
    """When stdin ends (the runner was killed), everything is drained and written."""
    running = prober()
    server = far_side()
    running.declare(web_spec(server.url))
    until(lambda: server.requests)
    running._process.stdin.close()
    assert running._process.wait(10) == 0
    [stopped] = journal(tmp_path, events.ProberStopped)
    assert stopped.reason == "the runner is gone"
    assert stopped.recorded == sum(map(len, samples_by_probe(tmp_path).values()))


def test_sigterm_drains_and_sigint_is_not_for_the_prober(tmp_path, prober, far_side):
    """Ctrl-C reaches only the runner; SIGTERM ends the prober in order."""
    running = prober()
    server = far_side()
    running.declare(web_spec(server.url))
    os.kill(running.pid, signal.SIGINT)
    until(lambda: len(server.requests) >= 5)
    assert running.alive()
    os.kill(running.pid, signal.SIGTERM)
    assert running._process.wait(10) == 0
    assert journal(tmp_path, events.ProberStopped)[0].reason == "SIGTERM"


def test_trap_24_a_killed_prober_leaves_its_samples_and_no_word_of_its_end(tmp_path, prober, far_side):
    """After kill -9 the samples so far are readable, no ProberStopped exists, and the runner can tell."""
    running = prober()
    running.declare(web_spec(far_side().url, period_ns=20 * MS))
    until(lambda: len(samples_by_probe(tmp_path).get(1, ())) >= 20)
    os.kill(running.pid, signal.SIGKILL)
    assert running.stop() == -signal.SIGKILL
    assert not running.alive()
    with pytest.raises(ProberError, match=r"gone|stopped"):
        running.retire(1)
    assert journal(tmp_path, events.ProberStopped) == []
    assert len(samples_by_probe(tmp_path)[1]) >= 20


def test_a_resumed_run_goes_on_with_the_numbers(tmp_path, prober, far_side):
    """A second prober of the same run continues sequence numbers, and refuses a number that meant something else."""
    server = far_side()
    for _ in range(2):
        running = prober()
        running.declare(web_spec(server.url))
        heard = len(server.requests)
        until(lambda heard=heard: len(server.requests) >= heard + 5)
        running.stop()
    samples = samples_by_probe(tmp_path)[1]
    assert samples["seq"].tolist() == list(range(len(samples)))
    running = prober()
    with pytest.raises(ProberError, match="the number 1 was nova earlier in this run"):
        running.declare(web_spec(server.url, name="neutron", service="neutron"))


def test_a_killed_prober_and_the_next_one_are_one_recording(tmp_path, prober, far_side):
    """Chain and counts go on after kill -9, twice, and nothing of it is taken for damage; a bit that flips is."""
    (tmp_path / "journal").mkdir(exist_ok=True)
    with Journal(tmp_path / "journal" / "runner.jsonl") as runner:
        runner.write(events.RunBegan("run", "rehearsal", 1, [], "0", "0", "manager", "", {}, "", {}))
    server = far_side()
    for kill in (True, True, False):
        before = len(samples_by_probe(tmp_path).get(1, ()))
        running = prober()
        running.declare(web_spec(server.url, period_ns=20 * MS))
        until(lambda before=before: len(samples_by_probe(tmp_path).get(1, ())) >= before + 60)
        if kill:
            os.kill(running.pid, signal.SIGKILL)
        running.stop()
    assert not [each for each in findings_of_damage(tmp_path) if each.outcome is not Outcome.OK]
    path = tmp_path / "samples" / "prober.smp"
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)
    assert next(each.outcome for each in findings_of_damage(tmp_path)) is Outcome.UNKNOWN


def findings_of_damage(run_dir):
    found = history.load(run_dir)
    for _ in samplestream.samples(found):
        pass
    return damage.findings(found)


def test_what_may_not_be_probed_is_refused(prober, far_side):
    """Addresses outside the declared networks get no packet."""
    running = prober(allowed=["192.0.2.0/24"])
    server = far_side()
    with pytest.raises(ProberError, match="not among the addresses that may be probed"):
        running.declare(web_spec(server.url))
    with pytest.raises(ProberError, match="there is no probe 1"):
        running.period(1, 100 * MS)
    assert server.connections == 0


def test_a_probe_changes_its_period_and_retires(tmp_path, prober, far_side):
    """A faster period takes effect at once; after a probe retired, nothing more of it is sent."""
    server = far_side()
    running = prober()
    running.declare(web_spec(server.url, period_ns=200 * MS))
    time.sleep(0.5)
    running.period(1, 20 * MS)
    time.sleep(0.5)
    running.retire(1, "the step is over")
    retired_ns = time.monotonic_ns()
    time.sleep(0.3)
    running.stop()
    samples = samples_by_probe(tmp_path)[1]
    assert len(server.requests) == len(samples) >= 12
    assert samples["sent"].max() < retired_ns
    assert journal(tmp_path, events.PeriodChanged)[0].period_ns == 20 * MS
    assert journal(tmp_path, events.ProbeRetired)[0].reason == "the step is over"


def test_orders_that_are_none_are_answered(prober):
    """A malformed order gets one sentence, and the prober goes on."""
    running = prober()
    for line in (b"not json\n", b"[]\n", b'{"op": "explode"}\n', b'{"op": "token", "name": "x"}\n'):
        running._process.stdin.write(line)
        running._process.stdin.flush()
        with pytest.raises(ProberError, match="not an order"):
            running._hear("x", 5)
    assert running.alive()


def test_canaries_are_reached_by_icmp_and_an_established_flow(tmp_path, prober, echo):
    """ICMP where it is permitted, and one TCP connection that carries all samples; only its first are FRESH."""
    running = prober()
    running.declare(icmp_spec())
    running.declare(tcp_spec(echo.port))
    until(lambda: len(samples_by_probe(tmp_path).get(6, ())) >= 30)
    running.stop()
    found = samples_by_probe(tmp_path)
    assert classes(found[6]) == {SampleClass.OK}
    assert len(found[6]) >= 25
    assert (found[6]["flags"] & FRESH).sum() <= 2
    if 5 not in found:
        pytest.skip(f"ICMP is not permitted here: {journal(tmp_path, events.SampleDetail)[0].message}")
    assert classes(found[5]) == {SampleClass.OK}
    assert len(found[5]) >= 30


def test_a_broken_flow_reconnects_in_the_open(tmp_path, prober, echo):
    """A reset of the established connection fails what is in flight, and the new connection is flagged FRESH."""
    running = prober()
    running.declare(tcp_spec(echo.port))
    time.sleep(0.4)
    echo.mute = True
    time.sleep(0.15)
    echo.reset_all()
    echo.mute = False
    time.sleep(0.4)
    running.stop()
    samples = samples_by_probe(tmp_path)[6]
    broken = samples[samples["sample_class"] != SampleClass.OK]
    assert classes(broken) <= {SampleClass.RST_MIDSTREAM, SampleClass.EOF_MIDBODY}
    assert len(broken) >= 1
    after = samples[samples["sent"] > broken["sent"].max()]
    assert after["flags"][0] & FRESH
    assert not after["flags"][-1] & FRESH


def test_trap_30_a_gap_of_a_datagram_flow_is_seen_to_the_period(tmp_path, prober):
    """0.9 s without datagrams across a second boundary is 0.9 s of failed samples, not one bad second."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as beacon:
        beacon.bind(("127.0.0.1", 0))
        beacon.settimeout(30)
        running = prober()
        port = beacon.getsockname()[1]
        running.declare(tcp_spec(port, probe=7, lane="udp", period_ns=10 * MS, deadline_ns=2 * S))
        swallowed, returned_s, seq = set(), [], 0
        while seq < 180:
            data, sender = beacon.recvfrom(2048)
            seq = int(data.split()[3])
            if 40 <= seq < 130:
                swallowed.add(seq)
            else:
                beacon.sendto(data, sender)
                returned_s.append(seq * 0.01)
        running.stop()
    assert wrong_rules.quiet_seconds(returned_s) == []
    samples = samples_by_probe(tmp_path)[7]
    lost = samples[samples["sample_class"] == SampleClass.NO_REPLY]
    assert swallowed
    assert set(lost["seq"].tolist()) - {int(samples["seq"].max())} == swallowed


def test_a_dead_second_process_is_blind_time_and_starts_again(tmp_path, prober, echo):
    """If the process of ICMP and TCP dies, that time is blind by name, and its probes go on."""
    running = prober()
    running.declare(tcp_spec(echo.port))
    time.sleep(0.5)
    [child] = [pid for pid in children(running.pid) if "rehearsal.prober.echo.echoprocess" in command(pid)]
    os.kill(child, signal.SIGKILL)
    time.sleep(1.5)
    running.stop()
    causes = [event.cause for event in journal(tmp_path, events.ProberBlind)]
    assert "the prober (icmp, tcp) died with exit code -9" in causes
    samples = samples_by_probe(tmp_path)[6]
    assert len(np.unique(samples["seq"])) == len(samples)
    assert samples["sent"].max() - samples["sent"].min() > 1.2 * S


def test_a_dead_control_is_blind_time_and_starts_again(tmp_path, prober):
    """The local responder must never fail: while it does, the prober is blind, and says so."""
    running = prober()
    time.sleep(0.3)
    [child] = [pid for pid in children(running.pid) if "rehearsal.prober.control" in command(pid)]
    os.kill(child, signal.SIGKILL)
    time.sleep(2)
    running.stop()
    causes = " ".join(event.cause for event in journal(tmp_path, events.ProberBlind))
    assert "the local control failed: REFUSED" in causes
    assert "the local control had died" in causes
    samples = samples_by_probe(tmp_path)[CONTROL_PROBE]
    assert samples["sample_class"][-1] == SampleClass.OK


def test_a_run_of_another_boot_is_not_continued(tmp_path, prober):
    """The monotonic clock of another boot cannot be joined: one sentence, no prober."""
    path = tmp_path / "journal" / "prober.jsonl"
    path.parent.mkdir()
    record = {"t": 1, "w": 1, "kind": "prober-started", "pid": 1, "boot_id": "other", "probes": 0, "samples_file": "x"}
    path.write_text(json.dumps(record) + "\n")
    with pytest.raises(ProberError, match="before the machine was rebooted"):
        prober()


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:  # noqa: PTH123
        return [int(text) for text in file.read().split()]


def command(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123
        return file.read().replace(b"\0", b" ").decode()
