"""Faults of the message broker: an alarm that blocks every publisher."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING
from typing import Any

from lab import layout
from lab.faults.ground import FaultError
from lab.faults.table import Red
from lab.faults.table import fault
from lab.faults.table import mends

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.faults.ground import Ground

_WITHIN_S = 30.0
_NAME, _HOST = "rabbitmq-alarm", layout.CONTROL.name


@fault(_NAME, reds=[Red("preflight.rabbitmq-alarms", _HOST, "rabbitmq")])
def alarm(ground: Ground, _given: Mapping[str, str]) -> str:
    """RabbitMQ may use hardly any memory: it raises its alarm and takes no message of any publisher.

    The services notice within a minute that their calls hang, and are missed soon after.
    """
    if ground.noted(_NAME, _HOST):
        raise FaultError("RabbitMQ raises its alarm already; mend it first")
    limit = _status(ground)["vm_memory_high_watermark_setting"]
    ground.note(_NAME, _HOST, {"limit": limit})
    _ctl(ground, "set_vm_memory_high_watermark", "0.00001")
    _wait(ground, raised=True)
    return f"rabbitmq on {_HOST}: memory alarm"


@mends(_NAME)
def alarm_mended(ground: Ground, _given: Mapping[str, str]) -> str:
    """Give the broker the limit back that it had, and wait until no alarm is left."""
    noted = ground.noted(_NAME, _HOST)
    if noted is None:
        return f"rabbitmq on {_HOST} raises no alarm of ours"
    ((kind, value),) = noted["limit"].items()
    _ctl(ground, "set_vm_memory_high_watermark", *(["absolute"] if kind == "absolute" else []), str(value))
    _wait(ground, raised=False)
    ground.forget(_NAME, _HOST)
    return f"rabbitmq on {_HOST}: no alarm"


def _ctl(ground: Ground, *words: str) -> str:
    return ground.run(_HOST, ["docker", "exec", "rabbitmq", "rabbitmqctl", "-q", *words]).stdout


def _status(ground: Ground) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(_ctl(ground, "status", "--formatter", "json"))
    return said


def _wait(ground: Ground, *, raised: bool) -> None:
    deadline = time.monotonic() + _WITHIN_S
    while bool(_status(ground)["alarms"]) != raised:
        if time.monotonic() > deadline:
            raise FaultError(f"RabbitMQ {'raises no' if raised else 'still raises its'} alarm after {_WITHIN_S:g} s")
        time.sleep(1)
