"""Before and after: what is in the cloud, and which containers run which image.

A difference is expected if a step of the plan makes it. What a step should have changed and did not is told apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.cloud import sameness
from rehearsal.cloud.expected import RELEASE_LABEL
from rehearsal.cloud.expected import is_kollas
from rehearsal.cloud.expected import stem
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
    replaced = sameness.failed_over(before, after)
    found: list[Difference] = []
    for kind, rows in before.items():
        if not isinstance(after.get(kind), list) or not isinstance(rows, list):
            continue
        old = {str(row.get("id") or row.get("name")): row for row in rows}
        new = _by_their_old_ids(kind, old, after[kind])
        singular = _SINGULAR.get(kind, kind)
        for key in sorted(old.keys() | new.keys()):
            one, other = old.get(key), new.get(key)
            if one == other:
                continue
            name = str((one or other or {}).get("name") or key)
            if one is None or other is None:
                change = "new" if one is None else "lost"
                expected = one is not None and key in replaced
                found.append(Difference(singular, name, change, _state(one), _state(other), expected=expected))
            else:
                keys = [part for part in {**one, **other} if one.get(part) != other.get(part)]
                found.append(
                    Difference(singular, name, "changed", _state(one, keys), _state(other, keys), expected=False)
                )
    return found


def _by_their_old_ids(kind: str, old: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the rows of afterwards under the id that they had before, where that is another one."""
    named = [{**row, "id": str(row.get("id") or row.get("name"))} for row in rows]
    new = dict(zip((row["id"] for row in named), rows, strict=True))
    for key, row in old.items():
        again = None if key in new else sameness.found_again(kind, {**row, "id": key}, named)
        if again is not None and again["id"] not in old:
            new[key] = {**new.pop(again["id"]), **{part: row[part] for part in ("id", "name") if part in row}}
    return new


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
    replaced = replaced_by_plan(history)
    managers = _updated_managers(history)
    found: list[Difference] = []
    for host in sorted(before.keys() & after.keys()):
        old = {str(each["name"]): each for each in before[host].containers if each.get("name")}
        new = {str(each["name"]): each for each in after[host].containers if each.get("name")}
        for name in sorted(old.keys() | new.keys()):
            of_manager = host in managers and not any(map(_is_kollas, (old.get(name, {}), new.get(name, {}))))
            expected = stem(name) in replaced or of_manager
            found += _container(f"{name} on {host}", old.get(name), new.get(name), expected=expected)
    return found


def _container(
    name: str, old: dict[str, Any] | None, new: dict[str, Any] | None, *, expected: bool
) -> list[Difference]:
    if old is None or new is None:
        only = old or new or {}
        image = str(only.get("image", ""))
        if old is None:
            return [Difference("container", name, "new", "", image, expected=expected)]
        return [Difference("container", name, "lost", image, "", expected=False)]
    if image_of(old) != image_of(new):
        return [Difference("image", name, "changed", *_told(old, new), expected=expected)]
    if old.get("started_at") != new.get("started_at") and not expected:
        started = (f"started {old.get('started_at')}", f"started {new.get('started_at')}")
        return [Difference("container", name, "changed", *started, expected=False)]
    return []


def image_of(container: dict[str, Any]) -> tuple[str, str]:
    """Return an image's reference and its id: a tag that was moved is another image."""
    return str(container.get("image", "")), str(container.get("image_id", ""))


def _told(old: dict[str, Any], new: dict[str, Any]) -> tuple[str, str]:
    if old.get("image") != new.get("image"):
        return str(old.get("image")), str(new.get("image"))
    return " ".join(image_of(old)), " ".join(image_of(new))


def replaced_by_plan(history: History) -> set[str]:
    """Return the names of the containers that steps of the plan replace; without numbers where there are several of a kind."""
    return {stem(str(container)) for _, spec in plans.specs(history) for container in spec.get("containers") or []}


def _updated_managers(history: History) -> set[str]:
    """Return the hosts whose own containers the plan updates: those of the group manager, if a step does that."""
    if not any(spec.get("updates_manager") for _, spec in plans.specs(history)):
        return set()
    groups = history.last.event.target.get("groups")
    return set(map(str, groups.get("manager") or [])) if isinstance(groups, dict) else set()


def unchanged(history: History) -> list[tuple[str, str]]:
    """Return (container on host, image) of what finished steps should have brought to the new release and did not.

    Told by the release that the image itself is labelled with. A container that several steps replace counts when all
    of them are done.
    """
    before, after = _hosts(history)
    done = {run.step for run in history.steps if run.rc == 0}
    wanted: dict[str, bool] = {}
    for step_id, spec in plans.specs(history):
        if spec.get("retag", True):
            for container in spec.get("containers") or []:
                kind = stem(str(container))
                wanted[kind] = wanted.get(kind, True) and step_id in done
    old_release = str(history.first.plan.get("from_release", ""))
    if old_release == str(history.plan.get("to_release", "")):
        return []
    found = []
    for host in sorted(before.keys() & after.keys()):
        old = {str(each.get("name")): each for each in before[host].containers}
        found += [
            (f"{each['name']} on {host}", str(each.get("image", "")))
            for each in after[host].containers
            if wanted.get(stem(str(each.get("name"))))
            and release_of(each) == old_release
            and image_of(each) == image_of(old.get(str(each["name"]), {}))
        ]
    return found


def strange(history: History) -> list[str]:
    """Return the containers of OpenStack (container on host) whose image changed although no step replaces them."""
    before, after = _hosts(history)
    replaced = replaced_by_plan(history)
    found = []
    for host in sorted(before.keys() & after.keys()):
        old = {str(each.get("name")): each for each in before[host].containers}
        found += [
            f"{each['name']} on {host}"
            for each in after[host].containers
            if each.get("name") in old
            and stem(str(each["name"])) not in replaced
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
