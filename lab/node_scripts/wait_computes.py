"""Waits until every compute host has a nova-compute that is up and did not take itself out of service. Reads its description as JSON from argv[1]."""

import json
import sys
import time
from typing import Any

import openstack

wanted = json.loads(sys.argv[1])
cloud: Any = openstack.connect(**wanted["auth"])
deadline = time.monotonic() + wanted["within_s"]
while True:
    try:
        services = list(cloud.compute.services(binary="nova-compute"))
        # Who has lost libvirt withdraws (AUTO: ...) and comes back with its next periodic task.
        up = {each.host for each in services if each.state == "up" and "AUTO:" not in (each.disabled_reason or "")}
        seen = f"up: {', '.join(sorted(up)) or 'none'}"
    except Exception as error:  # noqa: BLE001 -- the API may still be settling
        up, seen = set(), str(error)
    if set(wanted["hosts"]) <= up:
        print(seen)
        break
    if time.monotonic() > deadline:
        sys.exit(f"not every nova-compute came up: {seen}")
    time.sleep(0.5)
