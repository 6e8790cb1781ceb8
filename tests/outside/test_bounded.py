"""Whatever comes from outside is read within bounds, and what was taken can be written, read and calculated with."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from rehearsal import beacon
from rehearsal.canaries import domainjob
from rehearsal.hosts import view
from rehearsal.lanes.answers import DEEP
from rehearsal.lanes.answers import ISSUE
from rehearsal.lanes.answers import SHALLOW
from rehearsal.lanes.answers import judge_response
from rehearsal.lanes.response import Response
from rehearsal.lanes.response import ResponseError
from rehearsal.outside import bounded
from rehearsal.recording.sampleclass import SampleClass
from rehearsal.witness import lines

LIMITS = bounded.Limits(total_bytes=100_000, depth=8, values=1000, text=4096)
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.sampled_from([10**400, -(10**400), float("nan"), float("inf"), -float("inf"), 1e300, -1, True]),
    st.text(max_size=20), st.sampled_from(["\ud800", "\udfff\ud800", "x" * 100_000, "\x00", ""]),
)  # fmt: skip
ANYTHING = st.recursive(
    ODD,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def said(value):
    return json.dumps(value).encode()


@given(
    st.one_of(
        st.binary(max_size=300),
        ANYTHING.map(said),
        st.integers(1, 60_000).map(lambda n: b"[" * n),
        st.integers(400, 6000).map(lambda n: b"1" * n),
    )
)
@settings(deadline=None)
def test_what_is_taken_can_be_written_and_what_is_not_is_one_sentence(data):
    try:
        value = bounded.read_json(data, LIMITS)
    except bounded.Unusable as error:
        told = str(error)
    else:
        told = ""
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    assert len(told.splitlines()) <= 1
    assert len(told) < 300


FACTS = {"beacon": 1, "boot_id": "b" * 8, "uptime_s": 10.0, "peers": [], "asks": {}}


@given(
    st.dictionaries(
        st.sampled_from([*FACTS, "heart", "gap_list", "gap_limit_ms", "asks", "message", "pause_longest_ms", "pauses"]),
        ANYTHING,
        max_size=5,
    )
)
@settings(deadline=None)
def test_a_guest_may_answer_anything(changed):
    """It is silent, or two of its reports can be compared and written down."""
    try:
        facts = beacon.parse(said({**FACTS, **changed}))
    except beacon.BeaconSilentError:
        return
    before, after = beacon.Heard(beacon.parse(said(FACTS)), 1, 2), beacon.Heard(facts, 3, 4)
    for pair in ((before, after), (after, before), (after, after)):
        json.dumps(beacon.between(*pair), allow_nan=False)
        repr(beacon.asks_between(*pair))


@pytest.mark.parametrize("uptime", [10**400, float("nan"), float("inf"), True, -1, "1", None])
def test_a_guest_whose_clock_is_no_number_is_silent(uptime):
    with pytest.raises(beacon.BeaconSilentError):
        beacon.parse(said({**FACTS, "uptime_s": uptime}))


@given(
    st.one_of(st.binary(max_size=200), ANYTHING.map(said), st.just(b"[" * 100_000)),
    st.integers(0, 255),
    st.binary(max_size=50),
)
@settings(deadline=None)
def test_a_host_may_answer_anything(output, status, errors):
    """It becomes that host's own error."""
    answer = view.read_answer(status, output, errors)
    json.dumps(answer, allow_nan=False, ensure_ascii=False).encode()
    view.parse_view("host", answer)


@given(
    st.dictionaries(
        st.sampled_from(["containers", "images", "disks", "haproxy", "libvirt", "fact_cache", "errors", "error"]),
        ANYTHING,
        max_size=4,
    )
)
@settings(deadline=None)
def test_a_part_of_another_shape_is_an_error_of_that_host(changed):
    answer = view.read_answer(0, said({"containers": [], "images": [], **changed}), b"")
    view.parse_view("host", answer)


@given(
    st.sampled_from(sorted(lines._READERS)),
    st.dictionaries(
        st.sampled_from(
            ["n", "pid", "boot_id", "wall_ns", "rows", "name", "names", "part", "state", "why", "first", "up", "held"]
        ),
        ANYTHING,
    ),
)
@settings(deadline=None)
def test_a_witness_may_say_anything(kind, rest):
    lines.read_line("host", said({**rest, "k": kind}))


@given(st.text(max_size=200) | st.integers(1, 5000).map(lambda n: f"Total downtime: {'9' * n} ms\n"))
def test_libvirt_may_say_anything(text):
    for value in domainjob.parse(text).values():
        assert isinstance(value, str) or bounded.is_number(value)


def test_bytes_that_are_no_text_and_too_many_of_them():
    """One host's complaint in another character set, and one that never ends."""
    odd = bounded.run(
        [sys.executable, "-c", "import os; os.write(2, b'\\xff\\xfe'); os.write(1, b'\\xe4')"], timeout_s=20
    )
    assert (odd.stdout, odd.stderr) == ("\ufffd", "\ufffd\ufffd")
    endless = bounded.run(["yes"], timeout_s=20, most_bytes=100_000)
    assert endless.returncode != 0
    assert "said more than 100000 bytes" in endless.stderr
    with pytest.raises(subprocess.TimeoutExpired):
        bounded.run(["sleep", "20"], timeout_s=0.2)


# --- answers over HTTP -----------------------------------------------------------------------------------------------------

ANSWERS = [*SHALLOW.values(), *DEEP.values(), ISSUE]
HOSTILE = {
    "interim": b"HTTP/1.1 100 Continue\r\n\r\n" * 4000,
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "deep": b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"[" * 200_000,
    "headers": b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 5000 + b"\r\n",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n",
    "switch": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "empty": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "digits": b"HTTP/1.1 200 OK\r\nContent-Length: 6000\r\n\r\n" + b"1" * 6000,
}


def taken(data, size):
    response = Response()
    for at in range(0, len(data), size):
        response.feed(data[at : at + size])
        if response.complete:
            break
    return response


@pytest.mark.parametrize("name", sorted(HOSTILE))
@given(size=st.integers(100, 70_000))
@settings(deadline=None, max_examples=10)
def test_no_hostile_answer_is_good_on_any_lane(name, size):
    """Refused, never complete, or bad: from the first sample on, and never an error of the prober's own."""
    try:
        response = taken(HOSTILE[name], size)
    except ResponseError:
        return
    if response.complete:
        for answer in ANSWERS:
            assert judge_response(answer, response).sample_class is not SampleClass.OK


@given(
    st.lists(
        st.sampled_from(
            [
                b"HTTP/1.1 ",
                b"HTTP/1.0 ",
                b"200",
                b"100",
                b"204",
                b" OK",
                b"\r\n",
                b"\r\n\r\n",
                b"Content-Length: ",
                b"Transfer-Encoding: chunked",
                b"9" * 30,
                b"0",
                b"-1",
                b"\xff",
                b"{}",
                b"[",
            ]
        )
        | st.binary(max_size=6),
        max_size=30,
    ).map(b"".join),
    st.integers(1, 40),
)
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_an_answer_or_an_answer_error(data, size):
    try:
        response = taken(data, size)
    except ResponseError:
        return
    if response.complete:
        for answer in ANSWERS:
            judge_response(answer, response)
