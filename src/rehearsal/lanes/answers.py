"""What a good answer is, and who made a bad one; pure.

A good answer has a declared status and a mark that only the service makes; a request id is no such mark, because most
root documents lack it. The table is data, declared, never learned from what a cloud happens to answer; it holds from the
first sample on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.lanes.response import MOST_BYTES
from rehearsal.outside import bounded
from rehearsal.recording.sampleclass import SampleClass

if TYPE_CHECKING:
    from rehearsal.lanes.response import Response


@dataclass(frozen=True, slots=True)
class Answer:
    """One request and what a good answer to it looks like.

    `mark` is a path into the JSON body, `*` standing for any element of a list; its end must be a text (one that begins with
    `prefix`), a list or an object. Without a mark (an answer that has no body) the request id of the service is the mark.
    """

    path: str
    statuses: frozenset[int]
    mark: tuple[str, ...]
    prefix: str = ""
    token: bool = False  # an authenticated read
    method: str = "GET"
    validates_token: bool = False  # keystone: send the token as its own subject
    issues_token: bool = False  # keystone: the answer carries a new token


_OK = frozenset({200})
_CHOICES = frozenset({300})

SHALLOW: dict[str, Answer] = {
    "keystone": Answer("/v3", _OK, ("version", "id"), "v3."),
    "nova": Answer("/v2.1/", _OK, ("version", "id"), "v2.1"),
    "neutron": Answer("/", _OK, ("versions", "*", "id"), "v2.0"),
    "glance": Answer("/versions", _OK | _CHOICES, ("versions", "*", "id"), "v2"),
    "cinder": Answer("/", _CHOICES, ("versions", "*", "id"), "v3.0"),
    "placement": Answer("/", _OK, ("versions", "*", "max_version")),
    "heat": Answer("/", _CHOICES, ("versions", "*", "id")),
    "octavia": Answer("/", _OK, ("versions", "*", "id"), "v2"),
    "designate": Answer("/", _OK, ("versions", "values")),
    "barbican": Answer("/", _OK | _CHOICES, ("versions",)),
    "prober": Answer("/", _OK, ("responder",)),  # the local responder of the prober itself
}
"""A read that needs no token, per service, from the root of its port."""

DEEP: dict[str, Answer] = {
    "keystone": Answer("/v3/auth/tokens", _OK, ("token", "expires_at"), token=True, validates_token=True),
    "nova": Answer("/v2.1/servers?limit=1", _OK, ("servers",), token=True),
    # A list of networks costs neutron a dozen queries and ten times the processor time: asked on a fixed schedule, that is
    # what makes a busy neutron-server fall over. This read goes through the same filters to the same database.
    "neutron": Answer("/v2.0/subnetpools?limit=1", _OK, ("subnetpools",), token=True),
    "glance": Answer("/v2/images?limit=1", _OK, ("images",), token=True),
    "cinder": Answer("/v3/{project_id}/volumes?limit=1", _OK, ("volumes",), token=True),
    "placement": Answer("/resource_providers?name=rehearse", _OK, ("resource_providers",), token=True),
    "heat": Answer("/v1/{project_id}/stacks?limit=1", _OK, ("stacks",), token=True),
    "octavia": Answer("/v2/lbaas/loadbalancers?limit=1", _OK, ("loadbalancers",), token=True),
    "designate": Answer("/v2/zones?limit=1", _OK, ("zones",), token=True),
    "barbican": Answer("/v1/secrets?limit=1", _OK, ("secrets",), token=True),
}
"""An authenticated read through the service's database, per service, from the root of its port."""

ISSUE = Answer("/v3/auth/tokens", frozenset({201}), ("token", "expires_at"), method="POST", issues_token=True)
"""keystone issues a token."""
ISSUER = "keystone"

BODY_LIMITS = bounded.Limits(total_bytes=MOST_BYTES, depth=64, text=MOST_BYTES, any_number=True)
"""What the body of an answer may be: nothing in it is calculated with."""

_REQUEST_ID = re.compile(r"req-[0-9A-Za-z-]{1,100}")

LB, WEB_SERVER, TOKEN_FILTER, SERVICE, UNKNOWN = "lb", "web-server", "token-filter", "service", "unknown"

