from __future__ import annotations

import itertools
import socket
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal import events
from rehearsal.journal import read_journal
from rehearsal.probe import mmsg
from rehearsal.probe.icmp import Heard
from rehearsal.probe.spec import ProbeSpec
from rehearsal.probe.volley import Volley
from rehearsal.probe.volley import VolleySocket
from rehearsal.sampleclass import SampleClass
from rehearsal.sampleflags import BLIND
from rehearsal.samples import SAMPLE
from rehearsal.samples import samples_by_probe
from tests import wrong_rules

MS = 1_000_000
S = 1000 * MS
PERIOD = 10 * MS
DEADLINE = 100 * MS
TOKEN = b"the run!"

pytestmark = pytest.mark.skipif(not mmsg.available(), reason="this kernel's structures are laid out differently")


class Recorded:
    def __init__(self):
        self.rows = []
        self.details = []

    def block(self, rows, count):
        found = np.frombuffer(rows, SAMPLE)
        assert len(found) == count
        self.rows += found.tolist()

    def detail(self, probe, seq, sample_class, message):
        self.details.append(message)

    @property
    def classes(self):
        return [SampleClass(row[1]).name for row in self.rows]


class Nowhere:
    """Stands where the socket stands; packets go nowhere, replies are made by the test."""

    lead = 0

    class echo:  # noqa: N801
        family = socket.AF_INET
        identifier = 0x4D2
        token = TOKEN

        class sock:  # noqa: N801
            @staticmethod
            def fileno():
                return -1


def spec(number, address=None, **changes):
    values = {
        "probe": number,
        "name": f"c{number}",
        "lane": "icmp",
        "service": "canary",
        "target": "x",
        "period_ns": PERIOD,
        "deadline_ns": DEADLINE,
        "settings": {"address": address or f"192.0.2.{number}"},
    }
    return ProbeSpec(**{**values, **changes})


@pytest.fixture(autouse=True)
def nothing_is_sent(request, monkeypatch):
    if "loopback" not in request.node.name:
        monkeypatch.setattr(mmsg.Outbox, "send", lambda self, fd, first, count: (count, 0))


def volley_of(members=3, now=S, seqs=None, **changes):
    recorded = Recorded()
    specs = [spec(number, **changes) for number in range(1, members + 1)]
    return Volley(specs, seqs or [0] * members, Nowhere, recorded, now), recorded


def requests(volley, number):
    """Return the packets of a round, as replies would bring them: words, lengths, sources."""
    slot = number % volley._rounds
    words = volley._expected.reshape(volley._rounds, len(volley.specs), -1)[slot].copy()
    return words, np.full(len(words), words.shape[1] * 8, np.uint32), volley._sources.copy()


def soon(volley, number=0):
    """Return a moment just after a round was sent."""
    return int(volley._sent[number % volley._rounds].max()) + MS


def fire_round(volley, number):
    """Fire everything of one round."""
    now = int(volley._first_due[-1]) + number * PERIOD
    volley.fire(now)
    return now


def answer(volley, number, arrived, keep=slice(None)):
    words, lengths, sources = requests(volley, number)
    return volley.hear(words[keep], lengths[keep], sources[keep], np.full(len(words[keep]), arrived, np.int64))


def test_replies_that_fit_are_good():
    """A round whose replies all fit is recorded at once, each with the moment the kernel saw it."""
    volley, recorded = volley_of()
    fire_round(volley, 0)
    arrived = soon(volley)
    assert answer(volley, 0, arrived) is None
    assert recorded.classes == ["OK"] * 3
    assert {row[6] for row in recorded.rows} == {arrived}
    assert [row[3] for row in recorded.rows] == [0, 0, 0]
    assert volley.in_flight() == 0


