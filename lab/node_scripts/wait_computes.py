"""Waits until every compute host has an enabled nova-compute that is up. Reads its description as JSON from argv[1]."""

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
        up = {service.host for service in cloud.compute.services(binary="nova-compute") if service.state == "up"}
        seen = f"up: {', '.join(sorted(up)) or 'none'}"
    except Exception as error:  # noqa: BLE001 -- the API may still be settling
        up, seen = set(), str(error)
    if set(wanted["hosts"]) <= up:
        print(seen)
        break
    if time.monotonic() > deadline:
        sys.exit(f"not every nova-compute came up: {seen}")
    time.sleep(0.5)
