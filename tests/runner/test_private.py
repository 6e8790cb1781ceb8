"""A run keeps what it sees to its operator, and secrets to nobody: whole runs, with everything that they wrote read again."""

from __future__ import annotations

import base64
import os
import stat
import subprocess

import pytest
import yaml

from rehearsal import cli
from rehearsal.cloud import discover
from rehearsal.cloud.secrets import remember_secrets
from rehearsal.outside import redact as redaction
from rehearsal.outside.redact import redact_text
from rehearsal.runner import plansecrets
from tests.made.repository import as_arguments
from tests.made.repository import make_repository
from tests.made.small_run import Small

OF_FILE, NUMBER, OF_PLAN, OF_SET, OF_SHELL = (
    "Qv7-of-secrets-yml",
    "8812345678",
    "Wx8-of-the-plan",
    "Yz9-of-the-set",
    "Tb6-of-shell",
)
KEY = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ"
ADMIN = "sesame-open-4711"
SECRETS = (OF_FILE, NUMBER, OF_PLAN, OF_SET, OF_SHELL, KEY, ADMIN, base64.b64encode(f"admin:{ADMIN}".encode()).decode())
TALK = f"""
umask > {{trace}}; touch {{trace}}.file
printf 'token is %s and again %s\\n' "$OS_TOKEN" '{{admin_password}}'
printf '{{"{{"}}"x": "{OF_FILE}"{{"}}"}} {NUMBER} {ADMIN}\\n'
printf 'Authorization: Basic {SECRETS[-1]}\\n' >&2
printf '%s' '{OF_FILE[:7]}'; sleep 0.3; printf '%s\\n' '{OF_FILE[7:]}'
printf -- '-----BEGIN OPENSSH PRIVATE KEY-----\\n{KEY}\\n-----END OPENSSH PRIVATE KEY-----\\n'
printf '\\033]52;c;%s\\007\\033]0;t\\007\\202e shown\\r\\n' "$DB_PASSWORD"
exit $(cat {{trace}}.code 2>/dev/null || echo 0)
""".replace('{"{{"}', "{").replace('{"}}"}', "}")


@pytest.fixture
def small(tmp_path) -> Small:
    small = Small(
        tmp_path,
        {"talk": "true"},
        variables={"admin_password": OF_PLAN, "other": "x"},
    )
    data = yaml.safe_load(small.source.read_text())
    data["steps"][0]["command"] = ["sh", "-c", TALK.replace("{trace}", str(small.trace))]
    data["steps"][0]["environment"] = {"OS_TOKEN": OF_PLAN + "-2", "DB_PASSWORD": OF_PLAN + "-3", "FORKS": "10"}
    small.source.write_text(yaml.safe_dump(data))
    secrets = small.options.configuration / "environments" / "kolla" / "secrets.yml"
    secrets.write_text(f"something: {OF_FILE}\nrabbit: {NUMBER}\nenable: true\nnova_user: nova\n")
    return small


def go(small: Small, *words: str, umask: int = 0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        small.command_line(*words), capture_output=True, text=True, timeout=120, check=False, umask=umask,
        env={**os.environ, "SOME_PASSWORD": OF_SHELL, "COLUMNS": "500"},
    )  # fmt: skip


def newest(small: Small):
    return (small.reports / "latest").resolve()


def test_no_secret_is_in_anything_that_a_run_wrote(small):
    """Journals, logs, reports, plans, results and the terminal; whoever told it, and in whatever spelling."""
    done = go(small, "--set", f"admin_password={OF_SET}")
    assert done.returncode in {0, 1, 2}, done.stderr
    run = newest(small)
    written = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert any(path.name == "talk.1.log" for path in written)
    told = {**written, "stdout": done.stdout.encode(), "stderr": done.stderr.encode()}
    for place, text in told.items():
        for secret in SECRETS:
            assert secret.encode() not in text, place
        if not str(place).endswith((".smp", ".html")):
            assert b"\x1b" not in text, place
    assert b" shown" in told["stdout"]
    assert "FORKS: '10'" in (run / "plan.yml").read_text()


@pytest.mark.parametrize("umask", [0, 0o022, 0o027])
def test_files_are_for_the_operator_alone_and_a_step_keeps_its_umask(small, umask):
    """Directories 0700, files 0600, also those of children; what a step writes for others stays readable for them."""
    go(small, umask=umask)
    run = newest(small)
    assert 0o700 == stat.S_IMODE(run.stat().st_mode)
    loose = {
        str(path.relative_to(run)): oct(stat.S_IMODE(path.lstat().st_mode))
        for path in run.rglob("*")
        if stat.S_IMODE(path.lstat().st_mode) != (0o700 if path.is_dir() else 0o600)
    }
    assert {} == loose
    assert umask == int(small.trace.read_text(), 8)
    assert 0o666 & ~umask == stat.S_IMODE((small.root / "trace.file").stat().st_mode)


