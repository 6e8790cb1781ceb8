"""clouds.yaml and secure.yaml: which cloud, where its passwords lie, and whether openstacksdk can use them.

The passwords themselves leave this module only to be made unreadable in everything that is written (`cloud.secrets`).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import yaml

from rehearsal.cloud import files
from rehearsal.cloud import trusted
from rehearsal.cloud.files import VAULT_HEADER
from rehearsal.cloud.target import Problem
from rehearsal.cloud.variables import Encrypted
from rehearsal.cloud.variables import read_yaml

if TYPE_CHECKING:
    from rehearsal.cloud.options import Options

_PREFERRED = ("admin", "openstack")


@dataclass(frozen=True, slots=True)
class Cloud:
    """A cloud of clouds.yaml. Empty strings: not found."""

    name: str
    clouds_file: str
    secure_file: str
    cacert: str
    auth_url: str
    region: str = ""


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
    return files.is_file(path)


def _is_plain(path: Path) -> bool:
    """Return whether the file is there, readable and not a vault."""
    text = files.peek(path)
    return text is not None and not files.without_mark(text).startswith(VAULT_HEADER)


def find_cloud(options: Options, problems: list[Problem]) -> Cloud:
    """Return the cloud to use, and put what is missing or contradicts itself among the problems."""
    clouds_file = options.clouds or _first(_directories(options), "clouds")
    clouds = _clouds_of(clouds_file, options, problems)
    if clouds_file is None or not clouds:
        return Cloud("", str(clouds_file or "") if clouds_file and _exists(clouds_file) else "", "", "", "")
    name = options.os_cloud or next((word for word in _PREFERRED if word in clouds), "")
    if name not in clouds:
        problems.append(
            Problem(
                f"There is no cloud {name!r}; there are {', '.join(sorted(clouds))}."
                if name
                else f"Which cloud is meant? There are {', '.join(sorted(clouds))}.",
                str(clouds_file),
                "Name one with --os-cloud or OS_CLOUD.",
            )
        )
        return Cloud("", str(clouds_file), "", "", "")
    entry = clouds[name] if isinstance(clouds[name], dict) else {}
    return _checked(Cloud(name, str(clouds_file), "", "", ""), entry, options, problems)


def _clouds_of(path: Path | None, options: Options, problems: list[Problem]) -> dict[str, Any]:
    """Return the clouds of a clouds.yaml by name; empty, and a problem, if there are none."""
    before = len(problems)
    data = read_yaml(path, problems, vault="error") if path else {}
    if any(problem.severity == "error" for problem in problems[before:]):
        return {}
    if path is None:
        files.entries(options.configuration / "environments" / "openstack", problems)
        if len(problems) > before:
            return {}
    if path is None or not _exists(path):
        where = str(path or options.configuration / "environments" / "openstack" / "clouds.yml")
        problems.append(Problem("clouds.yaml is missing.", where, "Give it with --clouds FILE or in REHEARSE_CLOUDS."))
        return {}
    clouds = data.get("clouds")
    if not isinstance(clouds, dict) or not clouds:
        problems.append(Problem("It names no clouds.", str(path), "Add a cloud below `clouds:`."))
        return {}
    return {str(key): entry for key, entry in clouds.items()}


def _checked(cloud: Cloud, entry: dict[str, Any], options: Options, problems: list[Problem]) -> Cloud:
    """Return the cloud with what openstacksdk makes of its files, and put what is missing among the problems."""
    name, file = cloud.name, cloud.clouds_file
    before = len(problems)
    secure_file, secret_known = _find_secure(options, Path(file), name, entry, problems)
    cloud = replace(cloud, secure_file=str(secure_file or "") if secret_known else "")
    settings = _settings(cloud, problems if secret_known else [])
    if settings is None and secret_known:
        return cloud
    settings = entry if settings is None else settings
    auth = settings.get("auth")
    auth_url = str(auth.get("auth_url") or "") if isinstance(auth, dict) else ""
    cacert = str(settings.get("cacert") or "")
    _check_regions(cloud, entry, settings, problems)
    if not auth_url:
        problems.append(Problem(f"Cloud {name} has no auth_url.", file, "Add auth: auth_url."))
    told = any(problem.severity == "error" for problem in problems[before:])  # why secure.yaml has none to give
    if not secret_known and not told and not has_secret(settings):
        problems.append(
            Problem(
                f"Neither clouds.yaml nor a readable secure.yaml has the password of cloud {name}.",
                str(secure_file or file),
                "Put a decrypted secure.yaml (mode 0600) beside a copy of clouds.yaml and give --clouds FILE.",
            )
        )
    if cacert and not _exists(Path(cacert)):
        problems.append(Problem(f"The CA file {cacert} of cloud {name} is missing.", file, "Correct cacert."))
    region = str(settings.get("region_name") or "")
    return replace(cloud, secure_file=str(secure_file or ""), cacert=cacert, auth_url=auth_url, region=region)


def region_of(cloud: Cloud, *, validate: bool = False) -> Any:
    """Return the cloud as openstacksdk reads it from exactly these files: profiles, secure.yaml, the first region.

    Raises whatever openstacksdk raises for files that it cannot use.
    """
    from openstack.config import OpenStackConfig  # noqa: PLC0415 - slow to import

    from rehearsal.cloud import sessions  # noqa: PLC0415

    config = OpenStackConfig(
        config_files=[cloud.clouds_file],
        secure_files=[cloud.secure_file] if cloud.secure_file else [],
        load_envvars=False,
        session_constructor=sessions.only_to(trusted.exactly(cloud.auth_url).refusal),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it will change in itself is no part of our output
        return config.get_one(cloud=cloud.name, validate=validate)


def _settings(cloud: Cloud, problems: list[Problem]) -> dict[str, Any] | None:
    """Return the cloud's settings as openstacksdk puts them together; None, and a problem, if it cannot."""
    from openstack import exceptions  # noqa: PLC0415

    try:
        settings = region_of(cloud).config
    except (exceptions.SDKException, yaml.YAMLError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        # What PyYAML says quotes the file, and there are passwords in it.
        said = "" if isinstance(error, yaml.YAMLError) else f": {' '.join(str(error).split())[:200]}"
        problems.append(
            Problem(
                f"openstacksdk cannot use cloud {cloud.name}{said}.",
                cloud.clouds_file,
                "Give a clouds.yaml (and secure.yaml beside it) without !vault and other tags: --clouds FILE.",
            )
        )
        return None
    return dict(settings) if isinstance(settings, dict) else {}


def _check_regions(cloud: Cloud, entry: dict[str, Any], settings: dict[str, Any], problems: list[Problem]) -> None:
    regions = entry.get("regions")
    names = (
        [str(each.get("name") if isinstance(each, dict) else each) for each in regions or ()]
        if isinstance(regions, list)
        else []
    )
    if len(names) > 1:
        problems.append(
            Problem(
                f"Cloud {cloud.name} has the regions {', '.join(names)}; {settings.get('region_name') or names[0]} is rehearsed.",
                cloud.clouds_file,
                "For another one, give a clouds.yaml whose cloud has that region_name alone: --clouds FILE.",
                severity="warning",
            )
        )


def _find_secure(
    options: Options, clouds_file: Path, name: str, entry: dict[str, Any], problems: list[Problem]
) -> tuple[Path | None, bool]:
    """Return the secure.yaml that belongs to a cloud and whether its secret is known. It comes over clouds.yaml."""
    known = has_secret(entry)
    beside = [clouds_file.parent]
    path = options.secure or _first(beside if options.clouds else [*beside, *_directories(options)], "secure")
    if path is None or (known and not _is_plain(path)):
        return None, known
    clouds = read_yaml(path, problems).get("clouds")
    found = {str(key): item for key, item in clouds.items()} if isinstance(clouds, dict) else {}
    if known and not isinstance(found.get(name), dict):
        return None, True
    return path, known or has_secret(found.get(name))


def has_secret(entry: Any) -> bool:
    """Return whether a cloud's entry has something to log in with."""
    auth = entry.get("auth") if isinstance(entry, dict) else None
    if not isinstance(auth, dict):
        return False
    secrets = [auth.get(key) for key in ("password", "application_credential_secret", "token")]
    return any(secret and not isinstance(secret, Encrypted) for secret in secrets)