_TOKEN_FILTER_TEXT = b"The Keystone service is temporarily unavailable."
_LB_PAGES = (  # HAProxy's built-in pages: status, a sentence of the body
    (400, b"Your browser sent an invalid request."),
    (403, b"Request forbidden by administrative rules."),
    (408, b"Your browser didn't send a complete request in time."),
    (429, b"You have sent too many requests in a given amount of time."),
    (500, b"An internal server error occurred."),
    (502, b"The server returned an invalid or incomplete response."),
    (503, b"No server is available to handle this request."),
    (504, b"The server didn't respond in time."),
)


@dataclass(frozen=True, slots=True)
class Judged:
    """The class of one complete answer, who made it, and a sentence about it if it is not good."""

    sample_class: SampleClass
    maker: str
    message: str = ""


def maker_of(response: Response) -> str:
    """Return who made an answer: lb, web-server, token-filter, service or unknown.

    The order matters: the token filter answers with or without a request id; the load balancer's page is known by
    headers and body together; whoever sends a `server` header or HTML without a request id is the web server in front
    of the service.
    """
    headers = response.headers
    if _TOKEN_FILTER_TEXT in response.body:
        return TOKEN_FILTER
    if request_id_of(response):
        return SERVICE
    html = headers.get("content-type", "").lower().startswith("text/html")
    if (
        html
        and headers.get("cache-control", "").lower() == "no-cache"
        and "server" not in headers
        and any(response.status == status and text in response.body for status, text in _LB_PAGES)
    ):
        return LB
    if "server" in headers or html:
        return WEB_SERVER
    return UNKNOWN


def request_id_of(response: Response) -> str:
    """Return the service's own id of the request, or an empty string: anything else in that header is none."""
    told = response.headers.get("x-openstack-request-id", "")
    return told if _REQUEST_ID.fullmatch(told) else ""


def json_of(response: Response) -> Any:
    """Return the JSON body of an answer; None if it is none, or one that no service makes."""
    try:
        return bounded.read_json(response.body, BODY_LIMITS)
    except bounded.Unusable:
        return None


def judge_response(answer: Answer, response: Response) -> Judged:
    """Return what a complete answer proves; lateness is not judged here."""
    status = response.status
    if status in answer.statuses:
        if _is_marked(answer, response):
            return Judged(SampleClass.OK, SERVICE)
        return Judged(
            SampleClass.BODY_MISMATCH,
            maker_of(response),
            f"status {status}, but not the service's own answer: {_excerpt(response.body)}",
        )
    maker = maker_of(response)
    if status >= 500:
        sample_class = SampleClass.HTTP_5XX_LB if maker == LB else SampleClass.HTTP_5XX_BACKEND
    elif status == 401:
        if not answer.token and response.headers.get("www-authenticate", "").startswith("Keystone "):
            return Judged(SampleClass.OK, SERVICE)
        sample_class = SampleClass.HTTP_401_UNEXPECTED
    elif status == 403:
        sample_class = SampleClass.HTTP_403
    elif status == 404:
        sample_class = SampleClass.HTTP_404_UNEXPECTED
    elif status in {409, 413, 429}:
        sample_class = SampleClass.HTTP_THROTTLED
    else:
        sample_class = SampleClass.HTTP_UNEXPECTED
    return Judged(sample_class, maker, f"status {status} by {maker}: {_excerpt(response.body)}")


def _is_marked(answer: Answer, response: Response) -> bool:
    if answer.issues_token and not response.headers.get("x-subject-token"):
        return False
    if not answer.mark:
        return bool(request_id_of(response))
    return _has(json_of(response), answer.mark, answer.prefix)


def _has(value: Any, mark: tuple[str, ...], prefix: str) -> bool:
    if not mark:
        if isinstance(value, str):
            return value != "" and value.startswith(prefix)
        return not prefix and isinstance(value, list | dict)
    key, rest = mark[0], mark[1:]
    if key == "*":
        return isinstance(value, list) and any(_has(item, rest, prefix) for item in value)
    return isinstance(value, dict) and key in value and _has(value[key], rest, prefix)


def _excerpt(body: bytes) -> str:
    text = " ".join(bounded.text_of(body[:300]).split())
    return text or "no body"
