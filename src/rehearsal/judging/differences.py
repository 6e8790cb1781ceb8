"""Before and after: what is in the cloud, and which containers run which image.

A difference is expected if a step of the plan makes it. What a step should have changed and did not is told apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.claims.comparisons import what_became
from rehearsal.cloud.expected import RELEASE_LABEL
from rehearsal.cloud.expected import is_kollas
from rehearsal.judging import plans
from rehearsal.recording import events
from rehearsal.recording.stretch import AFTER
from rehearsal.recording.stretch import BEFORE
from rehearsal.recording.stretch import look_of

if TYPE_CHECKING:
    from rehearsal.recording.history import History

_SINGULAR = {
    "servers": "server",
    "ports": "port",
    "volumes": "volume",
    "agents": "agent",
    "services": "service",
    "networks": "network",
    "routers": "router",
    "floating IPs": "floating IP",
    "hypervisors": "hypervisor",
}
_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not as it was: `kind` server|port|volume|agent|service|container|image, `change` lost|new|changed."""

    kind: str
    name: str
    change: str
    before: str
    after: str
    expected: bool


def differences(history: History) -> list[Difference]:
    """Return everything that is not as it was before the first step."""
    return _in_the_cloud(history) + _on_the_hosts(history)


def compared(history: History) -> dict[str, bool]:
    """Return for `cloud` and `hosts` whether there is a look before and a look after; hosts: with anything to compare."""
    before, after = _cloud(history)
    old, new = _hosts(history)
    anything = any(old[host].containers or new[host].containers for host in old.keys() & new.keys())
    return {"cloud": bool(before) and bool(after), "hosts": anything}


def _cloud(history: History) -> tuple[dict[str, Any], dict[str, Any]]:
    looks = [event for _, event in history.of(events.CloudFacts) if event.facts]
    # A look that saw everything is worth more than one that did not, whichever came first.
    whole = {look.label for look in looks if not look.error}
    seen = [(look_of(look.label), look.facts) for look in looks if not look.error or look.label not in whole]
    before: dict[str, Any] = next((facts for look, facts in seen if look == BEFORE), {})
    after: dict[str, Any] = next((facts for look, facts in reversed(seen) if look == AFTER), {})
    return before, after


def _in_the_cloud(history: History) -> list[Difference]:
    before, after = _cloud(history)
    effects = plans.effects_of_runs(history)
    found: list[Difference] = []
    for kind in before:
        for each in what_became(kind, before, after, effects):
            if each.before is None or each.after is None:
                change, states = "new" if each.before is None else "lost", (_state(each.before), _state(each.after))
            elif each.changed:
                change, states = "changed", (_state(each.before, each.changed), _state(each.after, each.changed))
            else:
                continue
            found.append(Difference(_SINGULAR.get(kind, kind), each.name, change, *states, expected=each.expected))
    return found


def _state(row: dict[str, Any] | None, keys: list[str] | None = None) -> str:
    if row is None:
        return ""
    chosen = keys if keys is not None else [key for key in row if key not in {"id", "name", "project"}][:_SHOWN]
    return ", ".join(f"{key} {_plain(row.get(key))}" for key in chosen)


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value in {None, ""} else str(value)


# --- containers ----------------------------------------------------------------------------------------------------


def _hosts(history: History) -> tuple[dict[str, events.HostFacts], dict[str, events.HostFacts]]:
    """Return the look at each host before the first step, and the one after the last."""
    first_step = min((run.began_ns for run in history.steps), default=None)
    before: dict[str, events.HostFacts] = {}
    after: dict[str, events.HostFacts] = {}
    for moment, facts in history.of(events.HostFacts):
        if facts.error:
            continue
        if first_step is None or moment <= first_step:
            if look_of(facts.label) == BEFORE or facts.host not in before:
                before[facts.host] = facts
        else:
            after[facts.host] = facts
    return before, after


