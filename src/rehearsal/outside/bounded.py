"""What comes from outside is read here: bounded in size, depth, number and time, or refused with one sentence.

Servers, hosts and guests may send anything. Invariant: what these functions return can be written as JSON, encoded as
UTF-8 and calculated with; everything else raises `Unusable`, which its reader turns into that sample's, host's or guest's
own failure.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import selectors
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any
from typing import TypeGuard

if TYPE_CHECKING:
    from collections.abc import Sequence

LARGEST_NUMBER = (1 << 63) - 1
"""Nanoseconds since 1970 and bytes of the largest disks fit; what is larger is no measurement."""
_MOST_DIGITS = 400
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_READ_BYTES = 1 << 16


class Unusable(ValueError):  # noqa: N818 - the sender's mistake, not ours
    """What came from outside cannot be used; one sentence says why."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a reader takes: bytes in total, levels of nesting, values, and characters of one text.

    `any_number`: numbers beyond LARGEST_NUMBER are taken as well, for a reader that does not calculate with them.
    """

    total_bytes: int
    depth: int = 32
    values: int = 1_000_000
    text: int = 65_536
    any_number: bool = False


def read_json(data: bytes | str, limits: Limits) -> Any:
    """Return the value of a JSON text in UTF-8. Raises Unusable.

    NaN and infinities are refused; a lone surrogate, which no file could take, becomes a question mark.
    """
    raw = data.encode("utf-8", "replace") if isinstance(data, str) else data
    if len(raw) > limits.total_bytes:
        raise Unusable(f"it is larger than {limits.total_bytes} bytes")
    try:
        text = raw.decode("utf-8")
        value = json.loads(
            text,
            parse_int=_any_whole if limits.any_number else _whole,
            parse_float=_any_fraction if limits.any_number else _fraction,
            parse_constant=_no_number,
        )
    except Unusable:
        raise
    except RecursionError:
        raise Unusable("it is nested too deeply") from None
    except UnicodeDecodeError:
        raise Unusable("it is not UTF-8") from None
    except ValueError as error:
        raise Unusable(f"it is not JSON: {error}") from None
    _check(value, limits)
    return _without_surrogates(value) if _ESCAPED_SURROGATE.search(raw) else value


def text_of(data: bytes | str | None, most: int = 300) -> str:
    """Return at most `most` characters as text that can be written anywhere; what is no UTF-8 becomes U+FFFD."""
    if not data:
        return ""
    if isinstance(data, str):
        data = data[:most].encode("utf-8", "replace")
    return data[: 4 * most].decode("utf-8", "replace")[:most]


def is_number(value: Any) -> TypeGuard[int | float]:
    """Tell whether it is a number that can be calculated with: no truth value, finite, of a sensible size."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e18 <= value <= 1e18


def number_or(value: Any, otherwise: float = 0.0) -> float:
    """Return a number from outside, or what stands for none."""
    return float(value) if is_number(value) else otherwise


def run(
    argv: Sequence[str], *, timeout_s: float, most_bytes: int = 16 << 20, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command that reads nothing, and return what it said as text; bytes that are no UTF-8 become U+FFFD.

    Whoever says more than `most_bytes` is killed; `stderr` then ends with a line that says so. Raises OSError if it cannot
    be started, subprocess.TimeoutExpired.
    """
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, env=env
    ) as process:
        try:
            said, complained, too_much = _heard(process, time.monotonic() + timeout_s, most_bytes)
            if too_much:
                process.kill()
            status = process.wait(max(0.1, 1.0 if too_much else timeout_s))
        except subprocess.TimeoutExpired:
            process.kill()
            raise subprocess.TimeoutExpired(list(argv), timeout_s) from None
        except BaseException:
            process.kill()
            raise
    errors = complained.decode("utf-8", "replace")
    if too_much:
        status, errors = status or 1, f"{errors}\nit said more than {most_bytes} bytes and was stopped"
    return subprocess.CompletedProcess(list(argv), status, said.decode("utf-8", "replace"), errors)


def _heard(process: subprocess.Popen[bytes], until_s: float, most_bytes: int) -> tuple[bytes, bytes, bool]:
    assert process.stdout is not None
    assert process.stderr is not None
    said, complained = bytearray(), bytearray()
    with contextlib.closing(selectors.DefaultSelector()) as selector:
        selector.register(process.stdout, selectors.EVENT_READ, said)
        selector.register(process.stderr, selectors.EVENT_READ, complained)
        while selector.get_map():
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                raise subprocess.TimeoutExpired(process.args, 0)
            for key, _ in selector.select(left_s):
                part = os.read(key.fd, _READ_BYTES)
                key.data.extend(part)
                if not part:
                    selector.unregister(key.fileobj)
            if len(said) + len(complained) > most_bytes:
                return bytes(said), bytes(complained[:4096]), True
    return bytes(said), bytes(complained), False


# --- the parts of JSON ---------------------------------------------------------------------------------------------------


def _any_whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise Unusable(f"a number has {len(digits)} digits")
    return int(digits)


def _whole(digits: str) -> int:
    value = _any_whole(digits)
    if abs(value) > LARGEST_NUMBER:
        raise Unusable(f"a number has {len(digits)} digits")
    return value


def _any_fraction(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise Unusable(f"{digits[:20]} is no number")
    return value


def _fraction(digits: str) -> float:
    value = _any_fraction(digits)
    if abs(value) > LARGEST_NUMBER:
        raise Unusable(f"{digits[:20]} is no number that could be measured")
    return value


def _no_number(name: str) -> float:
    raise Unusable(f"{name} is no number")


def _check(value: Any, limits: Limits) -> None:
    """Walk through a value without recursion."""
    level: list[Any] = [value]
    count = depth = 0
    while level:
        depth += 1
        count += len(level)
        if depth > limits.depth + 1:
            raise Unusable(f"it is nested more than {limits.depth} levels deep")
        if count > limits.values:
            raise Unusable(f"it has more than {limits.values} values")
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                below += each.values()
                _check_texts(each, limits)
            elif isinstance(each, list):
                below += each
            elif isinstance(each, str) and len(each) > limits.text:
                raise Unusable(f"a text is longer than {limits.text} characters")
        level = below


def _check_texts(texts: Any, limits: Limits) -> None:
    if any(len(each) > limits.text for each in texts):
        raise Unusable(f"a text is longer than {limits.text} characters")


def _without_surrogates(value: Any) -> Any:
    """Return the same with lone surrogates replaced; its depth is known to be small."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8") if not value.isascii() else value
    if isinstance(value, list):
        return [_without_surrogates(each) for each in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(each) for key, each in value.items()}
    return value