@given(place=st.integers(4, 63), bit=st.integers(0, 7))
def test_trap_28_a_reply_with_any_other_bit_is_ignored(place, bit):
    """From the identifier to the last byte of the payload, nothing may differ."""
    volley, recorded = volley_of()
    fire_round(volley, 0)
    words, lengths, sources = requests(volley, 0)
    words.view(np.uint8)[1, place] ^= 1 << bit
    volley.hear(words, lengths, sources, np.full(3, soon(volley), np.int64))
    assert volley.in_flight() == 1
    volley.expire(time.monotonic_ns() + S)
    assert sorted(recorded.classes) == ["NO_REPLY", "OK", "OK"]


def test_trap_28_a_reply_from_another_address_or_of_another_length_is_ignored():
    """Everything fits but the source; everything fits but there is more of it."""
    volley, _ = volley_of()
    fire_round(volley, 0)
    words, lengths, sources = requests(volley, 0)
    sources[0] += 1
    mine = volley._where.echo.identifier, 0
    assert wrong_rules.same_identifier_and_sequence(*mine, *mine)  # it knows neither sources nor lengths
    lengths[1] += 8
    volley.hear(words, lengths, sources, np.full(3, soon(volley), np.int64))
    assert volley.in_flight() == 2


def test_late_and_double_replies_are_counted_apart():
    """A reply after the deadline is late, a second one is a duplicate; neither changes what was recorded."""
    volley, recorded = volley_of()
    fire_round(volley, 0)
    sent = int(volley._sent[0, 0])
    answer(volley, 0, sent + 5, slice(0, 2))
    answer(volley, 0, sent + 6, slice(0, 1))
    answer(volley, 0, sent + DEADLINE, slice(2, 3))
    assert (volley.duplicates, volley.late) == (1, 1)
    fire_round(volley, 1)
    volley.expire(sent + DEADLINE)
    assert sorted(recorded.classes[:3]) == ["NO_REPLY", "OK", "OK"]
    answer(volley, 0, sent + 2 * DEADLINE, slice(2, 3))
    answer(volley, 0, sent + 2 * DEADLINE, slice(0, 1))
    assert (volley.duplicates, volley.late) == (2, 2)


def test_the_same_reply_twice_in_one_reading_is_one_sample():
    """Duplicates that arrive together are one good sample and one duplicate."""
    volley, recorded = volley_of()
    fire_round(volley, 0)
    words, lengths, sources = requests(volley, 0)
    twice = [0, 0, 1, 2]
    volley.hear(words[twice], lengths[twice], sources[twice], np.full(4, soon(volley), np.int64))
    assert recorded.classes == ["OK"] * 3
    assert volley.duplicates == 1


def test_slow_replies_are_degraded():
    """A reply after the soft deadline is SLOW_OK."""
    volley, recorded = volley_of(soft_ns=20 * MS)
    fire_round(volley, 0)
    answer(volley, 0, int(volley._sent[0, 0]) + 30 * MS)
    assert recorded.classes == ["SLOW_OK"] * 3


def test_trap_26_after_a_stall_a_few_rounds_are_sent_late_and_flagged():
    """2 s late, whole rounds are given up and counted, the rest is sent and flagged BLIND."""
    now = time.monotonic_ns() - 3 * S
    volley, recorded = volley_of(now=now)
    fire_round(volley, 0)
    volley.fire(int(volley._first_due[-1]) + 200 * PERIOD)
    assert volley.dropped > 150 * 3
    volley.cancel()
    late = [row for row in recorded.rows if row[3] > 0]
    assert len(late) <= 7 * 3
    assert all(row[2] & BLIND for row in late)
    assert len(recorded.rows) + volley.dropped == 201 * 3


