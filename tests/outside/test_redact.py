"""Secrets are gone before anything is written, and nothing else is."""

from __future__ import annotations

import base64
import contextlib
import json
import shlex
import time

import pytest
import yaml
from hypothesis import example
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.outside import redact as module
from rehearsal.outside.plaintext import for_terminal
from rehearsal.outside.redact import HIDDEN
from rehearsal.outside.redact import redact
from rehearsal.outside.redact import redact_text
from rehearsal.outside.redact import remember
from rehearsal.outside.redact import without_input
from rehearsal.runner.output import Output


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_remembered", set())


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("X-Auth-Token: gAAAAABnQ0-short", "gAAAAABnQ0-short"),
        ("curl -H 'x-subject-token: abcdef0123456789'", "abcdef0123456789"),
        ("got gAAAAABmZ0aXJzdF90b2tlbl9vZl90aGVfZGF5 from keystone", "gAAAAABmZ0aXJzdF90b2tlbl9vZl90aGVfZGF5"),
        ("mysql+pymysql://nova:s3cr3t@10.0.0.1/nova", "s3cr3t"),
        ("redis://:s3cr3t@10.0.0.1", "s3cr3t"),
        ("rabbit://openstack:one1@h1:5672,openstack:two2@h2:5672//", "one1"),
        ("rabbit://openstack:one1@h1:5672,openstack:two2@h2:5672//", "two2"),
        ("database password=hunter22, retrying", "hunter22"),
        ('{"password": "correct horse"}', "horse"),
        ('"body": "{\\"password\\": \\"correct horse\\"}"', "horse"),
        ("Authorization: Bearer abc", "abc"),
        ("Authorization: Basic YWRtaW46aHVudGVyMg==", "YWRtaW46aHVudGVyMg"),
        ("sent Basic YWRtaW46aHVudGVyMg==", "YWRtaW46aHVudGVyMg"),
        ("sent bearer 5d41402abc4b2a76b9719d911017c592", "5d41402abc4b2a76b9719d911017c592"),
        ("secret_key=abc123", "abc123"),
        ("token=abc123", "abc123"),
        ("--os-password hunter2 server list", "hunter2"),
        ("--os-password 'hunter 2' server list", "hunter 2"),
        ("['openstack', '--os-password', 'hunter 2']", "hunter 2"),
        ("openstack --os-token abcdefgh server list", "abcdefgh"),
        ("tool --token abc123 --verbose", "abc123"),
        ("curl -u admin:foobar http://x", "foobar"),
        ("mysql -pfoobar nova", "foobar"),
        ("password: 12345678", "12345678"),
        ('"password": 12345678', "12345678"),
        ("password: 'it''s'", "it''s"),
        ("admin_password: |\n  line-one\n  line-two\nnext: 1", "line-two"),
        ("OS_PASSWORD=foo", "foo"),
        ("<password>foo</password>", "foo"),
        ("CREATE USER x IDENTIFIED BY 'foo bar'", "foo bar"),
        ("mysql -uroot -pfoobar nova", "foobar"),
        ("Set-Cookie: sessionid=abc", "abc"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEabc\nxyz\n-----END RSA PRIVATE KEY-----", "MIIEabc"),
        ('"key": "-----BEGIN PRIVATE KEY-----\\nMIIEabc\\n-----END PRIVATE KEY-----\\n"', "MIIEabc"),
    ],
)
def test_shapes_of_secrets_vanish(text: str, secret: str) -> None:
    """Tokens, passwords and keys are recognised wherever they stand."""
    assert secret not in redact_text(text)
    assert HIDDEN in redact_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "Access denied for user 'nova'@'10.0.0.1' (using password: YES)",
        "Token: expired",
        "syntax error near unexpected token: `('",
        "the --password option is required",
        "--os-token is required; --token authenticates or --os-secret --debug",
        "basic authentication failed for user admin",
        'password: "{{ keystone_admin_password }}"',
        "token_expiry=3600 password_file=/etc/x PWD=/root",
        "http://10.0.0.1:5000/v3?mail=a@b",
        "bypass: no; compass=3; monkey: foo; passwords: 3; key_name: rehearse",
        "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
        "TASK [keystone : Copying over keystone.conf] changed: [node-1] => (item={'key': 'keystone', 'value': 'x'})",
        "2026-11-29T03:44:00.123Z 12345678 sha256:0123456789abcdef0123456789abcdef",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    """What names a secret without holding one, or looks a little like one, is not touched."""
    remember("admin", "nova", "password", "123", "openstack", "keystone")
    assert text == redact_text(text)


letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
secrets = st.builds(
    lambda head, tail: head + "9" + tail,
    st.text(letters, min_size=4, max_size=12),
    st.text(letters + "!#$%*+,-./:=?@[]^_{|}~&;()", min_size=4, max_size=24),
)
names = st.sampled_from(
    (
        "password",
        "admin_password",
        "DB_PASSWD",
        "secret_key",
        "keystone_token",
        "api-key",
        "passphrase",
        "client_secret",
    )
)


