"""What became of one sample: one class, and each class counts as exactly one thing.

The list follows the ways in which an HTTP, TCP or ICMP exchange can end; `counts_as` is the only place where a class
becomes up, degraded, down or nothing at all.
"""

from __future__ import annotations

from enum import IntEnum
from enum import StrEnum


class CountsAs(StrEnum):
    """What a sample proves about the service."""

    GOOD = "good"
    DEGRADED = "degraded"  # an answer, but late or throttled: proves up, is reported as slow
    DOWN = "down"
    PROBER_FAULT = "prober-fault"  # the prober's own fault: proves nothing
    UNKNOWN = "unknown"


class SampleClass(IntEnum):
    """The class of a sample; the numbers are stored in recordings and never change their meaning."""

    OK = 0
    SLOW_OK = 1
    HTTP_THROTTLED = 2  # 409, 413, 429
    HTTP_5XX_LB = 10
    HTTP_5XX_BACKEND = 11
    HTTP_401_UNEXPECTED = 12
    HTTP_403 = 13
    HTTP_404_UNEXPECTED = 14
    HTTP_UNEXPECTED = 15
    BODY_MISMATCH = 16
    REFUSED = 20
    RST_ON_CONNECT = 21
    RST_MIDSTREAM = 22
    EOF_MIDBODY = 23
    TIMEOUT_CONNECT = 24
    TIMEOUT_TLS = 25
    TIMEOUT_TTFB = 26
    UNREACHABLE = 27  # ICMP unreachable, EHOSTUNREACH: the network said no
    TLS_ALERT = 30
    TLS_CERT = 31
    NO_REPLY = 32  # ICMP echo or datagram without an answer before the deadline
    DNS_FAIL = 40
    DNS_TIMEOUT = 41
    LOCAL_FAULT = 42
    CANCELLED_BY_STOP = 50
    CLOSED_IDLE = 51  # the server closed an idle kept connection by its own rules: no failure, nothing proved
    PENDING = 52  # written only when a recording is cut off

    @property
    def counts_as(self) -> CountsAs:
        """What this class proves."""
        if self is SampleClass.OK:
            return CountsAs.GOOD
        if self in {SampleClass.SLOW_OK, SampleClass.HTTP_THROTTLED}:
            return CountsAs.DEGRADED
        if self in {SampleClass.DNS_FAIL, SampleClass.DNS_TIMEOUT, SampleClass.LOCAL_FAULT}:
            return CountsAs.PROBER_FAULT
        if self in {SampleClass.CANCELLED_BY_STOP, SampleClass.CLOSED_IDLE, SampleClass.PENDING}:
            return CountsAs.UNKNOWN
        return CountsAs.DOWN

    @property
    def proof_is_sent(self) -> bool:
        """True if the failure is proved at the moment of sending (a lost packet, an unanswered SYN).

        For all other failures the latest moment at which it can have happened is when the sample was done.
        """
        return self in {SampleClass.NO_REPLY, SampleClass.TIMEOUT_CONNECT}
