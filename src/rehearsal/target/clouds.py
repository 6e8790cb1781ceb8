"""clouds.yaml and secure.yaml: which cloud, where its passwords lie, and whether openstacksdk can use them.

The passwords themselves leave this module only to be made unreadable in everything that is written (`target.secrets`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.target.model import Problem
from rehearsal.target.variables import VAULT_HEADER
from rehearsal.target.variables import Encrypted
from rehearsal.target.variables import read_yaml

if TYPE_CHECKING:
    from rehearsal.target.options import Options

_PREFERRED = ("admin", "openstack")


@dataclass(frozen=True, slots=True)
class Cloud:
    """A cloud of clouds.yaml. Empty strings: not found."""

    name: str
    clouds_file: str
    secure_file: str
    cacert: str
    auth_url: str


def _directories(options: Options) -> list[Path]:
    return [
        options.configuration / "environments" / "openstack",
        Path("/opt/openstackclient/data"),  # where OSISM's openstackclient role puts decrypted copies
        Path("/etc/openstack"),
        Path.home() / ".config" / "openstack",
    ]


def _first(directories: list[Path], stem: str) -> Path | None:
    found = [directory / f"{stem}{suffix}" for directory in directories for suffix in (".yaml", ".yml")]
    readable = [path for path in found if _is_plain(path)]
    return next(iter(readable), None) or next((path for path in found if _exists(path)), None)


def _exists(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _is_plain(path: Path) -> bool:
    """Return whether the file is there, readable and not a vault."""
    try:
        with path.open() as file:
            return not file.read(len(VAULT_HEADER)).startswith(VAULT_HEADER)
    except (OSError, UnicodeDecodeError):
        return False


def find_cloud(options: Options, problems: list[Problem]) -> Cloud:
    """Return the cloud to use, and put what is missing or contradicts itself among the problems."""
    clouds_file = options.clouds or _first(_directories(options), "clouds")
    if clouds_file is None or not _exists(clouds_file):
        where = str(clouds_file or options.configuration / "environments" / "openstack" / "clouds.yml")
        problems.append(Problem("clouds.yaml is missing.", where, "Give it with --clouds FILE or in REHEARSE_CLOUDS."))
        return Cloud("", "", "", "", "")
    clouds = read_yaml(clouds_file, problems).get("clouds")
    if not isinstance(clouds, dict) or not clouds:
        problems.append(Problem("It names no clouds.", str(clouds_file), "Add a cloud below `clouds:`."))
        return Cloud("", str(clouds_file), "", "", "")
    name = options.os_cloud or next((word for word in _PREFERRED if word in clouds), "")
    if name not in clouds:
        problems.append(
            Problem(
                f"There is no cloud {name!r}; there are {', '.join(sorted(map(str, clouds)))}."
                if name
                else f"Which cloud is meant? There are {', '.join(sorted(map(str, clouds)))}.",
                str(clouds_file),
                "Name one with --os-cloud or OS_CLOUD.",
            )
        )
        return Cloud("", str(clouds_file), "", "", "")
    entry = clouds[name] if isinstance(clouds[name], dict) else {}
    secure_file, secret_known = _find_secure(options, clouds_file, name, entry, problems)
    auth = entry.get("auth")
    auth_url = str(auth.get("auth_url", "")) if isinstance(auth, dict) else ""
    cacert = str(entry.get("cacert") or "")
    if not auth_url:
        problems.append(Problem(f"Cloud {name} has no auth_url.", str(clouds_file), "Add auth: auth_url."))
    if not secret_known:
        problems.append(
            Problem(
                f"Neither clouds.yaml nor a readable secure.yaml has the password of cloud {name}.",
                str(secure_file or clouds_file),
                "Put a decrypted secure.yaml (mode 0600) beside a copy of clouds.yaml and give --clouds FILE.",
            )
        )
    if cacert and not _exists(Path(cacert)):
        problems.append(
            Problem(f"The CA file {cacert} of cloud {name} is missing.", str(clouds_file), "Correct cacert.")
        )
    return Cloud(name, str(clouds_file), str(secure_file or ""), cacert, auth_url)


def _find_secure(
    options: Options, clouds_file: Path, name: str, entry: dict[str, Any], problems: list[Problem]
) -> tuple[Path | None, bool]:
    if has_secret(entry):
        return None, True
    beside = [clouds_file.parent]
    path = _first(beside if options.clouds else [*beside, *_directories(options)], "secure")
    if path is None:
        return None, False
    clouds = read_yaml(path, problems).get("clouds")
    secure = clouds.get(name) if isinstance(clouds, dict) else None
    return path, has_secret(secure)


def has_secret(entry: Any) -> bool:
    """Return whether a cloud's entry has something to log in with."""
    auth = entry.get("auth") if isinstance(entry, dict) else None
    if not isinstance(auth, dict):
        return False
    secrets = [auth.get(key) for key in ("password", "application_credential_secret", "token")]
    return any(secret and not isinstance(secret, Encrypted) for secret in secrets)
