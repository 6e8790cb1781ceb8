from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.lanes.response import Response
from rehearsal.lanes.response import ResponseError

BODIES = st.binary(max_size=300)


def pieces(data, cuts):
    """Cut bytes at these places, as a network would."""
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(places)]


def heard(data, cuts=()):
    response = Response()
    for piece in pieces(data, cuts):
        if not response.complete:
            response.feed(piece)
    return response


def chunked(body, sizes):
    parts, at = [], 0
    for size in sizes:
        part = body[at : at + size]
        if part:
            parts.append(f"{len(part):x};note=1\r\n".encode() + part + b"\r\n")
        at += size
    rest = body[at:]
    if rest:
        parts.append(f"{len(rest):X}\r\n".encode() + rest + b"\r\n")
    return b"".join(parts) + b"0\r\n\r\n"


@given(body=BODIES, cuts=st.lists(st.integers(0, 2000), max_size=8))
def test_an_answer_is_read_however_it_is_cut(body, cuts):
    """Status, headers and body are the same, wherever the network cut the bytes."""
    data = f"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    response = heard(data, cuts)
    assert response.complete
    assert (response.status, response.body, response.headers["server"]) == (200, body, "x")
    assert response.keeps_alive


@given(body=BODIES, sizes=st.lists(st.integers(1, 50), max_size=6), cuts=st.lists(st.integers(0, 2000), max_size=8))
def test_chunks_are_joined(body, sizes, cuts):
    """A chunked body is the joined chunks."""
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(body, sizes)
    response = heard(data, cuts)
    assert response.complete
    assert response.body == body


@given(body=BODIES, sizes=st.lists(st.integers(1, 50), max_size=6), missing=st.integers(1, 400))
def test_a_part_is_never_a_whole(body, sizes, missing):
    """However many bytes are missing at the end, the answer is not complete, and its end is an error."""
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(body, sizes)
    response = heard(data[: -min(missing, len(data))])
    assert not response.complete
    with pytest.raises(ResponseError):
        response.end()


@given(junk=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200), max_size=4))
def test_junk_is_refused_or_incomplete_and_nothing_else(junk, cuts):
    """Any bytes at all lead to an answer, to an error, or to waiting for more: never to a crash."""
    response = Response()
    try:
        for piece in pieces(junk, cuts):
            response.feed(piece)
    except ResponseError:
        return
    assert response.complete or response.status == 0 or response.status >= 200


def test_a_body_without_a_length_ends_with_the_connection():
    """HTTP/1.0 style: the end of the connection is the end of the body, and the connection is not kept."""
    response = heard(b"HTTP/1.0 200 OK\r\n\r\n{}")
    assert not response.complete
    response.end()
    assert (response.complete, response.body, response.keeps_alive) == (True, b"{}", False)


def test_interim_answers_are_passed_over():
    """A 100 is no answer."""
    response = heard(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
    assert (response.complete, response.status, response.keeps_alive) == (True, 204, False)


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20_000,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (2 << 20),
    ],
)
def test_what_is_not_http_or_not_what_it_announced_is_an_error(data):
    """Malformed and oversized answers are refused."""
    with pytest.raises(ResponseError):
        heard(data)