def _spoken(secret: str, name: str) -> dict[str, str]:
    pair = base64.b64encode(f"admin:{secret}".encode()).decode()
    return {
        "json": json.dumps({name: secret, "user": "nova"}),
        "json in json": json.dumps({"body": json.dumps({name: secret, "user": "nova"})}),
        "python": repr({name: secret, "user": "nova"}),
        "yaml": yaml.safe_dump({name: secret, "user": "nova"}),
        "shell": f"export {name.replace('-', '_')}={shlex.quote(secret)}; true",
        "option": f"openstack --os-{name} {shlex.quote(secret)} server list",
        "option=": f"openstack --os-{name}={shlex.quote(secret)} server list",
        "list": repr(["openstack", f"--os-{name}", secret, "server"]),
        "basic": f"Authorization: Basic {pair}",
        "header": f"{{'X-Auth-Token': '{secret.replace(chr(39), '')}', 'Accept': '*/*'}}",
        "bearer": f"curl -H 'Authorization: Bearer {secret}' http://x",
    }


@given(secrets, names)
@example("abc9'd\"e\\f", "password")
def test_no_secret_survives_in_any_spelling(secret: str, name: str) -> None:
    """By its shape alone: nobody told the value before."""
    for carrier, text in _spoken(secret, name).items():
        assert secret not in redact_text(text), carrier
        assert secret not in json.dumps(redact({"argv": shlex.split(text)})) if carrier.startswith("option") else True


@given(secrets, st.text(max_size=20), st.text(max_size=20))
def test_a_remembered_secret_vanishes_everywhere(secret: str, before: str, after: str) -> None:
    """A secret that was read from the configuration is removed from every text, also out of base64."""
    module._remembered.clear()
    remember(secret)
    assert secret not in redact_text(before + secret + after)
    for user in ("admin", "a", "nova-user"):
        encoded = base64.b64encode(f"{user}:{secret}".encode()).decode()
        assert encoded.rstrip("=") not in redact_text(f"{before} {encoded} {after}")


words = st.lists(
    st.text(letters + "-_./[]()<>{}'é", min_size=1, max_size=14).filter(
        lambda word: not any(hint in word.lower() for hint in module._HINTS)
    ),
    max_size=12,
).map(" ".join)


@given(words, st.lists(secrets, max_size=5))
def test_generated_ordinary_text_stays(text: str, held: list[str]) -> None:
    """Words, paths, numbers without a secret and without the name of one come through unchanged."""
    module._remembered.clear()
    remember(*held, "password", "admin", "12", "yes")
    if not any(secret in text for secret in held):
        assert text == redact_text(text)


@given(st.from_regex(r"[0-9]{6,12}", fullmatch=True), st.from_regex(r"[0-9]{1,6}", fullmatch=True))
def test_a_password_of_digits_is_hidden_as_a_number_and_not_within_another(secret: str, more: str) -> None:
    """Times and counters are full of digits."""
    module._remembered.clear()
    remember(secret)
    assert secret not in redact_text(f"login with {secret}, again")
    assert f"x{secret}{more}" == redact_text(f"x{secret}{more}")


def test_keys_that_name_secrets_hide_their_values() -> None:
    """Structured data keeps its shape; only the secret values go."""
    data = {
        "auth": {"username": "admin", "password": "x", "passwords": 3},
        "token": "t",
        "list": [{"secret": "s"}],
        "environment": {"VAULT_PASS": "v", "OS_PASSWORD": 12345678, "FORKS": "10"},
        "argv": ["rehearse", "run", "--set", "api_key=abc", "--os-password", "hunter2"],
        "passwords": ["a", {"b": "c"}],
        "operator_key": "/opt/id_rsa",
    }
    assert redact(data) == {
        "auth": {"username": "admin", "password": HIDDEN, "passwords": 3},
        "token": HIDDEN,
        "list": [{"secret": HIDDEN}],
        "environment": {"VAULT_PASS": HIDDEN, "OS_PASSWORD": HIDDEN, "FORKS": "10"},
        "argv": ["rehearse", "run", "--set", f"api_key={HIDDEN}", "--os-password", HIDDEN],
        "passwords": [HIDDEN, {"b": HIDDEN}],
        "operator_key": "/opt/id_rsa",
    }


@given(st.text(letters, min_size=6, max_size=20))
@example("it's")
def test_what_yaml_quotes_of_its_input_is_not_repeated(secret: str) -> None:
    """PyYAML's messages hold what it did not understand: an alias, a tag, a number."""
    for text in (f"password: *{secret}", f"password: !{secret} x", f'password: "\\{secret}"', f"a: 'x\nb: {secret}'c"):
        with contextlib.suppress(yaml.MarkedYAMLError):
            yaml.safe_load(text)
            continue
        with pytest.raises(yaml.MarkedYAMLError) as caught:
            yaml.safe_load(text)
        assert secret not in without_input(str(caught.value.problem))
    assert "expected <block end>, but found '<scalar>'" == without_input("expected <block end>, but found '<scalar>'")


