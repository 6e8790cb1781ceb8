"""Marks of what happened on the hosts: in the group of the service, or with what all services share."""

from __future__ import annotations

from rehearsal.judging.hosts.hostclocks import Happening
from rehearsal.judging.hosts.unwatched import Unwatched
from rehearsal.report.svg import marks
from rehearsal.report.svg.elements import Scale

S = 1_000_000_000
SCALE = Scale(0, 100 * S, 0, 1000)


def happening(kind, subject, what, from_s, to_s, service=""):  # noqa: PLR0917
    return Happening(kind, "one", subject, what, from_s * S, None if to_s is None else to_s * S, service=service)


RESTART = happening("container", "nova_api", "restarted", 10, 13, "nova")
DOWN = happening("proxy", "nova_api_back/one", "DOWN", 20, None, "nova")
DATABASE = happening("container", "mariadb", "restarted", 30, 31)
OTHER = happening("container", "grafana", "restarted", 30, 31)
MOVE = happening("vip", "192.0.2.9", "moved from two", 40, 41)


def test_each_row_is_of_one_kind_and_only_where_something_happened():
    """Containers and HAProxy of a service in its own group; the database and addresses with what is shared; others nowhere."""
    everything = [RESTART, DOWN, DATABASE, OTHER, MOVE]
    assert marks.of_group("nova", everything) == [("containers", [RESTART]), ("HAProxy", [DOWN])]
    assert marks.of_group("glance", everything) == []
    assert marks.shared(everything) == [("192.0.2.9", [MOVE]), ("mariadb", [DATABASE])]


def test_marks_are_as_long_as_what_happened_and_none_is_too_small_to_see():
    """What did not end reaches to the end of the scale; tips say what it was, escaped."""
    drawn = str(marks.marks([RESTART, DOWN], 10, SCALE))
    assert (
        '<rect x="100" y="6" width="30" height="8" class="mark"><title>nova_api on one: restarted, 3.0\u00a0s</title>'
        in drawn
    )
    assert (
        '<rect x="200" y="6" width="800" height="8" class="mark down"><title>nova_api_back/one on one: DOWN, end not seen'
        in drawn
    )
    short = str(marks.marks([happening("container", "<b>", "started", 50, 50)], 10, SCALE))
    assert 'width="2"' in short
    assert "<b>" not in short


def test_what_was_not_watched_is_drawn_and_says_why():
    """A gap is a gap, not a quiet time."""
    drawn = str(marks.unwatched([Unwatched("one", "docker", 10 * S, 20 * S, "it was stopped")], 10, SCALE))
    assert 'x="100" y="6" width="100"' in drawn
    assert "one, docker: not watched for 10\u00a0s: it was stopped" in drawn
