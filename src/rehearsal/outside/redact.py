"""Secrets are removed when something is written, because sealed evidence cannot be cleaned later.

Two nets: the values of secrets that were read (`remember`), also inside base64, and shapes that are secrets wherever they
stand: headers, `name=value` of every spelling, options of commands, userinfo in URLs, private keys, tokens.

Invariant: ordinary text stays as it is. A value that an ordinary text may hold (a number, a word) is not hidden inside
of longer words and numbers; one that is too short or too common is not remembered at all.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.outside.plaintext import for_terminal

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterator
    from collections.abc import Mapping

Span = tuple[int, int]

HIDDEN = "[redacted]"
_SHORTEST = 6
# Words that would turn every journal into [redacted] and hide nothing: defaults, services, words of OpenStack's own.
_COMMON = frozenset(
    """
    admin administrator ansible barbican certificate changeme changeit cinder compute controller database default
    defaults designate dragon enabled disabled external generic glance gnocchi grafana haproxy horizon internal
    ironic keepalived keystone kolla localhost magnum manager manila mariadb memcached member monitoring network
    neutron nova-compute octavia openstack operator osism password passwd passphrase placement project prometheus
    public proxysql rabbitmq redacted redis regionone released root secret service services storage swift testbed
    token username valkey version
    """.split()  # noqa: SIM905 - to be read
)
_remembered: set[str] = set()


# --- values ----------------------------------------------------------------------------------------------------------


def remember(*secrets: str) -> None:
    """Make these values disappear from everything written from now on.

    Values under 6 characters and words that are everywhere are not remembered; of a value of several lines (a private
    key), each long line is remembered as well.
    """
    for secret in secrets:
        for value in {secret, secret.strip(), for_terminal(secret), *_long_lines(secret)}:
            if len(value) >= _SHORTEST and value.lower() not in _COMMON:
                _remembered.add(value)


def remember_environment(environ: Mapping[str, str]) -> None:
    """Make the values of variables disappear whose names say that they are secrets, as `OS_PASSWORD`."""
    remember(*(value for name, value in environ.items() if is_secret_name(name) and name != "PWD"))


def _long_lines(secret: str) -> list[str]:
    lines = [line.strip() for line in secret.splitlines()]
    return [line for line in lines if len(line) >= 16 and not line.startswith("-----")] if len(lines) > 1 else []


def _is_ordinary(secret: str) -> bool:
    """Tell whether a text may hold the value by accident: a number, or letters of one case."""
    return secret.isdecimal() or (len(secret) < 16 and secret.isalpha() and secret in {secret.lower(), secret.title()})


def _values_in(text: str) -> Iterator[Span]:
    for secret in [secret for secret in tuple(_remembered) if secret in text]:
        at = text.find(secret)
        while at >= 0:
            end = at + len(secret)
            if not _is_ordinary(secret) or _stands_alone(text, at, end):
                yield at, end
            at = text.find(secret, at + 1)


def _stands_alone(text: str, at: int, end: int) -> bool:
    return not (text[at - 1 : at].isalnum() or text[end : end + 1].isalnum())


_ENCODED = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")


def _encoded_in(text: str) -> Iterator[Span]:
    """Yield runs of base64 that hold a remembered value, as `user:password` in headers and configurations."""
    if not _remembered:
        return
    for found in _ENCODED.finditer(text):
        run = found.group().rstrip("=").replace("-", "+").replace("_", "/")
        for skipped in range(4):  # a path or a word may stand right before it
            told = _decoded(run[skipped:])
            if told and told.isprintable() and any(secret in told for secret in tuple(_remembered)):
                yield found.span()
                break


def _decoded(run: str) -> str:
    try:
        whole = run[:-1] if len(run) % 4 == 1 else run
        return base64.b64decode(whole + "=" * (-len(whole) % 4)).decode()
    except (binascii.Error, ValueError):
        return ""


# --- names of secrets --------------------------------------------------------------------------------------------------

_NAME = (
    r"(?:pass(?:word|wd|phrase|code|wort)|(?<![a-z])pass|(?<![a-z])pwd|secret|token|(?<![a-z])psk"
    r"|(?:secret|private|access|api|auth|account|crypto|encryption|encrypt|rndc|fernet|signing|shared|vault|storage|tsig|master)"
    r"[ _-]?key|credentials?|(?<![a-z])cookie)"
)
_IS_NAME = re.compile(rf"{_NAME}$", re.IGNORECASE)
_HOLDS_SECRETS = re.compile(r"(?:^|[_-])(?:passwords|secrets|tokens)$", re.IGNORECASE)


def is_secret_name(name: str) -> bool:
    """Tell whether a variable, key or option of this name holds a secret: `db_password`, `OS_TOKEN`, `secret_key`."""
    return _IS_NAME.search(name.rstrip("0123456789_-")) is not None


# --- shapes ------------------------------------------------------------------------------------------------------------

# What may stand behind a name and is no secret: words of sentences, states, references to variables.
_SAID = frozenset(
    """
    a an and are argument as at be been by can cannot changed contains could did differ denied does empty error
    expected expired expires failed false file flag for found from given generated has hidden if in incorrect input
    invalid is issued it length like matched may mismatch missing must needed needs no none not null of off ok on
    only option or provided redacted rejected refused renewed required requires reset revoked set should than that
    the then this to true unchanged undefined unknown unset updated valid verified was were when will with without
    wrong yes your authentication authorization auth
    """.split()  # noqa: SIM905 - to be read
)
_REFERENCE = re.compile(r"\{\{.*?\}\}|\$\{\w+\}|\$[A-Z_][A-Z0-9_]*\b|\$\(|%\(\w+\)s|\[redacted\]|<encrypted>|\*{3,}|…")
_VERDICT = re.compile(r"PASS: +\S+ +\S")
"""The word of a verdict before a sentence; `PASS: word` alone is a password's."""
_TAG = re.compile(r"(?:![\w!-]*|&\w+)[ \t]+")
_QUOTED = re.compile(
    r"""(?P<escaped>\\{1,9}["'])(?:(?!(?P=escaped)).)*(?P=escaped)|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.|'')*'""",
    re.DOTALL,
)
_NEXT_PAIR = re.compile(r"""[,;&|)\]}]+[ \t]*(?:\\*["'])?[A-Za-z_][\w.-]*(?:\\*["'])?[ \t]*[:=]|\\{1,9}["']|</""")
_TRAILING = ",;:.)]}>|&"
_PAIR = re.compile(
    rf"""{_NAME}[0-9]{{0,3}}(?:\\*["'])?\]?(?P<sep>[ \t]*(?:=>|:=|==?|:)[ \t]*|>(?=[^<\s]*</)|\((?=["']))""",
    re.IGNORECASE,
)
_OPTION = re.compile(
    rf"""(?<![\w-])--[\w-]*?{_NAME}(?P<sep>["']?[ \t]*,?[ \t]+|["'],)(?=\S)""",
    re.IGNORECASE,
)
_IS_OPTION = re.compile(rf"--?[\w-]*?{_NAME}", re.IGNORECASE)
_BLOCK = re.compile(r"[|>][+-]?\d?[ \t]*\n(?P<indent>[ \t]+)[^\n]*(?:\n(?:(?P=indent)[^\n]*|[ \t]*(?=\n)))*")
_ANYWHERE: tuple[re.Pattern[str], ...] = (
    re.compile(
        r"""(?i)x-(?:auth|subject|service|storage|vault|amz-security)-token\\*["']?[ \t]*[:=,][ \t]*\\*["']?(?P<v>[^\s"',\\]+)"""
    ),
    re.compile(
        r"""(?i)authorization\\*["']?[ \t]*[:=,][ \t]*\\*["']?(?:basic|bearer|digest|negotiate|token|apikey|aws4\S*)[ \t]+(?P<v>[^\s"'\\][^\n"'\\]*)"""
    ),
    re.compile(r"""(?i)\bbearer[ \t]+(?P<v>(?=[^\s"']*\d)[A-Za-z0-9._~+/-]{12,}=*)"""),
    re.compile(r"""(?i)\b(?:set-)?cookie:[ \t]*(?P<v>[^\n"']+)"""),
    re.compile(r"(?P<v>gAAAAA[A-Za-z0-9_\-]{20,}={0,2})"),
    re.compile(r"(?P<v>\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*)"),
    re.compile(r"""://[^\s/@:?#"']*:(?P<v>[^\s/?#"']*)@"""),
    re.compile(
        r"""(?i)\bidentified[ \t]+(?:with[ \t]+\S+[ \t]+)?(?:by|as)[ \t]+(?:password[ \t]+)?(?P<v>'(?:[^'\\\n]|\\.|'')*'|"[^"\n]*")"""
    ),
    re.compile(r"""(?:mysql|mariadb)[\w-]*[ \t](?:[^\n|;]{0,200}?[ \t])?-p(?P<v>[^\s"']+|'[^'\n]*'|"[^"\n]*")"""),
    re.compile(r"""sshpass[ \t]+-p[ \t]*(?P<v>'[^'\n]*'|"[^"\n]*"|\S+)"""),
    re.compile(r"""curl[ \t](?:[^\n|;]{0,400}?[ \t])?(?:-u|--user)[ \t=]*["']?[^\s:"']*:(?P<v>[^\s"']+)"""),
)
_BASIC = re.compile(r"(?i)\bbasic[ \t]+(?P<v>[A-Za-z0-9+/_-]{6,}={0,2})")
_PEM = re.compile(
    r"-----BEGIN (?P<kind>(?!(?:[A-Z0-9 ]* )?(?:CERTIFICATE|PUBLIC KEY|CERTIFICATE REQUEST|X509 CRL)-----)[A-Z0-9 ]+)-----"
    r"(?P<v>.*?)(?:-----END (?P=kind)-----|\Z)",
    re.DOTALL,
)
_HINTS = (
    "pass", "pwd", "secret", "token", "_key", "-key", " key", "apikey", "://", "gaaaaa", "auth", "bearer", "basic ", "cookie", "credential",
    "-----begin", "eyj", "identified", "accesskey", "privatekey", "secretkey", "mysql", "mariadb", "curl ", "psk", "authkey",
)  # fmt: skip


