"""Claims about APIs: they answer themselves, certificates last."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING

from rehearsal.figures.expectation import Expectation
from rehearsal.lanes.answers import judge_response
from rehearsal.lanes.response import Response
from rehearsal.recording.sampleclass import SampleClass

if TYPE_CHECKING:
    from rehearsal.lanes.answers import Answer

CERTIFICATE_DAYS = 14
"""A certificate must outlive the upgrade and a rollback with a fortnight of room; kolla itself never warns."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What one request brought. `error` non-empty: there was no HTTP answer."""

    url: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)  # names in small letters
    body: bytes = b""
    error: str = ""


def answered_by_itself(asked: Asked, service: str, good: Answer) -> Expectation:
    """The answer has a status that this service gives, and a mark that only this service makes."""
    allowed = " or ".join(str(status) for status in sorted(good.statuses))
    expected = f"GET {asked.url}: status {allowed} with {service}'s own mark"
    if asked.error:
        return Expectation(expected, f"no answer: {asked.error}", holds=False, service=service)
    response = Response()
    response.status, response.headers, response.body, response.complete = asked.status, asked.headers, asked.body, True
    judged = judge_response(good, response)
    holds = judged.sample_class is SampleClass.OK
    return Expectation(expected, judged.message or f"status {asked.status} with the mark", holds=holds, service=service)


@dataclass(frozen=True, slots=True)
class CertificateView:
    """The certificate that an endpoint shows. Times in seconds since 1970."""

    endpoint: str
    not_after_s: float
    error: str = ""


def valid_long_enough(seen: CertificateView, now_s: float) -> Expectation:
    """The certificate is trusted and remains valid for a fortnight."""
    expected = f"{seen.endpoint}: trusted, valid for at least {CERTIFICATE_DAYS} days"
    if seen.error:
        return Expectation(expected, seen.error, holds=False, service="loadbalancer")
    days = (seen.not_after_s - now_s) / 86400
    return Expectation(expected, f"valid for {days:.0f} days", holds=days >= CERTIFICATE_DAYS, service="loadbalancer")
