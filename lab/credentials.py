"""The lab's secrets: generated once per lab, kept in the state directory (mode 0600), never written down in the code.

The names are those of kolla's passwords.yml. `create` makes what is missing, `load` only reads.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab import layout

if TYPE_CHECKING:
    from collections.abc import Mapping

PASSWORDS: tuple[str, ...] = (
    "database_password",
    "rabbitmq_password",
    "rabbitmq_cluster_cookie",
    "memcache_secret_key",
    "metadata_secret",
    "keepalived_password",
    "haproxy_password",
    "redis_master_password",
    "keystone_admin_password",
    "keystone_database_password",
    "glance_database_password",
    "glance_keystone_password",
    "placement_database_password",
    "placement_keystone_password",
    "neutron_database_password",
    "neutron_keystone_password",
    "nova_database_password",
    "nova_api_database_password",
    "nova_keystone_password",
)
KEYS: tuple[str, ...] = ("nova_ssh_key", "keystone_ssh_key", "operator_ssh_key")
"""SSH key pairs, as `<name>_private` and `<name>_public`."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Passwords and key pairs by kolla's name; certificates as PEM text."""

    passwords: Mapping[str, str]
    ca_certificate: str
    vip_certificate: str
    """Certificate and key of both VIPs, in one PEM as HAProxy wants it."""

    def __getitem__(self, name: str) -> str:
        return self.passwords[name]


def load(state: layout.State) -> Credentials:
    """The secrets of the existing lab. FileNotFoundError before the first `rehearse-lab up`."""
    passwords = json.loads(state.passwords.read_text())
    return Credentials(passwords, (state.pki / "ca.pem").read_text(), (state.pki / "vip.pem").read_text())


def create(state: layout.State) -> Credentials:
    """Generates what is missing: passwords, SSH keys, the CA and the VIP's certificate."""
    state.pki.mkdir(parents=True, exist_ok=True, mode=0o700)
    known: dict[str, str] = json.loads(state.passwords.read_text()) if state.passwords.exists() else {}
    for name in PASSWORDS:
        # VRRP uses the first eight characters of a password; the others have no such limit.
        known.setdefault(name, secrets.token_hex(4 if name == "keepalived_password" else 20))
    for name in KEYS:
        if f"{name}_private" not in known:
            known[f"{name}_private"], known[f"{name}_public"] = _key_pair(state.pki / f"{name}.new", name)
    _write_private(state.passwords, json.dumps(known, indent=1))
    for node in layout.NODES:
        key = state.pki / f"ssh_host_{node.name}"
        if not key.exists():
            private, public = _key_pair(state.pki / "host_key.new", node.name)
            Path(f"{key}.pub").write_text(public)
            _write_private(key, private)
    if not (state.pki / "vip.pem").exists():
        _certificates(state.pki)
    return load(state)


def _write_private(path: Path, text: str) -> None:
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)


def _key_pair(path: Path, comment: str) -> tuple[str, str]:
    public = Path(f"{path}.pub")
    for leftover in (path, public):
        leftover.unlink(missing_ok=True)
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    pair = path.read_text(), public.read_text()
    path.unlink()
    public.unlink()
    return pair


def _certificates(pki: Path) -> None:
    """A CA and one server certificate for both VIPs, by the openssl command; ten years, since labs are thrown away."""
    names = f"DNS:{layout.INTERNAL_NAME},DNS:{layout.EXTERNAL_NAME},IP:{layout.INTERNAL_VIP},IP:{layout.EXTERNAL_VIP}"
    ca, key, request, extensions = pki / "ca.pem", pki / "ca-key.pem", pki / "vip.csr", pki / "vip.ext"
    _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650",
             "-subj", "/O=rehearse lab/CN=lab CA", "-keyout", str(key), "-out", str(ca))  # fmt: skip
    _openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={layout.INTERNAL_NAME}",
             "-keyout", str(pki / "vip-key.pem"), "-out", str(request))  # fmt: skip
    extensions.write_text(f"subjectAltName={names}\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n")
    _openssl("x509", "-req", "-in", str(request), "-CA", str(ca), "-CAkey", str(key), "-CAcreateserial", "-days", "3650",
             "-extfile", str(extensions), "-out", str(pki / "vip-cert.pem"))  # fmt: skip
    _write_private(pki / "vip.pem", (pki / "vip-cert.pem").read_text() + (pki / "vip-key.pem").read_text())


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