def redact_text(text: str) -> str:
    """Return the text without secrets."""
    spans = hidden_spans(text)
    if not spans:
        return text
    parts, done = [], 0
    for begin, end in spans:
        parts += [text[done:begin], HIDDEN]
        done = end
    return "".join([*parts, text[done:]])


def hidden_spans(text: str) -> list[Span]:
    """Return what `redact_text` hides of a text, as (begin, end) of characters, in order and apart from each other."""
    found = [*_values_in(text), *_encoded_in(text)]
    low = text.lower()
    if any(hint in low for hint in _HINTS):
        found += _shapes_in(text)
    merged: list[Span] = []
    for begin, end in sorted(found):
        if merged and begin < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif end > begin:
            merged.append((begin, end))
    return [span for span in merged if text[span[0] : span[1]] != HIDDEN]


def _shapes_in(text: str) -> Iterator[Span]:
    for shape in (*_ANYWHERE, _PEM):
        for hit in shape.finditer(text):
            if not _REFERENCE.fullmatch(text, *hit.span("v")):
                yield hit.span("v")
    for hit in _BASIC.finditer(text):
        if ":" in _decoded(hit["v"].rstrip("=").replace("-", "+").replace("_", "/")):
            yield hit.span("v")
    for shape in (_PAIR, _OPTION):
        at = 0
        while found := shape.search(text, at):
            begin, end = _value_at(text, found.end(), found["sep"], is_option=shape is _OPTION)
            at = max(end, found.end())
            if end > begin and _is_a_secret(text, begin, end, found):
                yield begin, end


