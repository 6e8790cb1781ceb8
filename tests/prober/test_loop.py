from __future__ import annotations

import select
import socket
import time

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from rehearsal.prober.echo.pending import Pending
from rehearsal.prober.loop import EXPIRED
from rehearsal.prober.loop import READ
from rehearsal.prober.loop import READY
from rehearsal.prober.loop import Loop
from rehearsal.prober.schedule import Schedule
from rehearsal.recording.sampleclass import SampleClass
from rehearsal.recording.sampleflags import BLIND
from tests.prober.taking import MS
from tests.prober.taking import Kept
from tests.prober.taking import web_spec


def ending_after(loop, wait_ns):
    loop.call_at(time.monotonic_ns() + wait_ns, loop.end)


@pytest.fixture
def pairs():
    """Twenty pairs of connected sockets."""
    made = [socket.socketpair() for _ in range(20)]
    yield made
    for end in (end for pair in made for end in pair):
        end.close()


def test_b6_a_stall_ends_when_everything_that_waited_has_been_read(pairs):
    """Twenty answers wait while the prober stands still: each is read with the stall as its excuse."""
    loop, excused = Loop(), []

    def read(ours):
        ours.recv(10)
        time.sleep(0.003)  # judging takes its time
        now = time.monotonic_ns()
        excused.append(now - loop.arrived_from_ns(now))

    for ours, _ in pairs:
        loop.watch(ours.fileno(), lambda ours=ours: read(ours))

    def stand_still():
        for _, theirs in pairs:
            theirs.send(b"answer")
        time.sleep(0.1)

    loop.call_at(time.monotonic_ns() + 10 * MS, stand_still)
    ending_after(loop, 300 * MS)
    loop.run()
    assert len(excused) == 20
    assert all(each >= 90 * MS for each in excused)
    began, ended = max(loop.stalls, key=lambda stall: stall[1] - stall[0])  # a busy machine may make it stall besides
    assert ended - began >= 150 * MS  # its own 100 ms and the reading of what waited
    assert loop.stalled_between(began, ended) == ended - began
    assert loop.stalled_ns == sum(end - begin for begin, end in loop.stalls)


@given(
    took=st.integers(0, 2000),
    read_late=st.integers(0, 3000),
    soft=st.sampled_from([0, 100, 500]),
    is_stall=st.booleans(),
)
def test_b6_an_echo_is_neither_lost_nor_slow_by_the_stall_of_the_prober(took, read_late, soft, is_stall):
    """What can have been in time was not lost; what can have been prompt is no slow spell of the canary's."""
    deadline = 1000
    spec = web_spec("http://127.0.0.1:1", deadline_ns=deadline * MS, soft_ns=soft * MS)
    kept = Kept()
    pending = Pending(spec, Schedule.starting(probe=1, period_ns=50 * MS, now_ns=0), kept, SampleClass.NO_REPLY)
    pending.add(0, 0, 0)
    read = took + read_late
    pending.answer(0, read * MS, from_ns=took * MS if is_stall else None)
    least = took if is_stall else read
    if least >= deadline:
        assert kept.rows == []
        pending.expire(read * MS)
        assert kept.classes == [SampleClass.NO_REPLY]
        return
    [row] = kept.rows
    seems_slow = read > soft > 0
    assert SampleClass(row.sample_class) == (SampleClass.SLOW_OK if seems_slow else SampleClass.OK)
    assert bool(row.flags & BLIND) == (seems_slow and least <= soft)


@settings(deadline=None, max_examples=20)
@given(answered=st.lists(st.booleans(), min_size=1, max_size=20), work=st.integers(0, 30))
def test_a_deadline_is_missed_only_after_a_look_that_began_later(answered, work):
    """What had been answered while the prober was kept past the deadline is found; what had not been is given up."""
    loop, outcomes, until = Loop(), {}, time.monotonic_ns() + 10 * MS
    pairs = [socket.socketpair() for _ in answered]

    def wait_for(number, fd):
        cause = yield fd, READ, until
        outcomes[number] = cause, time.monotonic_ns()

    def answer_then_work():
        for is_answered, (_, theirs) in zip(answered, pairs, strict=True):
            if is_answered:
                theirs.send(b"x")
        time.sleep(work / 1000)

    for number, (ours, _) in enumerate(pairs):
        loop.start(wait_for(number, ours.fileno()))
    loop.call_at(0, answer_then_work)
    loop.call_at(until + 60 * MS, loop.end)
    loop.run()
    for end in (end for pair in pairs for end in pair):
        end.close()
    assert [outcomes[number][0] for number in range(len(answered))] == [
        READY if is_answered else EXPIRED for is_answered in answered
    ]
    assert all(when >= until for cause, when in outcomes.values() if cause == EXPIRED)


def test_a_call_that_can_wait_wakes_nobody(monkeypatch):
    """It goes along with what wakes the process anyway, at the latest when its slack is over."""
    loop, called, sleeps = Loop(), [], []
    sleep = select.select

    def watched(*wait):
        sleeps.append(time.monotonic_ns() + wait[3] * 1e9)  # when it asks to be woken
        return sleep(*wait)

    monkeypatch.setattr(select, "select", watched)
    began = time.monotonic_ns()
    loop.call_at(began + 10 * MS, lambda: called.append(time.monotonic_ns() - began), 500 * MS)
    loop.call_at(began + 40 * MS, lambda: None)
    loop.call_at(began + 60 * MS, lambda: called.append(time.monotonic_ns() - began), 30 * MS)
    loop.call_at(began + 150 * MS, loop.end)
    loop.run()
    assert called[0] >= 40 * MS
    assert 90 * MS <= called[1]
    assert any(
        abs(woken - (began + 90 * MS)) < 5 * MS for woken in sleeps
    )  # it asks for no later, whenever it is woken
    assert len(sleeps) <= 4
