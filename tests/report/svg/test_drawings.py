"""Drawings stay readable whatever they are given."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from rehearsal.figures.length import Budget
from rehearsal.recording.stretch import BETWEEN
from rehearsal.recording.stretch import migration
from rehearsal.report.clock import Clock
from rehearsal.report.page import render
from rehearsal.report.printed import allowed
from rehearsal.report.printed import bounded
from rehearsal.report.printed import exactly
from rehearsal.report.svg import axis
from rehearsal.report.svg import closeup
from rehearsal.report.svg import elements
from rehearsal.report.svg import flags
from rehearsal.report.svg import strips
from rehearsal.report.svg import timeline
from rehearsal.report.svg.elements import Scale
from rehearsal.report.texts import fitted
from rehearsal.report.texts import plain
from rehearsal.report.texts import width
from tests.made import results as made

S = made.S


@given(st.lists(st.tuples(st.floats(190, 1080), st.text(max_size=30), st.sampled_from(["ok", "fail"])), max_size=25))
def test_no_label_touches_another_label_or_a_pole(wanted):
    found = flags.placed([flags.Wanted(*one) for one in sorted(wanted)], 100, 1170, 10.5)
    shown = [flag for flag in found if flag.row is not None]
    assert len(found) == len(wanted)
    for place, one in enumerate(shown):
        assert one.left >= 100
        assert one.right <= 1170
        for other in shown[place + 1 :]:
            if one.row == other.row:
                assert one.right < other.left or other.right < one.left
            else:
                upper, lower = (one, other) if one.row > other.row else (other, one)
                assert not lower.left < upper.pole < lower.right


@given(
    st.lists(
        st.tuples(st.integers(0, 10**13), st.integers(0, 10**10), st.sampled_from(["good", "slow", "bad", "blind"])),
        max_size=60,
    )
)
def test_every_outage_inside_the_picture_is_drawn_and_can_be_seen(spans):
    scale = Scale(0, 10**13, 190, 1084)
    runs = [(begin, begin + size, state) for begin, size, state in sorted(spans)]
    found = strips.pieces(runs, scale)
    for begin, end, state in runs:
        if state == "blind" and scale.x(end) - scale.x(begin) < strips.BLIND_LEAST:
            continue
        x = (scale.x(begin) + scale.x(end)) / 2
        assert any(left - 0.01 <= x <= right + 0.01 for left, right in found[state])
    assert all(right - left >= 1.79 for left, right in found["bad"])


def test_blindness_too_narrow_to_be_drawn_is_not_drawn_wider_than_it_is():
    runs = [(k * S, k * S + S // 2, "blind") for k in range(900)]
    found = strips.pieces(runs, Scale(0, 10**13, 190, 1084))
    assert found["blind"] == []
    assert found["good"]


def test_what_was_not_good_is_drawn_over_one_line_not_beside_many():
    runs = [(0, 4 * S, "good"), (4 * S, 5 * S, "bad"), (5 * S, 10 * S, "good")]
    found = strips.pieces(runs, Scale(0, 10 * S, 0, 100))
    assert found["good"] == [(0, 100)]
    assert found["bad"] == [(40, 50)]


@given(st.lists(st.tuples(st.floats(0, 900), st.floats(0, 40)), max_size=40))
def test_relative_pieces_of_a_path_end_where_they_should(spans):
    spans = sorted((begin, begin + size) for begin, size in spans)
    drawn = str(elements.dashes(spans, 5, "st bad"))
    at, ends = 0.0, []
    for letter, number in re.findall(r"([MmhH])(-?[\d.]+)", drawn):
        at = float(number) if letter == "M" else at + float(number)
        if letter == "h":
            ends.append(at)
    assert len(ends) == len(spans)
    assert all(abs(end - wanted) < 0.06 for end, (_, wanted) in zip(ends, spans, strict=True))


def test_a_strip_of_many_runs_stays_small():
    runs = [(k * S, k * S + S // 2, "good" if k % 2 else "bad") for k in range(60_000)]
    found = strips.pieces(runs, Scale(0, 60_000 * S, 190, 1084))
    assert sum(len(row) for row in found.values()) < 6000


@given(st.text(max_size=60), st.floats(0, 300))
def test_a_fitted_label_is_never_wider_than_its_room(text, room):
    assert width(fitted(text, room, 10.5), 10.5) <= room or not fitted(text, room, 10.5)


@given(st.integers(0, 10**15), st.integers(1, 10**14), st.integers(3, 12))
def test_ticks_are_round_inside_and_few(from_ns, span_ns, most):
    found = axis.ticks(from_ns, from_ns + span_ns, 0, most)
    assert all(from_ns <= tick <= from_ns + span_ns for tick in found)
    assert len(found) <= most + 1
    assert len({tick % axis.step_ns(span_ns, most) for tick in found}) <= 1


def test_uncertain_edges_are_hatched_and_the_certain_part_is_solid():
    window = replace(
        made.full().windows[0], kind="down", last_good_ns=S, first_bad_ns=2 * S, last_bad_ns=4 * S, first_good_ns=5 * S
    )
    assert str(strips.edges(window, 10, 8, Scale(0, 10 * S, 0, 100))) == (
        '<rect x="10" y="6" width="10" height="8" class="edge bad"></rect>'
        '<rect x="40" y="6" width="10" height="8" class="edge bad"></rect>'
        '<rect x="20" y="6" width="20" height="8" class="sure bad"></rect>'
    )


def test_an_end_that_was_never_seen_reaches_to_the_edge_of_the_picture():
    window = replace(
        made.full().windows[0],
        kind="down",
        last_good_ns=None,
        first_bad_ns=2 * S,
        last_bad_ns=4 * S,
        first_good_ns=None,
    )
    drawn = str(strips.edges(window, 10, 8, Scale(0, 10 * S, 0, 100)))
    assert '<rect x="0" y="6" width="20" height="8" class="edge bad">' in drawn
    assert '<rect x="40" y="6" width="60" height="8" class="edge bad">' in drawn


def test_the_closeup_shows_what_users_lost_not_what_a_rare_witness_cannot_exclude():
    """A write once in 20 s that failed once may be out for 40 s; the lane that users have saw 7 s, as the matrix says."""
    one = replace(made.full().windows[0], kind="down", stretch=made.stretch_of("glance"), service="glance", canary="")
    windows = [
        replace(one, lane="write", length=made.length(0, 20, 40)),
        replace(one, lane="vip-new", length=made.length(6.1, 7, 7.5)),
        replace(one, lane="deep", length=made.length(4, 8, 12)),
        replace(one, lane="backend-new", length=made.length(9, 9.5, 10)),
    ]
    for order in (windows, windows[::-1]):
        results = replace(made.full(), windows=order, matrix=[])
        (drawn,) = closeup.draw(results, Clock(tuple(results.clock_pairs), results.began_ns))
        assert drawn.window.lane == "vip-new"
    results = replace(made.full(), windows=windows[:1], matrix=[])
    (drawn,) = closeup.draw(results, Clock(tuple(results.clock_pairs), results.began_ns))
    assert drawn.window.lane == "write"  # nothing else saw anything


def test_the_closeup_says_what_the_matrix_says():
    """Asked every 5 s, 10 s may have been lost; asked often, 6 s were, and the service is judged by both together."""
    full = made.full()
    one = replace(full.windows[0], kind="down", stretch=made.stretch_of("glance"), service="glance", canary="")
    rare, often = (
        replace(one, lane="deep-fresh", length=made.length(4.99, 10, 15.03)),
        replace(one, lane="vip-new", length=made.length(4.95, 5.9, 6.2)),
    )
    cell = replace(made.loss("glance", "glance"), count=1, longest=made.length(5.1, 6.1, 6.7))
    results = replace(full, windows=[rare, often], matrix=[cell])
    clock = Clock(tuple(results.clock_pairs), results.began_ns)
    (drawn,) = closeup.draw(results, clock)
    assert drawn.window.lane == "vip-new"
    assert drawn.length == bounded(cell.longest, cell.budget.longest_ns if cell.budget else None)
    guests = [replace(each, canary="canary-0") for each in results.windows]
    (drawn,) = closeup.draw(replace(results, windows=guests), clock)
    assert drawn.length == bounded(often.length, cell.budget.longest_ns if cell.budget else None)


def test_the_closeup_of_a_window_in_a_live_migration_shows_what_judged_it(tmp_path):
    """A gap in a migration has a budget of its own: neither the cell of canaries outside of steps nor another guest's migration."""
    full = made.full()
    move = replace(full.migrations[0], budget=Budget(5 * S, None, None, "contract"))
    other = replace(move, id="other", canary="somebody else")
    one = replace(
        full.windows[0], kind="down", service="canaries", canary=move.canary, lane="icmp",
        first_bad_ns=move.began_ns + S, last_bad_ns=move.began_ns + 2 * S, length=made.length(0.9, 1, 1.1),
    )  # fmt: skip
    windows = [replace(one, stretch=migration(move.id)), replace(one, stretch=BETWEEN)]
    results = replace(full, windows=windows, migrations=[move, other])
    clock = Clock(tuple(results.clock_pairs), results.began_ns)
    drawn = {drawing.window.stretch: drawing for drawing in closeup.draw(results, clock)}
    assert drawn[migration(move.id)].judged is move
    assert f"budget {exactly(5 * S)}<" in drawn[migration(move.id)].drawing
    assert drawn[BETWEEN].judged is not move
    assert f"live migration <bdi>{move.id}</bdi>, {allowed(move.budget)} <i>contract</i>" in render(results, tmp_path)


