"""Reading a plan file: every mistake at once, each with its line and a remedy."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable  # noqa: TC003 - a table is typed by it
from importlib import resources
from pathlib import Path
from typing import Any
from typing import TypeVar

import yaml
from pydantic import ValidationError

from rehearsal.cloud import expected
from rehearsal.lanes import rates
from rehearsal.outside.redact import is_secret_name
from rehearsal.outside.redact import without_input
from rehearsal.plan.allowances import BudgetSpec
from rehearsal.plan.allowances import GuestSpec
from rehearsal.plan.allowances import Strict
from rehearsal.plan.effects import HOSTS
from rehearsal.plan.effects import NAMED
from rehearsal.plan.effects import StepSpec
from rehearsal.plan.shapes import CANARIES
from rehearsal.plan.shapes import GATES
from rehearsal.plan.shapes import LONGEST_TEXT
from rehearsal.plan.shapes import NAMES_FROM_HOST
from rehearsal.plan.shapes import NAMES_FROM_PLAN
from rehearsal.plan.shapes import NAMES_FROM_TARGET
from rehearsal.plan.shapes import PLACEHOLDER
from rehearsal.plan.shapes import RESERVED_IDS
from rehearsal.plan.shapes import Mistake
from rehearsal.plan.shapes import PlanError
from rehearsal.plan.shapes import PlanSpec

At = tuple[str | int, ...]
Lines = dict[At, int]
Complaint = tuple[At, str, str]
_MOST_VALUES = 200_000
_UNWRITABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_SERVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,200}")


def bundled() -> dict[str, Path]:
    """Return the plans that come with rehearse, by name."""
    directory = resources.files("rehearsal.plan").joinpath("bundled")
    return {Path(entry.name).stem: Path(str(entry)) for entry in directory.iterdir() if entry.name.endswith(".yml")}


def find(name: str) -> Path:
    """Return the file of a plan: a path, or the name of a bundled plan. PlanError if there is neither."""
    plans = bundled()
    if name in plans:
        return plans[name]
    path = Path(name)
    if path.is_file():
        return path
    raise PlanError(
        [Mistake(name, 0, "There is no such plan.", f"Give a file, or one of: {', '.join(sorted(plans))}.")]
    )


def line_of_step(path: Path, number: int, key: str = "id") -> int:
    """Return the line of a key of a step of a plan that was read; 0 if it cannot be read again."""
    lines: Lines = {}
    try:
        if node := yaml.compose(path.read_text(), Loader=yaml.SafeLoader):
            _index(node, (), lines, [], str(path))
    except (OSError, yaml.YAMLError, ValueError, RecursionError):
        return 0
    return _line(lines, ("steps", number, key))


def sha256(path: Path) -> str:
    """Return the SHA-256 of the plan file, as evidence of what was planned."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load_plan(path: Path) -> PlanSpec:
    """Read a plan. Raises PlanError with every mistake found, each with its line."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(
            [Mistake(str(path), 0, f"It cannot be read: {error}.", "Give a readable YAML file.")]
        ) from error
    lines: Lines = {}
    mistakes: list[Mistake] = []
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if not isinstance(node, yaml.MappingNode):
            raise PlanError([Mistake(str(path), 1, "A plan is a mapping.", "Start with `name:`.")])
        _index(node, (), lines, mistakes, str(path))
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise PlanError(
            [Mistake(str(path), line, f"It is no valid YAML: {without_input(str(error.problem))}.", "Correct it.")]
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        why = without_input(str(error))
        raise PlanError([Mistake(str(path), 0, f"It is no valid YAML: {why}.", "Correct it.")]) from error
    mistakes += unwritable(data, str(path), lines)
    if mistakes:
        raise PlanError(mistakes)
    try:
        plan = PlanSpec.model_validate(data)
    except ValidationError as error:
        raise PlanError([_mistake(str(path), lines, detail) for detail in error.errors()]) from error
    mistakes = _references(plan, str(path), lines)
    if mistakes:
        raise PlanError(mistakes)
    return plan


_M = TypeVar("_M", bound=Strict)


def recorded(data: Any) -> PlanSpec:
    """Return the copy of a plan that a run recorded, whatever version wrote it.

    What this version does not know, or would refuse, is left out; what the plan does not say is as it is by default.
    """
    return _as_far_as_known(PlanSpec, data if isinstance(data, dict) else {})


def _as_far_as_known(model: type[_M], data: dict[str, Any]) -> _M:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        bad = {detail["loc"][0] for detail in error.errors()}
    values: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if name in _PARTS:
            values[name] = _PARTS[name](data.get(name))
        elif name in data and name not in bad:
            values[name] = data[name]
        elif field.is_required():
            values[name] = [] if name in {"command", "services"} else ""
    return model.model_construct(**values)


def _steps(data: Any) -> list[StepSpec]:
    found = data if isinstance(data, list) else []
    return [_as_far_as_known(StepSpec, each) for each in found if isinstance(each, dict)]


def _budgets(data: Any) -> dict[str, BudgetSpec]:
    found = data if isinstance(data, dict) else {}
    return {name: each for name, given in found.items() if (each := _budget(given)) is not None}


def _budget(data: Any) -> BudgetSpec | None:
    try:
        least = BudgetSpec.model_validate({"longest_s": data["longest_s"]})
    except (KeyError, TypeError, ValidationError):
        return None
    return _as_far_as_known(BudgetSpec, {**data, "longest_s": least.longest_s})


_PARTS: dict[str, Callable[[Any], Any]] = {
    "steps": _steps,
    "defaults": _budgets,
    "disturbs": _budgets,
    "migration": lambda data: _budget(data) or PlanSpec.model_fields["migration"].default,
    "guests": lambda data: _as_far_as_known(GuestSpec, data if isinstance(data, dict) else {}),
}


def _index(
    node: yaml.Node,
    at: At,
    lines: Lines,
    mistakes: list[Mistake],
    file: str,
) -> None:
    """Note the line of every value, and every key that stands twice. ValueError: aliases make it larger than any plan."""
    if len(lines) > _MOST_VALUES:
        raise ValueError(f"it has more than {_MOST_VALUES} values, aliases counted")
    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = str(key.value)
            line = key.start_mark.line + 1
            if (*at, name) in lines:
                first = lines[(*at, name)]
                mistakes.append(
                    Mistake(
                        file, line, f"The key {name!r} stands twice (first in line {first}).", "Remove one of them."
                    )
                )
                continue
            lines[(*at, name)] = line
            _index(value, (*at, name), lines, mistakes, file)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            _index(value, (*at, number), lines, mistakes, file)


def unwritable(data: Any, file: str, lines: Lines) -> list[Mistake]:
    """Return the texts that no journal, file name or command could take. The data came out of `_index`: it is a tree."""
    found: list[Mistake] = []
    open_: list[tuple[At, Any]] = [((), data)]
    while open_:
        at, value = open_.pop()
        if isinstance(value, dict):
            open_ += [((*at, str(key)), each) for key, each in value.items()]
            texts = [key for key in value if isinstance(key, str)]
        elif isinstance(value, list):
            open_ += [((*at, number), each) for number, each in enumerate(value)]
            continue
        else:
            texts = [value] if isinstance(value, str) else []
        for text in texts:
            if bad := _UNWRITABLE.search(text):
                what = f"{_dotted(at)} holds a character that cannot be written: {bad[0]!r}."
                found.append(Mistake(file, _line(lines, at), what, "Remove it."))
            elif len(text) > LONGEST_TEXT:
                what = f"{_dotted(at)} holds a text of {len(text)} characters."
                found.append(Mistake(file, _line(lines, at), what, f"At most {LONGEST_TEXT} are possible."))
    return sorted(found, key=lambda mistake: mistake.line)


def _mistake(file: str, lines: Lines, detail: Any) -> Mistake:
    at = tuple(detail["loc"])
    line = _line(lines, at)
    name = _dotted(at)
    if detail["type"] == "extra_forbidden":
        keys = ", ".join(sorted(_model_at(at).model_fields))
        return Mistake(file, line, f"{name} is no known key.", f"Known keys here: {keys}.")
    if detail["type"] == "missing":
        return Mistake(file, line, f"{name} is missing.", "Add it.")
    return Mistake(file, line, f"{name}: {detail['msg']}.", _type_remedy(detail, at))


def _type_remedy(detail: Any, at: At) -> str:
    # What stands in an environment or a variable may be a password: it is not repeated.
    may_be_shown = not {"environment", "variables", "command"} & set(at) and not is_secret_name(
        str(at[-1]) if at else ""
    )
    if detail["type"] == "string_type":
        return f"Write it in quotes: {_shown(detail['input'])!r}." if may_be_shown else "Write it in quotes."
    if detail["type"] == "string_pattern_mismatch":
        return "Use small letters, digits and hyphens."
    if not may_be_shown:
        return "Correct it."
    return (
        f"It is {_shown(detail['input'])} now." if not isinstance(detail["input"], dict | list) else "Correct its type."
    )


def _shown(value: Any) -> str:
    """Return a value as a person may read it; Python itself refuses to write down an integer of 5 000 digits."""
    if isinstance(value, int) and abs(value) > 10**40:
        return f"a number of more than {40} digits"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else f"{text[:60]}… ({len(text)} characters)"


def _dotted(at: tuple[Any, ...]) -> str:
    text = ""
    for part in at:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "the plan"


def _model_at(at: tuple[Any, ...]) -> type[Strict]:
    if "disturbs" in at[:-1] or "defaults" in at[:-1] or "migration" in at[:-1]:
        return BudgetSpec
    return StepSpec if at and at[0] == "steps" and len(at) > 1 else PlanSpec


def _references(plan: PlanSpec, file: str, lines: Lines) -> list[Mistake]:
    """Return the mistakes that types cannot show: names that refer to nothing."""
    services = {*plan.services, CANARIES}
    complaints: list[Complaint] = [
        (("defaults", name), f"defaults: {name!r} is no service of this plan.", _one_of(services))
        for name in plan.defaults
        if name not in services
    ]
    complaints += [
        (("defaults",), f"defaults has no budget for {name!r}.", "Add one: no service is without a budget.")
        for name in (*plan.services, CANARIES)
        if name not in plan.defaults
    ]
    complaints += _rates(plan)
    complaints += _names(plan)
    seen: set[str] = set()
    for number, step in enumerate(plan.steps):
        at = ("steps", number)
        if step.id in seen:
            complaints.append(((*at, "id"), f"Step id {step.id!r} stands twice.", "Ids are unique."))
        seen.add(step.id)
        complaints += _reserved(step, at)
        complaints += _unknown_names(step, at, services)
        complaints += _placeholders(plan, step, at)
        if step.for_each and not any(f"{{{name}}}" in part for part in step.command for name in NAMES_FROM_HOST):
            complaints.append(
                (
                    (*at, "command"),
                    f"Step {step.id}: the command does not name {{host}}.",
                    "Name it, or remove for_each.",
                )
            )
        if both := sorted({*step.takes_out} & {*step.brings_in}):
            complaints.append(
                ((*at, "brings_in"), f"Step {step.id}: {both[0]} would be out and in.", "Use a step for each.")
            )
        if step.migrate_after != "last" and not (step.for_each and step.migrate):
            complaints.append(
                ((*at, "migrate_after"), f"Step {step.id}: migrate_after needs for_each and migrate.", "Add them.")
            )
    return [Mistake(file, _line(lines, at), sentence, remedy) for at, sentence, remedy in complaints]


def _names(plan: PlanSpec) -> list[Complaint]:
    """Names that could not be told apart, or that stand for something else."""
    found: list[Complaint] = []
    seen: dict[str, str] = {}
    for number, name in enumerate(plan.services):
        at = ("services", number)
        same = seen.setdefault(plainly(name), name)
        if name == CANARIES:
            found.append(
                (at, f"services: {CANARIES!r} is reserved for the canaries.", "Remove it: they are always watched.")
            )
        elif not _SERVICE.fullmatch(name):
            found.append(
                (at, f"services: {_shown(name)} is no name.", "Use letters, digits, `-`, `_` and `.`, at most 64.")
            )
        elif same != name or plan.services.index(name) != number:
            found.append((at, f"services: {name!r} and {same!r} cannot be told apart.", "Remove one of them."))
    own = {*NAMES_FROM_HOST, *NAMES_FROM_TARGET, *NAMES_FROM_PLAN}
    found += [
        (("variables", name), f"variables: {{{name}}} is already used for something else.", "Give it another name.")
        for name in plan.variables
        if name in own
    ]
    return found


def plainly(name: str) -> str:
    """Return a name without what is lost where names become parts of ids, files and paths: case, `_` and `.`."""
    return re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")


def _reserved(step: StepSpec, at: At) -> list[Complaint]:
    found: list[Complaint] = [
        ((*at, key), f"{key} {name!r}: that is how the report calls {RESERVED_IDS[name]}.", "Give it another name.")
        for key, name in (("id", step.id), ("migrate", step.migrate))
        if name in RESERVED_IDS
    ]
    found += [
        ((*at, "environment", name), f"Step {step.id}: no variable can be called {_shown(name)}.", "Correct its name.")
        for name in step.environment
        if not _VARIABLE.fullmatch(name)
    ]
    return found


def _rates(plan: PlanSpec) -> list[Complaint]:
    found: list[Complaint] = []
    for name, hz in plan.rates.items():
        try:
            rates.checked(name, hz)
        except rates.RateRefused as refusal:
            found.append((("rates", name), f"rates: {refusal}", refusal.remedy))
    return found


def _unknown_names(step: StepSpec, at: At, services: set[str]) -> list[Complaint]:
    known = {"containers": expected.container_names(), "roles": set(expected.roles())}
    return [
        ((*at, key), f"Step {step.id}: {name!r} in {key} is unknown.", _one_of(allowed))
        for key, given, allowed in (
            ("services", step.services, services),
            ("disturbs", list(step.disturbs), services),
            ("focus", step.focus or [], services - {CANARIES}),
            ("gates", step.gates, set(GATES)),
            *((key, getattr(step, key), known[of.kind]) for key, of in NAMED.items() if of.kind in known),
        )
        for name in given
        if name not in allowed
    ]


def _placeholders(plan: PlanSpec, step: StepSpec, at: At) -> list[Complaint]:
    allowed = {*NAMES_FROM_TARGET, *NAMES_FROM_PLAN, *plan.variables} | ({*NAMES_FROM_HOST} if step.for_each else set())
    texts = [("title", step.title), ("hold", step.hold)]
    texts += [(key, part) for key in ("command", *HOSTS) for part in getattr(step, key)]
    return [
        ((*at, key), f"Step {step.id}: {{{name}}} is not defined.", _one_of(allowed))
        for key, text in texts
        for name in PLACEHOLDER.findall(text)
        if name not in allowed
    ]


def _line(lines: Lines, at: At) -> int:
    """Return the line of a value, or of the nearest value around it."""
    while at not in lines and at:
        at = at[:-1]
    return lines.get(at, 0)


def _one_of(names: set[str]) -> str:
    shown = sorted(names)
    return (
        f"Known: {', '.join(shown)}."
        if len(shown) <= 20
        else f"Known are {len(shown)}, for example {', '.join(shown[:5])}."
    )