def _on_the_hosts(history: History) -> list[Difference]:
    before, after = _hosts(history)
    effects = plans.effects(history)
    out, came = plans.effects_of_runs(history).out_after(), effects.out_before()
    found: list[Difference] = []
    for host in sorted(before.keys() & after.keys()):
        old = {str(each["name"]): each for each in before[host].containers if each.get("name")}
        new = {str(each["name"]): each for each in after[host].containers if each.get("name")}
        for name in sorted(old.keys() | new.keys()):
            one, other, where = old.get(name), new.get(name), f"{name} on {host}"
            of_manager = effects.updates_manager(host) and not any(_is_kollas(each or {}) for each in (one, other))
            replaced = of_manager or effects.replaces(name, host)
            if one is None:
                found.append(_came_or_went(where, "new", other, expected=replaced or host in came))
            elif other is None:
                found.append(_came_or_went(where, "lost", one, expected=host in out))
            elif image_of(one) != image_of(other):
                found.append(Difference("image", where, "changed", *_told(one, other), expected=replaced))
            elif one.get("started_at") != other.get("started_at") and not (
                of_manager or effects.may_restart(name, host)
            ):
                started = (f"started {one.get('started_at')}", f"started {other.get('started_at')}")
                found.append(Difference("container", where, "changed", *started, expected=False))
    return found


def _came_or_went(name: str, change: str, container: dict[str, Any] | None, *, expected: bool) -> Difference:
    image = str((container or {}).get("image", ""))
    states = ("", image) if change == "new" else (image, "")
    return Difference("container", name, change, *states, expected=expected)


def image_of(container: dict[str, Any]) -> tuple[str, str]:
    """Return an image's reference and its id: a tag that was moved is another image."""
    return str(container.get("image", "")), str(container.get("image_id", ""))


def _told(old: dict[str, Any], new: dict[str, Any]) -> tuple[str, str]:
    if old.get("image") != new.get("image"):
        return str(old.get("image")), str(new.get("image"))
    return " ".join(image_of(old)), " ".join(image_of(new))


def unchanged(history: History) -> list[tuple[str, str]]:
    """Return (container on host, image) of what finished steps should have brought to the new release and did not.

    Told by the release that the image itself is labelled with. A container that several steps replace counts when all
    of them are done.
    """
    before, after = _hosts(history)
    done = {run.step for run in history.steps if run.rc == 0}
    effects = plans.effects(history)
    old_release = plans.plan_of(history.first).from_release
    if old_release == plans.last(history).to_release:
        return []
    found = []
    for host in sorted(before.keys() & after.keys()):
        old = {str(each.get("name")): each for each in before[host].containers}
        found += [
            (f"{each['name']} on {host}", str(each.get("image", "")))
            for each in after[host].containers
            if (due := [step.id for step in effects.replaced_by(str(each.get("name")), host) if step.retag])
            and done.issuperset(due)
            and release_of(each) == old_release
            and image_of(each) == image_of(old.get(str(each["name"]), {}))
        ]
    return found


def strange(history: History) -> list[str]:
    """Return the containers of OpenStack (container on host) whose image changed although no step replaces them."""
    before, after = _hosts(history)
    effects = plans.effects(history)
    found = []
    for host in sorted(before.keys() & after.keys()):
        old = {str(each.get("name")): each for each in before[host].containers}
        found += [
            f"{each['name']} on {host}"
            for each in after[host].containers
            if each.get("name") in old
            and not effects.replaces(str(each["name"]), host)
            and (release_of(each) or release_of(old[str(each["name"])]))
            and image_of(each) != image_of(old[str(each["name"])])
        ]
    return found


def release_of(container: dict[str, Any]) -> str:
    """Return the OpenStack release that a container's image is labelled with; empty: it is none of OpenStack's."""
    labels = container.get("labels")
    if not isinstance(labels, dict) or not _is_kollas(container):
        return ""  # the manager's own containers carry such a label, too
    return str(labels.get(RELEASE_LABEL, ""))


def _is_kollas(container: dict[str, Any]) -> bool:
    labels = container.get("labels")
    return is_kollas(str(container.get("image", "")), labels if isinstance(labels, dict) else {})