def test_drawings_are_well_formed_with_hostile_names():
    results = made.full()
    evil = '"><script>&\x00\ud800\u202e'
    results = replace(
        results,
        strips=[replace(row, name=evil, service=evil) for row in results.strips],
        windows=[replace(one, service=evil, probe_name=evil) for one in results.windows],
        steps=[replace(step, id=evil) for step in results.steps],
        migrations=[replace(one, canary=evil) for one in results.migrations],
        phases=[(evil, began, ended) for began, ended in [(phase[1], phase[2]) for phase in results.phases]],
    )
    clock = Clock(tuple(results.clock_pairs), results.began_ns)
    drawn = timeline.draw(results, clock).drawings + [one.drawing for one in closeup.draw(results, clock)]
    assert len(drawn) > 3
    for drawing in drawn:
        assert {element.tag for element in ET.fromstring(str(drawing)).iter()} <= {
            "svg",
            "path",
            "rect",
            "text",
            "title",
        }


def test_strips_stand_in_the_order_of_the_plan_and_canaries_last():
    groups = timeline.grouped(made.full().strips, made.SERVICES)
    assert list(groups) == ["keystone", "glance", "placement", "neutron", "nova", "canary-0", "canary-1", "canary-2"]


def test_strips_that_are_left_out_are_counted_and_never_the_failed_ones():
    one = made.full().strips[0]
    many = [replace(one, probe=n, name=f"p{n}", failed=1 if n == 399 else 0) for n in range(400)]
    drawn = timeline.draw(replace(made.empty(), strips=many, ended_ns=made.T0 + S), Clock((), made.T0))
    assert drawn.left_out == 240
    assert "p399" in "".join(drawn.drawings)