def test_an_error_on_the_way_is_believed_if_it_quotes_our_request():
    """A router's word about a request makes that sample UNREACHABLE, and no other."""
    volley, recorded = volley_of()
    fire_round(volley, 0)
    index = 1
    address = volley.specs[index].settings["address"]
    assert not volley.fail(Heard("198.51.100.1", 0, b"", time.monotonic_ns(), "no"))
    assert volley.fail(Heard(address, 0, b"", time.monotonic_ns(), "192.0.2.254 says unreachable, code 1"))
    answer(volley, 0, soon(volley))
    assert sorted(recorded.classes) == ["OK", "OK", "UNREACHABLE"]
    assert recorded.details == ["192.0.2.254 says unreachable, code 1"]


def test_what_cannot_be_sent_is_recorded(monkeypatch):
    """A send that fails for one packet fails that sample only."""
    results = itertools.chain([(1, 0), (0, 105)], itertools.repeat((1, 0)))
    monkeypatch.setattr(mmsg.Outbox, "send", lambda self, fd, first, count: next(results))
    volley, recorded = volley_of()
    fire_round(volley, 0)
    answer(volley, 0, soon(volley))
    assert sorted(recorded.classes) == ["LOCAL_FAULT", "OK", "OK"]


@given(
    waits=st.lists(st.integers(0, 40 * MS) | st.just(S), min_size=1, max_size=30),
    hits=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 4), st.integers(0, 200 * MS)), max_size=40),
    first=st.integers(0, 2**31),
)
def test_every_sample_that_was_sent_is_recorded_once(waits, hits, first):
    """Whatever is late, lost, doubled or cut off: each sample sent is recorded exactly once, and numbers go on."""
    now = S
    volley, recorded = volley_of(5, now=now, seqs=[first] * 5)
    sent = 0

    def counted(self, fd, start, count):
        nonlocal sent
        sent += count
        return count, 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mmsg.Outbox, "send", counted)
        for wait in waits:
            now += wait
            volley.fire(now)
            for number, index, delay in hits:
                if volley._prepared - volley._rounds < number <= volley._prepared:
                    answer(volley, number, time.monotonic_ns() + delay - 100 * MS, slice(index, index + 1))
        following = volley.stop()
        volley.cancel()
    keys = [(row[0], row[3]) for row in recorded.rows]
    assert len(keys) == len(set(keys)) == sent
    assert volley.is_over()
    for probe, seq in following.items():
        assert max((key[1] for key in keys if key[0] == probe), default=first - 1) < seq


@pytest.mark.realtime
def test_many_probes_on_loopback_become_volleys(tmp_path, prober):
    """Fifty-five targets at 50 Hz are all answered, come and go, and every sample has its own number."""
    try:
        VolleySocket(socket.AF_INET, 56, TOKEN).echo.sock.close()
    except OSError as error:
        pytest.skip(f"ICMP is not permitted here: {error}")
    running = prober()
    specs = [spec(number, f"127.0.7.{number}", period_ns=20 * MS, deadline_ns=2 * S) for number in range(1, 56)]
    for each in specs:
        running.declare(each)
    until = time.monotonic() + 20
    while len(samples_by_probe(tmp_path).get(55, ())) < 50 and time.monotonic() < until:
        time.sleep(0.2)
    running.declare(replace(specs[0], probe=61, name="late", settings={"address": "127.0.7.61"}))
    time.sleep(0.5)
    running.retire(55)
    running.period(1, 50 * MS)
    time.sleep(0.7)
    running.stop()
    found = samples_by_probe(tmp_path)
    for number in [*range(1, 56), 61]:
        samples = found[number]
        assert set(samples["sample_class"].tolist()) == {int(SampleClass.OK)}
        assert (np.diff(samples["seq"].astype(int)) >= 1).all()
    assert len(found[2]) > 50
    assert np.diff(found[1]["due"])[-1] == 50 * MS
    assert found[55]["sent"].max() < found[54]["sent"].max() - 400 * MS
    beats = [
        r.event for r in read_journal(tmp_path / "journal" / "prober.jsonl") if isinstance(r.event, events.ProberBeat)
    ]
    assert sum(beat.late + beat.duplicates for beat in beats) == 0