def _value_at(text: str, at: int, separator: str, *, is_option: bool) -> Span:
    """Return where the value is that begins at `at`: quoted in any way, a block of YAML, or up to what follows it."""
    if tag := _TAG.match(text, at):
        at = tag.end()
    if ":" in separator and (block := _BLOCK.match(text, at)):
        return block.start("indent"), block.end()
    end = at
    while end < len(text):
        if quoted := _QUOTED.match(text, end):
            end = quoted.end()
            continue
        if (
            text[end] in "\"'"
        ):  # a quote that is not closed: the text was cut there, or it closes what was opened before
            if end > at:
                break
            line = text.find("\n", end)
            return at, line if line >= 0 else len(text)
        if text[end].isspace() or (_NEXT_PAIR.match(text, end) and end > at) or (text[end] == "<" and separator == ">"):
            break
        end += 1
    value = text[at:end]
    if not is_option and not value.endswith(("'", '"')):
        end = at + len(value.rstrip(_TRAILING))
    return at, end


def _is_a_secret(text: str, begin: int, end: int, found: re.Match[str]) -> bool:
    value = text[begin:end]
    bare = value.strip("\\\"'")
    if not bare or _REFERENCE.fullmatch(bare) or bare == HIDDEN or bare.startswith(("{{", "${", "$(")):
        return False
    if value[0] in "\"'\\":
        return True
    if value[0] in "[{(<`" or bare.lower().strip("().,!?`") in _SAID:
        return False
    name = found.group().lower()
    begins_a_sentence = _VERDICT.match(text, found.start()) and not text[: found.start()][-1:].strip()
    if begins_a_sentence or (name.startswith("pwd") and value[0] in "/~."):  # or it is a directory
        return False
    # Behind `--os-token`, and with a digit, it is a word of a command; in a sentence it would be one of those above.
    spoken = found.re is _OPTION and not name.startswith("--os-") and not any(each.isdigit() for each in bare)
    loose = ":" in found["sep"] or spoken
    if (
        loose
        and any(word in name for word in ("token", "secret", "credential", "cookie", "key"))
        and "password" not in name
    ):
        # "unexpected token: x" is a sentence; "token: 5d41402abc" is a token.
        return len(bare) >= 8 and (not bare.isalpha() or (bare != bare.lower() and bare != bare.title()))
    return not (found.re is _OPTION and bare.startswith("--"))