def test_deceiving_characters_are_spelled_out():
    assert plain("a\u202eb\x00c\ud800") == "a<U+202E>b<U+0000>c<U+D800>"
    assert plain("שלום\nnova") == "שלום\nnova"


@given(st.lists(st.tuples(st.integers(1, 90 * S), st.integers(-2 * S, 2 * S)), max_size=12), st.integers(0, 900))
def test_ticks_of_the_timeline_are_round_by_a_clock_that_drifts_or_jumps(steps, length_s):
    """Whatever the wall clock did: each tick is at a whole minute of it, or at whole seconds, and says so."""
    pairs = [(made.T0, made.WALL0)]
    for after_ns, off_ns in steps:
        pairs.append((pairs[-1][0] + after_ns, pairs[-1][1] + after_ns + off_ns))
    clock = Clock(tuple(pairs), made.T0)
    results = made.empty(began_ns=made.T0, ended_ns=made.T0 + length_s * S + 1)
    marks = timeline._marks(results, clock)
    step = axis.step_ns(length_s * S + 1, 10)
    assert all(clock.wall_ns(t_ns) % step == 0 for t_ns in marks)
    assert marks == sorted(marks)


def test_a_clock_that_loses_a_nanosecond_does_not_lose_a_minute():
    """A tick just before the full minute, told without its seconds, would be told as the minute before."""
    pairs = tuple((made.T0 + n * 30 * S, made.WALL0 + n * 30 * S - n) for n in range(20))
    results = made.empty(began_ns=made.T0, ended_ns=made.T0 + 530 * S, clock_pairs=list(pairs))
    shown = re.findall(r'class="tick"[^>]*>([^<]+)<', str(timeline.draw(results, Clock(pairs, made.T0)).drawings[-1]))
    assert shown == [f"06:{minute}" for minute in range(25, 34)]


def test_a_clock_shows_wall_time_by_the_last_pair_before():
    clock = Clock(((made.T0, made.WALL0), (made.T0 + 100 * S, made.WALL0 + 160 * S)), made.T0)
    assert clock.at(made.T0) == "06:24:48"
    assert clock.at(made.T0 + 99_123_999_999, 3) == "06:26:27.123"
    assert clock.at(made.T0 + 100 * S) == "06:27:28"
    assert clock.day(made.T0) == "2026-11-24"
    assert Clock((), made.T0).at(made.T0 + 1_500_000_000) == "t+1.5 s"
