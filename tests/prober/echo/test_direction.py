"""Which way datagrams were lost: the count that comes back tells, whatever is lost where."""

from __future__ import annotations

import socket
import threading

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from rehearsal.lanes.spec import ProbeSpec
from rehearsal.prober.echo.direction import Directions
from rehearsal.recording import events
from rehearsal.recording.journal import read
from tests.prober.taking import MS

S = 1000 * MS
WELL, LOST_THERE, LOST_BACK = range(3)


def flown(fates, *, restart_at=None, counts=True):
    """Fly datagrams 10 ms apart with these fates; return what was told."""
    directions, count, told = Directions(1 * S), 0, []
    for number, fate in enumerate(fates):
        now_ns = number * 10 * MS
        if number == restart_at:
            count = 0
        if fate != LOST_THERE:
            count += 1
        if fate == WELL:
            directions.heard(number, count if counts else None, now_ns, now_ns + 1)
        told.append(directions.told(now_ns + 2))
    told.append(directions.told(len(fates) * 10 * MS, at_once=True))
    return [loss for loss in told if loss is not None]


@given(st.lists(st.sampled_from([WELL, WELL, WELL, LOST_THERE, LOST_BACK]), max_size=400))
@settings(deadline=None)
def test_what_was_lost_between_two_answers_is_told_with_its_way(fates):
    """Whatever is lost between the first and the last answer is counted once, on its way."""
    answers = [number for number, fate in enumerate(fates) if fate == WELL]
    inside = fates[answers[0] : answers[-1]] if answers else []
    told = flown(fates)
    assert sum(loss.there for loss in told) == inside.count(LOST_THERE)
    assert sum(loss.back for loss in told) == inside.count(LOST_BACK)
    assert all(loss.lost == loss.there + loss.back > 0 for loss in told)


def test_a_far_side_that_does_not_count_or_begins_anew_tells_no_way():
    """Without counts, or across a restart of the far side, the number is told and the way is not."""
    fates = [WELL] * 5 + [LOST_BACK] * 3 + [WELL] * 5
    [loss] = flown(fates, counts=False)
    assert (loss.lost, loss.there, loss.back) == (3, -1, -1)
    [loss] = flown(fates, restart_at=6)
    assert (loss.lost, loss.there, loss.back) == (3, -1, -1)


def test_an_answer_that_was_overtaken_was_not_lost():
    """What comes after a later answer is taken back."""
    directions = Directions(1 * S)
    directions.heard(0, 1, 0, 1)
    directions.heard(3, 4, 3, 4)
    directions.heard(1, 2, 1, 5)
    loss = directions.told(2 * S)
    assert loss is not None
    assert (loss.lost, loss.there, loss.back) == (1, 0, 1)
    assert directions.told(3 * S) is None


def test_losses_that_go_on_are_told_now_and_then():
    """Every second datagram is lost for half a minute: that is told in a few pieces, not in one at the end nor in a thousand."""
    told = flown([WELL, LOST_THERE] * 1500)
    assert 2 <= len(told) <= 4
    assert sum(loss.there for loss in told) == 1499


def test_the_prober_records_which_way_datagrams_were_lost(tmp_path, prober):
    """Against a far side that counts, swallows some before and some after it counted, both ways are in the journal."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.bind(("127.0.0.1", 0))
        far.settimeout(30)
        over = threading.Event()

        def serve():
            count = seq = 0
            while seq < 160:
                data, sender = far.recvfrom(2048)
                seq = int(data.split()[3])
                if 20 <= seq < 40:
                    continue
                count += 1
                if 60 <= seq < 65:
                    continue
                far.sendto(data + b"%d" % count, sender)
            over.set()

        threading.Thread(target=serve, daemon=True).start()
        running = prober()
        address = {"address": "127.0.0.1", "port": far.getsockname()[1]}
        running.declare(ProbeSpec(7, "c udp", "udp", "canary", "c", 10 * MS, 300 * MS, 0, "c", "", address))
        assert over.wait(30)
        running.stop()
    told = [record.event for record in read(tmp_path / "journal" / "prober.jsonl").records]
    lost = [event for event in told if isinstance(event, events.DatagramsLost)]
    assert {event.probe for event in lost} == {7}
    # A busy machine may drop ticks, so that fewer were sent than have numbers.
    assert 0 < sum(event.there for event in lost) <= 20
    assert 0 < sum(event.back for event in lost) <= 5
    assert all(event.from_ns < event.to_ns for event in lost)
