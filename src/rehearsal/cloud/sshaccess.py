"""How a host is reached over SSH, as its variables say, and nothing that would run a command on this machine.

A configuration repository is data. `ansible_host: -oProxyCommand=…` is an option to a careless caller of ssh, and an option
can be a command; so every part has a shape here, and what has another shape is refused, with the file that says it.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
from dataclasses import dataclass
from dataclasses import replace
from typing import TYPE_CHECKING

from rehearsal.cloud.target import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rehearsal.cloud.variables import Variables

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252})?")
_ZONE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}\$?")
_ARGUMENTS = ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args")
_COMMANDS = frozenset(
    {
        "proxycommand", "localcommand", "permitlocalcommand", "knownhostscommand", "remotecommand", "match", "include",
        "pkcs11provider", "securitykeyprovider", "xauthlocation", "proxyusefdpass", "forkafterauthentication",
    }
)  # fmt: skip
_OURS = frozenset(
    {
        "batchmode", "compression", "connectionattempts", "connecttimeout", "controlmaster", "controlpath", "controlpersist",
        "forwardagent", "identitiesonly", "identityfile", "loglevel", "passwordauthentication", "preferredauthentications",
        "pubkeyauthentication", "serveralivecountmax", "serveraliveinterval", "stricthostkeychecking", "tcpkeepalive",
        "userknownhostsfile", "globalknownhostsfile", "checkhostip", "gssapiauthentication", "kbdinteractiveauthentication",
        "addkeystoagent", "forwardx11", "requesttty",
    }
)  # fmt: skip
"""What rehearse decides itself for its own connections, or what makes no difference to a look at a host."""
_BARE = frozenset("-C -q -T -t -tt -A -a -4 -6 -v -vv -vvv -x -n -k".split())  # noqa: SIM905 - short
_LETTERS = {"-o": "", "-J": "proxyjump", "-p": "port", "-l": "user", "-i": "identityfile"}
CONTAINERS = "the manager's containers, /ansible/inventory/hosts.yml"
"""The file of what the reconciled inventory says."""
_JUMP_REMEDY = "Write -J HOST (or -o ProxyJump=HOST) instead."


@dataclass(frozen=True, slots=True)
class Connection:
    """How ssh reaches a host. Empty or 0: as ssh or the operator's own settings have it."""

    address: str
    user: str = ""
    port: int = 0
    jump: str = ""


class _RefusedError(Exception):
    """A value that ssh must not see; the message is the rest of a sentence."""


def is_host_name(text: str) -> bool:
    """Return whether a text can be a host's name: nothing that ssh, a shell, a pattern or a path would read otherwise."""
    return bool(_NAME.fullmatch(text)) or bool(address_of(text))


def address_of(text: str) -> str:
    """Return an IP address as numbers say it, without brackets and with its zone; empty if it is none."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        found = ipaddress.ip_address(bare)
    except ValueError:
        return ""
    zone = getattr(found, "scope_id", None)
    return str(found) if zone is None or _ZONE.fullmatch(zone) else ""


def connection_of(
    host: str, variables: Variables, fallback_user: str, problems: list[Problem], where: str
) -> Connection:
    """Return how a host is reached. What cannot be used is a problem: commands are refused, the rest is told."""
    address = _address(host, variables, problems, where)
    user = _user(host, variables, fallback_user, problems, where)
    port = _port(host, variables, problems, where)
    given = Connection(address, user, port)
    for name in _ARGUMENTS:
        text = _value(host, variables, name, problems, where)
        if not text:
            continue
        file = variables.file(name) or where
        unknown: list[str] = []
        try:
            given = _with_arguments(given, shlex.split(text), unknown)
        except (_RefusedError, ValueError) as error:
            problems.append(Problem(f"{name} of host {host} is refused: {error}.", file, _JUMP_REMEDY))
        if unknown:
            problems.append(
                Problem(
                    f"{name} of host {host} has {', '.join(each[:40] for each in unknown)}, which is not passed on to ssh.",
                    file,
                    "Nothing to do if the host is reached without it; jump host, user and port are honoured.",
                    severity="warning",
                )
            )
    return given


def _value(host: str, variables: Variables, name: str, problems: list[Problem], where: str) -> str:
    """Return a variable's text. One that is set and not known is an error: a guess would look at another machine."""
    obstacle = variables.obstacle(name)
    if not obstacle:
        return variables.text(name)
    is_address = name in {"ansible_host", "ansible_ssh_host"}
    file = variables.file(name) or where
    asked = file == CONTAINERS
    problems.append(
        Problem(
            f"{name} of host {host} {obstacle}{'; its name is used as its address' if is_address else ''}.",
            file,
            "Write the plain value in host_vars."
            if asked
            else "Write the plain value, or run this where the manager's containers can be queried (without --files-only).",
            severity="warning" if is_address and variables.resolve(name) is None else "error",
        )
    )
    return ""


def _address(host: str, variables: Variables, problems: list[Problem], where: str) -> str:
    name = "ansible_host" if variables.values.get("ansible_host") is not None else "ansible_ssh_host"
    before = len(problems)
    text = _value(host, variables, name, problems, where)
    if not text:
        if len(problems) == before and not variables.hidden:
            sentence = f"Host {host} has no ansible_host; its name is used as its address."
            problems.append(Problem(sentence, where, "Set ansible_host.", severity="warning"))
        return host
    address = address_of(text) or (text if _NAME.fullmatch(text) else "")
    if not address:
        problems.append(
            Problem(
                f"ansible_host of host {host} is {text[:80]!r}: neither an IP address nor a host name.",
                variables.file(name) or where,
                "Set ansible_host to the address that SSH reaches; options of ssh are not taken from it.",
            )
        )
        return host
    return address


