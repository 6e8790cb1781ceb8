"""What is seen of the cloud around a step: containers on its hosts, objects behind its API, what its configuration claims."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.cloud import discover
from rehearsal.hosts import ssh as hosts
from rehearsal.recording.events import CloudFacts
from rehearsal.runner.progress import say

if TYPE_CHECKING:
    from rehearsal.recording.events import HostFacts
    from rehearsal.recording.stretch import Look
    from rehearsal.runner.attempt import Attempt

_STILL_TRUE_S = 30.0
"""Between two steps nothing happens but gates: what was seen after one is what there is before the next."""


class Facts:
    """Records what is seen, and remembers for some seconds what runs on the hosts."""

    def __init__(self, attempt: Attempt, ssh: hosts.Ssh) -> None:
        self._attempt = attempt
        self._ssh = ssh
        self._seen: tuple[float, list[HostFacts]] | None = None

    def of_hosts(self, look: Look, *, fresh: bool = True) -> None:
        """Record what runs on the hosts. Without `fresh`, what was seen within the last seconds will do."""
        now, label = time.monotonic(), str(look)
        if fresh or self._seen is None or now - self._seen[0] > _STILL_TRUE_S:
            self._seen = (now, hosts.container_facts(self._attempt.target, label, ssh=self._ssh))
        for facts in self._seen[1]:
            self._attempt.record(dataclasses.replace(facts, label=label))
            if facts.error:
                say(f"warning: {facts.host} was not observed ({label}): {facts.error}")

    def forget(self) -> None:
        """Look anew next time: what a gate found may have happened since, and the next step is not to be charged with it."""
        self._seen = None

    def of_cloud(self, look: Look, connection: Any) -> None:
        """Record what the cloud's API says that there is."""
        label = str(look)
        if connection is None:
            self._attempt.record(CloudFacts(label, error="there is no connection to the cloud's API"))
            return
        from rehearsal.cloud.facts import cloud_facts  # noqa: PLC0415 - only a run with a cloud needs it

        facts = cloud_facts(connection, label)
        self._attempt.record(facts)
        if facts.error:
            say(f"warning: not everything in the cloud was observed ({label}): {facts.error[:300]}")

    def of_configuration(self) -> None:
        """Look at what the cloud claims to be: a step may have changed versions, namespace, hosts."""
        attempt = self._attempt
        found = discover(dataclasses.replace(attempt.orders.options, online=False))
        if not found.hosts:
            return  # a repository in the middle of being changed
        found = dataclasses.replace(found, endpoints=attempt.target.endpoints)
        release = found.release
        if release != attempt.target.release:
            say(f"the cloud now claims OpenStack {release.openstack} (OSISM {release.osism})")
            attempt.note(
                "info", f"The configuration now names OpenStack {release.openstack}, namespace {release.namespace}."
            )
        attempt.target = found
        found.save(attempt.run.target)