def test_a_run_that_goes_on_has_its_secrets_and_a_finished_one_has_not(small):
    """What plan.yml hides is kept beside it until the end: a resumed step gets the true value."""
    code = small.root / "trace.code"
    code.write_text("3")
    assert 0 != go(small, "--set", f"admin_password={OF_SET}").returncode
    run = newest(small)
    kept = run / ".plan-secrets.json"
    assert 0o600 == stat.S_IMODE(kept.stat().st_mode)
    assert OF_SET in kept.read_text()
    assert OF_SET not in (run / "plan.yml").read_text()
    code.write_text(f"0 # {OF_SET}")
    code.write_text("0")
    assert go(small, "--resume", str(run)).returncode in {0, 1, 2}
    assert not kept.exists()
    assert (run / "logs" / "talk.2.log").exists()


def test_a_plan_that_lost_its_secrets_is_not_carried_out(small, capsys):
    """A command is never run with a placeholder instead of its password."""
    (small.root / "trace.code").write_text("3")
    go(small)
    run = newest(small)
    (run / ".plan-secrets.json").unlink()
    assert 64 == cli.main(small.words("--resume", str(run)))
    told = capsys.readouterr().err
    assert "step talk needs a secret" in told
    assert f"{run / 'plan.yml'}" in told


def test_a_looser_directory_is_told(small, capsys):
    """Runs of earlier versions can be entered by others."""
    go(small)
    run = newest(small)
    run.chmod(0o755)
    for words in (["report", str(run)], ["list", "--reports", str(small.reports)]):
        cli.main(words)
        assert f"chmod -R go= {run}" in capsys.readouterr().err
    run.chmod(0o700)
    cli.main(["report", str(run)])
    assert "chmod" not in capsys.readouterr().err


def test_a_plan_without_secrets_is_kept_as_it_is(tmp_path):
    """Nothing is hidden where there is nothing to hide."""
    small = Small(tmp_path, {"one": "true"})
    go(small)
    assert not (newest(small) / ".plan-secrets.json").exists()
    assert [] == plansecrets.values_of(None)


@pytest.mark.parametrize(
    ("name", "text", "secret"),
    [
        (
            "environments/kolla/configuration.yml",
            "a: 1\ndb_password: *Xq7-not-a-real-secret\n",
            "Xq7-not-a-real-secret",
        ),
        ("environments/openstack/secure.yml", "clouds: {admin: {auth: {password: !Xq7-secret x}}}\n", "Xq7-secret"),
        ("environments/kolla/configuration.yml", 'db_password: "abc\\Q9secret"\n', "Q9secret"),
    ],
)
def test_a_mistake_in_a_file_is_told_without_what_stands_there(tmp_path, capsys, name, text, secret):
    """PyYAML quotes what it does not understand; that may be a password without its quotes."""
    options = make_repository(tmp_path, {name: text})
    cli.main(["target", *as_arguments(options)])
    told = capsys.readouterr()
    assert "no valid YAML" in told.err
    assert secret not in told.out + told.err


@pytest.mark.parametrize(
    "text",
    [
        "environment: {OS_PASSWORD: 8812345678}",
        "variables: {password: 8812345678}",
        "command: [x, 8812345678]",
        "x: *Xq7secret",
    ],
)
def test_a_mistake_in_a_plan_is_told_without_its_secrets(tmp_path, capsys, text):
    """A password of digits that is not quoted is a mistake of a plan; it is not repeated."""
    plan = tmp_path / "plan.yml"
    plan.write_text(
        f"name: p\nsteps:\n  - id: a\n    title: a\n    {text}\n" if "var" not in text else f"name: p\n{text}\n"
    )
    assert 64 == cli.main(["plan", "--plan", str(plan), "--check"])
    told = capsys.readouterr().err
    assert "8812345678" not in told
    assert "Xq7secret" not in told
    assert str(plan) in told


def test_a_word_of_set_without_a_value_is_not_repeated(tmp_path, capsys):
    """It may be the password itself."""
    assert 64 == cli.main(["plan", *as_arguments(make_repository(tmp_path)), "--set", "hunter2xyz"])
    assert "hunter2xyz" not in capsys.readouterr().err


def test_values_of_secrets_files_and_numbers_are_remembered(tmp_path, monkeypatch):
    """Every value of a secrets.yml, and of other files what its name gives away; as a number is written and as it is meant."""
    monkeypatch.setattr(redaction, "_remembered", set())
    options = make_repository(
        tmp_path,
        {
            "environments/secrets.yml": "vpn: Kp3-of-environments\nnova_user: nova-service\nflag: yes\n",
            "environments/kolla/configuration.yml": "kolla_internal_vip_address: 127.0.0.9\nmy_password: 0123456789\n",
            "environments/openstack/secure.yml": "clouds: {admin: {auth: {password: 8812345678}}}\n",
        },
    )
    discover(options)
    hidden = redact_text("Kp3-of-environments, 0123456789, 8812345678, nova-service, yes, 127.0.0.9")
    assert "[redacted], [redacted], [redacted], nova-service, yes, 127.0.0.9" == hidden
    remember_secrets("/nowhere", "", str(tmp_path))