def _user(host: str, variables: Variables, fallback: str, problems: list[Problem], where: str) -> str:
    for name in ("ansible_user", "ansible_ssh_user", "ansible_ssh_user_name"):
        text = _value(host, variables, name, problems, where)
        if text and _USER.fullmatch(text):
            return text
        if text:
            problems.append(
                Problem(
                    f"{name} of host {host} is {text[:80]!r}, which is no name of a user.",
                    variables.file(name) or where,
                    "Set it to the user that SSH logs in as.",
                )
            )
    return fallback


def user_or_default(text: str, default: str, file: str, problems: list[Problem]) -> str:
    """Return operator_user if it is a user's name, else the default and a problem."""
    if not text or _USER.fullmatch(text):
        return text or default
    problems.append(
        Problem(f"operator_user is {text[:80]!r}, which is no name of a user.", file, "Set it to the operator's user.")
    )
    return default


def _port(host: str, variables: Variables, problems: list[Problem], where: str) -> int:
    for name in ("ansible_port", "ansible_ssh_port"):
        text = _value(host, variables, name, problems, where)
        if not text:
            continue
        try:
            return _number(text)
        except _RefusedError as error:
            problems.append(
                Problem(f"{name} of host {host} is refused: {error}.", variables.file(name) or where, "Write a port.")
            )
    return 0


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 2**16):
        raise _RefusedError(f"{text[:40]!r} is no port")
    return int(text)


def _with_arguments(given: Connection, words: list[str], unknown: list[str]) -> Connection:
    """Return the connection with what ssh's arguments say of user, port and jump host; what is not understood is `unknown`."""
    for key, value in _settings(words):
        none = value.lower() in {"none", "no"}
        if key == "proxyjump":
            given = replace(given, jump=_jump(value))
        elif key == "proxycommand" and not none:
            given = replace(given, jump=_jump_of_command(value))
        elif key == "port":
            given = replace(given, port=_number(value))
        elif key == "user":
            given = replace(given, user=_checked_user(value))
        elif key in _COMMANDS and not none:
            raise _RefusedError(f"{key} can run commands on this machine")
        elif key not in _OURS | _COMMANDS:
            unknown.append(key)
    return given


def _settings(words: list[str]) -> Iterator[tuple[str, str]]:
    """Yield name and value of each of ssh's options; an option that is not understood is its own name."""
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        if word in _BARE:
            continue
        flag, value = word[:2], word[2:]
        if flag not in _LETTERS:
            yield word, ""
            continue
        if not value:
            if not waiting:
                raise _RefusedError(f"{flag} has no value")
            value = waiting.pop(0)
        yield _option(value) if flag == "-o" else (_LETTERS[flag], value)


def _option(text: str) -> tuple[str, str]:
    """Return name and value of `Name=value` or `Name value`, the name in small letters."""
    found = re.fullmatch(r"\s*([A-Za-z0-9]+)(?:\s*=\s*|\s+)(.*?)\s*", text, re.DOTALL)
    if found is None:
        raise _RefusedError(f"{text[:40]!r} is no option of ssh")
    return found[1].lower(), found[2].strip('"')


def _checked_user(text: str) -> str:
    if not _USER.fullmatch(text):
        raise _RefusedError(f"{text[:40]!r} is no name of a user")
    return text


def _jump(text: str) -> str:
    """Return jump hosts as ssh's -J wants them; empty for `none`."""
    if text.lower() == "none":
        return ""
    hops = []
    for hop in text.removeprefix("ssh://").split(","):
        user, at, rest = hop.rpartition("@")
        if at:
            _checked_user(user)
        bracketed = re.fullmatch(r"(\[[^\]]+\])(?::(\d+))?", rest)
        plain = re.fullmatch(r"([^:\[\]]+)(?::(\d+))?", rest)
        found = bracketed or plain
        if found is None or not (address_of(found[1]) if bracketed else is_host_name(found[1])):
            raise _RefusedError(f"{hop[:80]!r} is no jump host")
        if found[2]:
            _number(found[2])
        hops.append(hop)
    return ",".join(hops)


def _jump_of_command(command: str) -> str:
    """Return the jump host of `ssh -W %h:%p …`, the old way of writing ProxyJump. Anything else is a command: refused."""
    refused = _RefusedError("ProxyCommand runs a command on this machine")
    if re.search(r"[;|&<>$`\n\\(){}]", command):
        raise refused
    try:
        program, *words = shlex.split(command)
    except ValueError:
        raise refused from None
    target = re.fullmatch(r"\[?%h\]?:%p", words[words.index("-W") + 1]) if "-W" in words[:-1] else None
    if program not in {"ssh", "/usr/bin/ssh"} or target is None:
        raise refused
    at = words.index("-W")
    found = {"user": "", "port": "", "hop": ""}
    for key, value in _settings(words[:at] + words[at + 2 :]):
        if key in found and value and not found[key]:
            found[key] = value
        elif not key.startswith("-") and not value and not found["hop"]:
            found["hop"] = key
        elif key not in _OURS:
            raise refused
    if not found["hop"]:
        raise refused
    user, port = f"{found['user']}@" if found["user"] else "", f":{found['port']}" if found["port"] else ""
    return _jump(f"{user}{found['hop']}{port}")
