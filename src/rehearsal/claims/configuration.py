"""Claims about what surrounds an upgrade: locks, left-over overrides, the fact cache."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal.cloud.expected import pins
from rehearsal.figures import say
from rehearsal.figures.expectation import Expectation
from rehearsal.figures.expectation import NotObserved
from rehearsal.plan.effects import gathers_facts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Sequence

    from rehearsal.plan import PlanSpec

FACTS_OLDEST_S = 24 * 3600
"""Kolla's plays take the facts from the cache as they are; after a day a host may have changed, and the plan renews them."""
HOTFIX_FILE = "environments/kolla/images.yml"
_LOCK_WORD = re.compile(r"\b(?:UN)?LOCKED\b")
"""The first such word of a line is the state; a reason that follows may hold any word."""
_SET = re.compile(r"^(?P<key>[a-z0-9_]+)\s*:\s*(?P<value>.*)$")


def no_lock_files(present: Sequence[str]) -> Expectation:
    """No `.lock` file makes OSISM's run scripts refuse to work."""
    found = ", ".join(sorted(present))
    return Expectation("no .lock file", found or "no .lock file", holds=not present, service="osism")


def tasks_unlocked(status: int, said: str) -> Expectation:
    """`osism lock status` says that tasks are not locked. Its exit code is 0 either way, so its words count."""
    if "not an osism command" in said:  # `osism lock` came with OSISM 9.3: without it nobody can have locked anything
        told = "not applicable: this release of osism has no `osism lock status` (it came with OSISM 9.3)"
        return Expectation("tasks are UNLOCKED", told, holds=True, service="osism")
    found = next(((line.strip(), word[0]) for line in said.splitlines() if (word := _LOCK_WORD.search(line))), None)
    if found is None:
        raise NotObserved(
            f"`osism lock status` ended with {status} and does not say whether tasks are locked: {said.strip()[-200:]!r}"
        )
    line, state = found
    return Expectation("tasks are UNLOCKED", line, holds=state == "UNLOCKED", service="osism")


@dataclass(frozen=True, slots=True)
class Override:
    """A variable in the configuration repository that beats the release's own version."""

    file: str
    line: int
    key: str
    value: str


def overrides(file: str, text: str) -> list[Override]:
    """Return the top-level variables of a YAML file that pin a container to a tag or an image.

    Comments and nested keys do not, nor do variables that only end like such a pin: octavia's tag of the amphora image in
    glance is none.
    """
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        match = _SET.match(line)
        if match and match["key"] in pins():
            found.append(Override(file, number, match["key"], match["value"].split(" #")[0].strip().strip("'\"")))
    return found


def no_overrides(found: Sequence[Override], release: str = "") -> Expectation:
    """Nothing in the repository pins a container to another tag than the release's.

    A hot-fix as OSISM documents it, the release's own rolling tag in environments/kolla/images.yml, is told and allowed.
    """
    fixes = [each for each in found if release and each.file.endswith(HOTFIX_FILE) and each.value == release]
    wrong = [each for each in found if each not in fixes]
    told = "; ".join(f"{each.file}:{each.line} {each.key}: {each.value}" for each in wrong)
    hotfix = f"; hot-fix of {release}: {', '.join(each.key for each in fixes)}" if fixes else ""
    return Expectation(
        "no tag or image is pinned", told or f"no tag or image is pinned{hotfix}", holds=not wrong, service="osism"
    )


def facts_fresh(ages_s: Mapping[str, float] | None, host: str, plan: PlanSpec | None = None) -> Expectation:
    """The facts that kolla's plays will use for this host are at most a day old, or the plan gathers them before."""
    renewed_by = _gathers_facts(plan) if plan else ""
    if ages_s is None and not renewed_by:
        raise NotObserved("no host of the inventory showed Ansible's fact cache (Redis of the manager)")
    found = ages_s or {}
    age_s = next((age for key, age in found.items() if key == host or key.removeprefix("ansible_facts") == host), None)
    expected = f"facts at most {say.exact_s(FACTS_OLDEST_S)} old{', or gathered by the plan' if plan else ''}"
    observed = "no facts of this host are cached" if age_s is None else f"{say.lasted(max(0.0, age_s))} old"
    fresh = age_s is not None and age_s <= FACTS_OLDEST_S
    if not fresh and renewed_by:
        observed += f"; step {renewed_by} gathers them"
    return Expectation(expected, observed, holds=fresh or bool(renewed_by), host=host, service="osism")


def _gathers_facts(plan: PlanSpec) -> str:
    """Return the step that gathers facts of all hosts before the first step that replaces containers."""
    for step in plan.steps:
        if step.containers or step.roles:
            return ""
        if gathers_facts(step.command):
            return step.id
    return ""