@given(st.data(), secrets)
def test_where_output_is_cut_makes_no_difference(data: st.DataObject, secret: str) -> None:
    """A secret, a character, a sequence or a line that comes in two pieces is still one."""
    module._remembered.clear()
    remember(secret)
    text = f"é one {secret}\r\ntwo\rpassword: {secret}x\n\x1b]52;c;{secret}\x07three\n".encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    lines: list[str] = []
    output = Output(lines.append)
    for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        output.feed(text[begin:end])
    output.close()
    assert [f"é one {HIDDEN}", "two", f"password: {HIDDEN}", "three"] == lines


@pytest.mark.parametrize("at", [*range(57300, 57400, 9), *range(65500, 65570, 7)])
def test_a_line_without_an_end_is_not_cut_within_a_secret(at: int) -> None:
    """Memory is bounded, and a password that lies where the line is cut is hidden all the same."""
    remember("Xq7-not-a-real-secret")
    lines: list[str] = []
    output = Output(lines.append)
    whole = ("x" * at + "Xq7-not-a-real-secret" + "y" * 100_000).encode()
    for begin in range(0, len(whole), 10_000):
        output.feed(whole[begin : begin + 10_000])
    output.close()
    assert "Xq7-not-a-real-secret" not in "".join(lines)
    assert len(whole) - 21 + len(HIDDEN) == len("".join(lines))
    assert max(map(len, lines)) <= 65536 + len(HIDDEN)


def test_a_private_key_that_comes_line_by_line_is_hidden() -> None:
    """A log is cleaned line by line; a key has many."""
    lines: list[str] = []
    output = Output(lines.append)
    output.feed(
        b"key: |\n  -----BEGIN OPENSSH PRIVATE KEY-----\n  b3BlbnNzaC1rZXktdjEAAAAABG5vbmU\n  AAAEAbc=\n"
        b"  -----END OPENSSH PRIVATE KEY-----\nTASK [nova : restart]\n"
    )
    assert "b3Blb" not in "".join(lines)
    assert "AAAEAbc" not in "".join(lines)
    assert "TASK [nova : restart]" == lines[-1]


@pytest.mark.parametrize(
    "text",
    [
        "password=" * 20_000,
        "://a:" * 20_000,
        '"password": "' * 10_000,
        "-----BEGIN A PRIVATE KEY-----" * 3_000,
        "password: |\n" * 8_000,
        "password=" + "\\" * 50_000 + "x",
        "password='" + "'" * 50_000,
        "token " * 20_000,
        "password" + " " * 100_000 + "x",
    ],
    ids=lambda text: text[:12].strip(),
)
def test_no_text_makes_redaction_slow(text: str) -> None:
    """What a step prints is up to the step: 100 kB of anything take well under a second on an idle machine."""
    began = time.process_time()
    redact_text(text)
    assert time.process_time() - began < 3


def test_ordinary_lines_cost_little() -> None:
    """A long log of a deployment, beside 300 secrets of a secrets.yml."""
    remember(*(f"aZ{number}-kdkdk-{number * number}QQ" for number in range(300)))
    line = "TASK [nova : Copying over config.json files for services] changed: [node-1] => (item=/etc/kolla/nova-api)"
    began = time.process_time()
    for _ in range(2_000):
        redact_text(line)
    assert (time.process_time() - began) / 2_000 < 0.001


def test_values_are_known_in_the_form_that_the_terminal_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret with a control character is the same secret after the character was spelled out."""
    remember("abc\x00defghi")
    assert HIDDEN == redact_text(for_terminal("abc\x00defghi"))


def test_a_verdict_is_no_password():
    """`PASS:` before a sentence is a verdict; before a single word, or at the end of a name, it names a secret."""
    for sentence in ("PASS: All 27 steps succeeded.", "calibration: PASS: 8 of 8 known outages lie within bounds"):
        assert sentence == redact_text(sentence)
    for secret in ("PASS: hunter2", "DB_PASS: hunter2 # note", "pass: hunter2 # note", "PASS: hunter2\nnext"):
        assert "hunter2" not in redact_text(secret)


@pytest.mark.parametrize("name", ["fernet key", "API key", "Secret Key", "private-key", "access_key"])
def test_the_name_of_a_key_may_be_two_words(name):
    """As people write it in a log; a sentence about a key stays as it is."""
    assert "Xq7notreal9" not in redact_text(f"{name}: Xq7notreal9")
    assert f"the {name} was renewed" == redact_text(f"the {name} was renewed")
