"""The outage mathematics against a slow, plain model of itself, and against simulated truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.outage import OPEN_NS
from rehearsal.outage import Outage
from rehearsal.outage import ProbeFold
from rehearsal.outage import StreamFold
from rehearsal.outage import Trace
from rehearsal.outage import derive
from rehearsal.recording.sampleclass import CountsAs
from rehearsal.recording.sampleclass import SampleClass
from rehearsal.recording.samples import BLIND
from rehearsal.recording.samples import SAMPLE

MS = 1_000_000
T0 = 10**12
SOFT = 300 * MS
PERIOD = 100 * MS
CLASSES = [
    SampleClass.OK,
    SampleClass.OK,
    SampleClass.OK,
    SampleClass.SLOW_OK,
    SampleClass.HTTP_THROTTLED,
    SampleClass.HTTP_5XX_LB,
    SampleClass.REFUSED,
    SampleClass.NO_REPLY,
    SampleClass.TIMEOUT_CONNECT,
    SampleClass.TIMEOUT_TTFB,
    SampleClass.LOCAL_FAULT,
    SampleClass.CANCELLED_BY_STOP,
]


def array_of(rows, probe=1):
    samples = np.zeros(len(rows), SAMPLE)
    for index, (cls, flags, due, sent, done) in enumerate(rows):
        samples[index] = (probe, int(cls), flags, index, due, sent, done)
    return samples


@st.composite
def recordings(draw, most=60):
    """Any classes, any lateness, any answer times, pauses: also nonsense that no service would produce."""
    count = draw(st.integers(0, most))
    rows = []
    sent = T0
    paused = 0
    for index in range(count):
        paused += draw(st.sampled_from([0] * 20 + [900 * MS, 59_100 * MS, 61_000 * MS]))
        due = T0 + index * PERIOD + paused
        sent = max(sent + draw(st.integers(0, 2)), due + draw(st.sampled_from([0, 0, MS, 50 * MS, 250 * MS])))
        answer = draw(st.sampled_from([MS, 5 * MS, 90 * MS, 150 * MS, 1000 * MS]))
        rows.append(
            (draw(st.sampled_from(CLASSES)), draw(st.sampled_from([0, 0, 0, 0, BLIND])), due, sent, sent + answer)
        )
    return array_of(rows)


def code(sample):
    counts = SampleClass(int(sample["sample_class"])).counts_as
    blind = bool(sample["flags"] & BLIND)
    if counts is CountsAs.GOOD:
        return "good"
    if counts is CountsAs.DEGRADED:
        return "up" if blind else "slow"
    if counts is CountsAs.DOWN and not blind:
        return "down"
    return "nothing"


GOOD_FOR = {"down": {"good", "slow", "up"}, "degraded": {"good"}}
"""Which samples are good, for one kind of outage: every answer proves life, only a prompt one proves promptness."""
BAD_FOR = {"down": {"down"}, "degraded": {"slow"}}
CUTS = {"down": {"nothing"}, "degraded": {"nothing", "up"}}


def plain_outages(samples, kind):
    """The definition of docs/measuring.md, sample by sample, without any cleverness."""
    found, run, before = [], None, []
    for sample in samples:
        what = code(sample)
        if what in BAD_FOR[kind]:
            if run is None:
                run = {"before": list(before), "pieces": [], "cut": True}
            if kind == "degraded":
                waited = max((int(each["done"]) for piece in run["pieces"] for each in piece), default=0)
                run["cut"] = not run["pieces"] or int(sample["sent"]) > waited
            if run["cut"]:
                run["pieces"].append([])
                run["cut"] = False
            run["pieces"][-1].append(sample)
        elif what in GOOD_FOR[kind] and run is not None:
            found.append((run, sample))
            run = None
        elif what in CUTS[kind] and run is not None:
            run["cut"] = True
        before.append(sample)
    if run is not None:
        found.append((run, None))
    return [plain_outage(run, after, kind) for run, after in found]


def last_answered(before, moment):
    """The good sample that was sent last among those that were done before a moment."""
    goods = [sample for sample in before if code(sample) in GOOD_FOR["down"] and int(sample["done"]) <= moment]
    return max(goods, key=lambda sample: int(sample["sent"]), default=None)


def last_not_slow(before):
    """The last sample that did not wait: it was answered promptly, or it failed."""
    return next((sample for sample in reversed(before) if code(sample) in {"good", "down"}), None)


def largest_round_trip(before, moment):
    """Of the good samples that were sent in the 60 s before a moment, in whole seconds; None if there are none."""
    second = 1000 * MS
    earlier = [sample for sample in before if int(sample["sent"]) < moment]
    recent = [sample for sample in earlier if moment // second - int(sample["sent"]) // second < 60]
    taken = [int(sample["done"] - sample["sent"]) for sample in recent if code(sample) in GOOD_FOR["down"]]
    return max(taken, default=None)


def good_since_the_last_bad(before, kind):
    count = 0
    for sample in reversed(before):
        if code(sample) in BAD_FOR[kind]:
            break
        count += code(sample) in GOOD_FOR[kind]
    return count


def plain_outage(run, after, kind):
    bad = [sample for piece in run["pieces"] for sample in piece]
    began = int(bad[0]["sent"])
    g0 = last_answered(run["before"], began) if kind == "down" else last_not_slow(run["before"])
    rtt = largest_round_trip(run["before"], began)
    if rtt is None:
        rtt = int(after["done"] - after["sent"]) if after is not None else OPEN_NS // 2
    parts, proofs_of_all = [], []
    for piece in run["pieces"]:
        if kind == "down":
            proofs = [int(sample["done"]) for sample in piece]
            proofs += [
                int(sample["sent"]) + rtt for sample in piece if SampleClass(int(sample["sample_class"])).proof_is_sent
            ]
            part = (min(proofs), int(piece[-1]["sent"]))
            proofs_of_all.append(min(proofs))
        else:
            begin = int(piece[0]["sent"])
            part = (max(begin, parts[-1][1]) if parts else begin, max(int(sample["done"]) for sample in piece))
        if part[1] > part[0]:
            parts.append(part)
    classes = {}
    for sample in bad:
        classes[int(sample["sample_class"])] = classes.get(int(sample["sample_class"]), 0) + 1
    latest = max(int(sample["done"]) for sample in bad)
    end = None if after is None else int(after["done"])
    if kind == "degraded" and end is not None:
        end = max(end, latest)
    return Outage(
        kind=kind,
        last_good_ns=None if g0 is None else int(g0["sent"]),
        first_bad_ns=began,
        last_bad_ns=int(bad[-1]["sent"]) if kind == "down" else latest,
        first_good_ns=end,
        first_good_sent_ns=None if after is None else int(after["sent"]),
        proof_ns=min(proofs_of_all) if kind == "down" else began,
        certain_parts=tuple(parts),
        failed=len(bad),
        classes=tuple(sorted(classes.items())),
        good_before=good_since_the_last_bad(run["before"], kind),
        round_trip_ns=rtt if kind == "down" and rtt < OPEN_NS // 2 else None,
        failures=np.array([[int(one[name]) for one in bad] for name in ("sent", "done", "sample_class")]),
    )


TROUBLE_FOR = {"down": {"down"}, "degraded": {"slow", "down"}}


def plain_floor(samples, begin, end, stretch, kind):
    """The longest gap between answers in a stretch; those within the bounds of recorded trouble are left out.

    For `down` every answer counts, for `degraded` only a prompt one.
    """
    rows = [("good", begin, OPEN_NS)]  # that probing began, opens a gap and answers nothing
    rows += [(code(sample), int(sample["sent"]), int(sample["done"])) for sample in samples]
    rows = [row for row in rows if row[0] in GOOD_FOR[kind] | TROUBLE_FOR[kind]]
    explained = set()
    for index, (what, first_bad, _) in enumerate(rows):
        if what not in TROUBLE_FOR[kind] or rows[index - 1][0] in TROUBLE_FOR[kind]:
            continue
        last_good = index - 1
        if kind == "down":
            answered = [
                place for place in range(index) if rows[place][0] in GOOD_FOR[kind] and rows[place][2] <= first_bad
            ]
            last_good = max(answered, default=0)
        explained |= set(range(last_good, index))
    floor = 0
    for index, (what, sent, _) in enumerate(rows):
        if what in TROUBLE_FOR[kind] or index in explained:
            continue
        ends = min([done for name, _, done in rows[index + 1 :] if name in GOOD_FOR[kind]], default=OPEN_NS)
        if ends == OPEN_NS and end is not None:
            ends = max(end, sent)
        reaches = sent < stretch[1] or sent == stretch[0] == stretch[1]
        if reaches and ends > stretch[0]:
            floor = max(floor, OPEN_NS if ends == OPEN_NS else ends - max(sent, stretch[0]))
    return floor


def same(one: Trace, other: Trace):
    for name in Trace.__slots__:
        left, right = getattr(one, name), getattr(other, name)
        if isinstance(left, np.ndarray):
            assert (left == right).all(), name
        else:
            assert left == right, name


STRETCHES = [(T0, T0 + 2000 * MS), (T0 + 2000 * MS, T0 + 2100 * MS), (T0 + 1500 * MS, T0 + 9000 * MS)]
STRETCHES += [(T0 + moment, T0 + moment) for moment in (0, 700 * MS, 1033 * MS)]  # steps that were over at once


@given(recordings())
def test_outages_are_what_the_plain_model_says(samples):
    """Both kinds of outages equal the definition, walked sample by sample."""
    trace = derive(samples, period_ns=PERIOD)
    for kind, found in (("down", trace.outages), ("degraded", trace.degraded)):
        wanted = plain_outages(samples, kind)
        assert list(found) == wanted
        for one, other in zip(found, wanted, strict=True):
            assert (one.failures == other.failures).all()


@given(recordings(), st.one_of(st.none(), st.just(T0 + 8000 * MS)))
def test_the_floor_is_what_the_plain_model_says(samples, end):
    """The detection floors of both kinds equal the definition, pair by pair."""
    trace = derive(samples, period_ns=PERIOD, begin_ns=T0 - 30 * MS, end_ns=end, stretches=STRETCHES)
    for tally, stretch in zip(trace.tallies, STRETCHES, strict=True):
        assert tally.floor_ns == plain_floor(samples, T0 - 30 * MS, end, stretch, "down")
        assert tally.slow_floor_ns == plain_floor(samples, T0 - 30 * MS, end, stretch, "degraded")


@given(recordings(), st.data())
def test_folding_in_pieces_equals_the_whole(samples, data):
    """However a recording is cut, the trace is the same, if what is declared settled is complete."""
    by_done = samples[np.argsort(samples["done"], kind="stable")]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(samples)), max_size=6)))
    whole = derive(samples, period_ns=PERIOD, begin_ns=T0 - 1, stretches=STRETCHES)
    fold = ProbeFold(begin_ns=T0 - 1, periods=[(T0 - 1, PERIOD)], stretches=STRETCHES)
    for low, high in zip([0, *cuts], [*cuts, len(samples)], strict=True):
        rest = by_done[high:]
        newest = int(by_done["done"][:high].max()) if high else 0
        settled = min(newest, int(rest["sent"].min()) - 1 if len(rest) else newest)
        fold.add(by_done[low:high])
        fold.settle(settled)
    same(fold.finish(), whole)


@given(st.lists(recordings(most=25), min_size=1, max_size=4), st.integers(1, 40), st.integers(1, 60))
def test_a_stream_of_many_probes_equals_each_alone(recorded, block, batch):
    """Blocks of a store, mixed and in the order of completion, give every probe the trace that it has alone."""
    for number, samples in enumerate(recorded, start=1):
        samples["probe"] = number
    stored = np.concatenate(recorded)
    stored = stored[np.argsort(stored["done"], kind="stable")]
    folds = {
        number: ProbeFold(begin_ns=T0, periods=[(T0, PERIOD)], stretches=STRETCHES)
        for number in range(1, len(recorded) + 1)
    }
    stream = StreamFold(folds, horizon_ns=1001 * MS, batch=batch)
    for low in range(0, len(stored), block):
        stream.add(stored[low : low + block])
    stream.finish()
    for number, samples in enumerate(recorded, start=1):
        same(folds[number].finish(), derive(samples, period_ns=PERIOD, begin_ns=T0, stretches=STRETCHES))


# --- simulated truth -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class World:
    """A service that is down in some spans, and the samples that an honest prober took of it."""

    down: list[tuple[int, int]]
    samples: np.ndarray
    gap_max: int
    answer_max: int


@st.composite
def worlds(draw, *, lost):
    """Any signal; any period, jitter, lateness, answer time and blind spans.

    A request is decided on the wire: it fails if the service is down when it arrives or when its answer leaves.
    `lost`: failures are silent (the packet or its answer is dropped); otherwise the failure is told. Some requests that
    meet a failure are not lost but held: sent again until they are answered, after the service has come back.
    """
    spans, moment = [], T0
    for _ in range(draw(st.integers(0, 5))):
        begin = moment + draw(st.integers(1, 900)) * MS + draw(st.integers(0, MS))
        moment = begin + draw(st.integers(1, 1500)) * MS
        spans.append((begin, moment))
    end = moment + draw(st.integers(300, 900)) * MS
    period = draw(st.sampled_from([10, 20, 50, 100, 250])) * MS
    one_way = draw(st.integers(0, 30)) * MS // 2
    blind = [
        (T0 + begin * MS, T0 + (begin + length) * MS)
        for begin, length in draw(st.lists(st.tuples(st.integers(0, 4000), st.integers(20, 600)), max_size=2))
    ]
    rows, sent = [], T0
    due = T0
    while due < end:
        sent = max(sent + 1, due + draw(st.sampled_from([0, 0, 0, MS, 3 * MS, 40 * MS])))
        for low, high in blind:
            if low <= sent < high:
                sent = high
        arrives, leaves = sent + one_way, sent + 2 * one_way
        fails = any(low <= arrives < high or low <= leaves < high for low, high in spans)
        flags = BLIND if sent - due > period else 0
        if fails and draw(st.integers(0, 6)) == 6:
            back = next(high for low, high in spans if low <= arrives < high or low <= leaves < high)
            again = (back, *[low for low, high in spans if low > back])
            until = back + draw(st.integers(1, 300)) * MS
            if len(again) > 1:
                until = min(until, again[1])  # it was answered while the service was well
            rows.append((SampleClass.OK, flags, due, sent, until + one_way))
        elif fails:
            cls = SampleClass.NO_REPLY if lost else SampleClass.HTTP_5XX_LB
            rows.append((cls, flags, due, sent, sent + 1000 * MS if lost else sent + 2 * one_way + MS))
        else:
            rows.append((SampleClass.OK, flags, due, sent, sent + 2 * one_way + 1))
        due += period
    samples = array_of(rows)
    gaps = np.diff(samples["sent"])
    return World(spans, samples, int(gaps.max()) if len(gaps) else period, 2 * one_way + MS)


def span_of(world, outage):
    """The true time from the first to the last down span that this outage may speak of."""
    low = outage.last_good_ns if outage.last_good_ns is not None else T0 - 10**12
    high = outage.first_good_ns if outage.first_good_ns is not None else OPEN_NS
    return [span for span in world.down if span[1] > low and span[0] < high]


def contains_truth(world, outage):
    touched = span_of(world, outage)
    assert touched, "an outage is reported where nothing was down"
    apart = all(
        after[0] - before[1] > 2 * (world.gap_max + world.answer_max)
        for before, after in zip(world.down, world.down[1:], strict=False)
    )
    for low, high in outage.certain_parts:
        assert touched[0][0] <= low
        assert high <= touched[-1][1]
        if apart:  # nothing can have recovered and failed again between two samples: certain is certain
            assert any(span[0] <= low and high <= span[1] for span in touched)
    true_length = touched[-1][1] - touched[0][0]
    assert outage.certain_ns <= true_length
    if outage.possible_ns is not None:
        assert outage.certain_ns <= outage.point_to_ns - outage.point_from_ns <= outage.possible_ns
        if len(touched) == 1:
            assert true_length <= outage.possible_ns
            assert outage.last_good_ns <= touched[0][0]
            assert touched[0][1] <= outage.first_good_ns


@given(worlds(lost=True))
def test_truth_lies_within_the_bounds_of_a_lost_packet_outage(world):
    """Certain <= truth <= possible, and the instants enclose onset and end, when failures are silent."""
    for outage in derive(world.samples, period_ns=PERIOD).outages:
        contains_truth(world, outage)


@given(worlds(lost=False))
def test_truth_lies_within_the_bounds_of_a_refused_outage(world):
    """Certain <= truth <= possible, and the instants enclose onset and end, when failures are told."""
    for outage in derive(world.samples, period_ns=PERIOD).outages:
        contains_truth(world, outage)


@given(worlds(lost=True))
def test_nothing_longer_than_the_floor_passes_unseen(world):
    """Every true outage is either within a reported one or no longer than the floor."""
    last = int(world.samples["done"].max())
    trace = derive(world.samples, period_ns=PERIOD, begin_ns=T0, end_ns=last, stretches=[(T0, OPEN_NS)])
    reported = [
        (
            T0 if outage.last_good_ns is None else outage.last_good_ns,
            OPEN_NS if outage.first_good_ns is None else outage.first_good_ns,
        )
        for outage in trace.outages
    ]
    for low, high in world.down:
        seen = any(low < to_ns and high > from_ns for from_ns, to_ns in reported)
        assert seen or high - low <= trace.tallies[0].floor_ns


@given(
    st.lists(st.tuples(st.integers(700, 2000), st.integers(1, 2500)), max_size=3),
    st.sampled_from([20, 100, 250]),
    st.integers(0, 20),
)
def test_truth_lies_within_the_bounds_of_slow_answers(stalls, period_ms, answer_ms):
    """While a service stalls, users wait: their true waiting lies between certain and possible."""
    spans, moment = [], T0
    for pause, length in stalls:
        spans.append((moment + pause * MS, moment + (pause + length) * MS))
        moment = spans[-1][1]
    rows = []
    for sent in range(T0, moment + 1000 * MS, period_ms * MS):
        stalled = next((high for low, high in spans if low <= sent < high), None)
        done = (sent if stalled is None else stalled) + answer_ms * MS
        rows.append((SampleClass.SLOW_OK if done - sent > SOFT else SampleClass.OK, 0, sent, sent, done))
    waits = [(low, high + answer_ms * MS) for low, high in spans if high + answer_ms * MS - low > SOFT]
    windows = derive(array_of(rows), period_ns=PERIOD).degraded
    for window in windows:
        (wait,) = [wait for wait in waits if wait[0] < window.first_good_ns and wait[1] > window.last_good_ns]
        assert window.last_good_ns <= wait[0] <= window.first_bad_ns
        assert window.last_bad_ns <= wait[1] <= window.first_good_ns
        assert window.certain_ns <= wait[1] - wait[0] <= window.possible_ns
        assert window.certain_ns <= window.point_to_ns - window.point_from_ns <= window.possible_ns
    unseen = [wait for wait in waits if wait[1] - wait[0] > SOFT + period_ms * MS]
    assert len(windows) >= len(unseen)