def without_input(problem: str) -> str:
    """Return what a parser says of its input without the input that it quotes: that may be a password.

    Names of YAML's own tokens stay: `expected <block end>, but found '<scalar>'`.
    """
    quoted = r"""(?P<token>(['"])<[a-z ]+>\2)|(['"])(?:.*\3|.*)"""  # a quote that is not closed reaches to the end
    return re.sub(quoted, lambda found: found["token"] or "'…'", " ".join(problem.split())) or "unreadable"


# --- data --------------------------------------------------------------------------------------------------------------


def redact(value: Any) -> Any:
    """Return a copy of JSON-like data without secrets, by key, by value and by shape."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, dict):
        return {
            redact_text(key) if isinstance(key, str) else key: _redact_below(key, item) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return _redact_list(value)
    return value


def _redact_below(key: Any, item: Any) -> Any:
    if isinstance(key, str):
        if isinstance(item, str | int | float) and not isinstance(item, bool) and is_secret_name(key):
            return HIDDEN if item != "" else item
        if isinstance(item, dict | list | tuple) and _HOLDS_SECRETS.search(key):
            return _hide_leaves(item)
    return redact(item)


def _redact_list(items: list[Any] | tuple[Any, ...]) -> list[Any]:
    """Words of a command follow each other: what comes after `--os-password` is one."""
    found: list[Any] = []
    for item in items:
        before = items[len(found) - 1] if found else None
        follows = isinstance(before, str) and isinstance(item, str) and _IS_OPTION.fullmatch(before)
        found.append(HIDDEN if follows and item and not item.startswith("--") else redact(item))
    return found


def _hide_leaves(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _hide_leaves(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_hide_leaves(item) for item in value]
    return HIDDEN if isinstance(value, str) and value else value


# --- streams -----------------------------------------------------------------------------------------------------------

_PEM_BEGIN = re.compile(_PEM.pattern.partition("(?P<v>")[0])
_PEM_END = re.compile(r"-----END [A-Z0-9 ]+-----")
_PEM_BODY = re.compile(r"[A-Za-z0-9+/]{16,}={0,2}|^[ \t+|>-]*[A-Za-z0-9+/]{2,}={0,2}[ \t]*$")
_PEM_LINES = 400


class Lines:
    """Removes secrets line by line, also from a private key whose lines come one after the other."""

    def __init__(self, clean: Callable[[str], str] = redact_text) -> None:
        self._clean = clean
        self._key_lines = 0

    def cleaned(self, line: str) -> str:
        """Return the next line without secrets."""
        if self._key_lines:
            self._key_lines -= 1
            end = _PEM_END.search(line)
            body, rest = (line[: end.start()], line[end.start() :]) if end else (line, "")
            if end:
                self._key_lines = 0
            return _PEM_BODY.sub(HIDDEN, body) + (self.cleaned(rest) if rest else "")
        if (begin := _PEM_BEGIN.search(line)) and not _PEM_END.search(line, begin.end()):
            self._key_lines = _PEM_LINES
        return self._clean(line)
