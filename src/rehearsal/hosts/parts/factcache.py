"""Ansible's cached facts: how old each host's are, where this host's Redis holds the cache."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rehearsal.figures.expectation import NotObserved
from rehearsal.hosts.look import Look
from rehearsal.hosts.look import part
from rehearsal.hosts.parts.docker import containers
from rehearsal.hosts.parts.docker import inside

if TYPE_CHECKING:
    from collections.abc import Collection

    from rehearsal.hosts.view import HostView


@part
def fact_cache(look: Look) -> dict[str, float] | None:
    """Return the age (s) of the facts by host; None if the cache is elsewhere."""
    for container in look.show(containers) or []:
        if container.status == "running" and "redis" in container.name.split("-"):
            said = inside(container.name, "redis-cli", "--raw", "zrange", "ansible_cache_keys", "0", "-1", "withscores")
            words = said.split()
            return {host: time.time() - float(score) for host, score in zip(words[::2], words[1::2])}  # noqa: B905 - Python 3.8 has no strict zip
    return None


def ages_s(views: Collection[HostView]) -> dict[str, float] | None:
    """Return the ages of all cached facts; None if no host holds the cache. NotObserved if one does that could not be read."""
    caches = [cache for view in views if (cache := view.get(fact_cache)) is not None]
    unseen = next((why for view in views if (why := view.errors.get("fact_cache"))), "")
    if not caches and unseen:
        raise NotObserved(f"the fact cache could not be read: {unseen}")
    return {key: age for cache in caches for key, age in cache.items()} if caches else None
