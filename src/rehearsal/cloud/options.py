"""Where to look: the places of an OSISM manager node, each of which an option or the environment can override."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

DEFAULT_CONFIGURATION = Path("/opt/configuration")
DEFAULT_INTERFACE = Path("/interface")


@dataclass(frozen=True, slots=True)
class Options:
    """`online`: ask keystone for the catalogue; without it, endpoints come from kolla's port table.

    `containers`: ask the manager's containers for what the files do not have. `allowed_endpoints`: HOST, HOST:PORT or
    URLs that the token may be sent to although the configuration does not name them.
    """

    configuration: Path = DEFAULT_CONFIGURATION
    interface: Path = DEFAULT_INTERFACE
    clouds: Path | None = None
    secure: Path | None = None
    os_cloud: str = ""
    key: Path | None = None
    online: bool = True
    containers: bool = True
    allowed_endpoints: tuple[str, ...] = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where the target's description lies."""
    group = parser.add_argument_group("target")
    group.add_argument(
        "--configuration",
        metavar="DIR",
        help="configuration repository (default /opt/configuration; REHEARSE_CONFIGURATION)",
    )
    group.add_argument(
        "--interface",
        metavar="DIR",
        help="OSISM's interface directory with versions/ (default /interface; REHEARSE_INTERFACE)",
    )
    group.add_argument("--clouds", metavar="FILE", help="clouds.yaml (default: where OSISM keeps it; REHEARSE_CLOUDS)")
    group.add_argument("--os-cloud", metavar="NAME", help="cloud in clouds.yaml (default admin; OS_CLOUD)")
    group.add_argument("--key", metavar="FILE", help="the operator's SSH key (REHEARSE_KEY)")
    group.add_argument(
        "--files-only",
        action="store_true",
        help="do not query the manager's containers (docker exec) for inventory and versions",
    )
    group.add_argument(
        "--allow-endpoint",
        action="append",
        default=[],
        metavar="HOST[:PORT]",
        dest="allowed_endpoints",
        help="allow tokens to be sent to this endpoint of the catalog, which the configuration does not name; may be "
        "repeated (REHEARSE_ALLOW_ENDPOINTS, separated by spaces)",
    )
    group.add_argument("--offline", action="store_true", help="do not query the cloud's API for its catalog")


def from_arguments(arguments: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> Options:
    """Return the options in force: command line before environment before OSISM's own places."""
    base = from_environment(environ)
    return Options(
        configuration=Path(arguments.configuration).absolute() if arguments.configuration else base.configuration,
        interface=Path(arguments.interface).absolute() if arguments.interface else base.interface,
        clouds=Path(arguments.clouds).absolute() if arguments.clouds else base.clouds,
        secure=base.secure,
        os_cloud=arguments.os_cloud or base.os_cloud,
        key=Path(arguments.key).absolute() if arguments.key else base.key,
        online=base.online and not arguments.offline,
        containers=base.containers and not arguments.files_only,
        allowed_endpoints=(*base.allowed_endpoints, *arguments.allowed_endpoints),
    )


def from_environment(environ: Mapping[str, str] = os.environ) -> Options:
    """Return the options that the environment names."""

    def path(*names: str) -> Path | None:
        value = next((environ[name] for name in names if environ.get(name)), "")
        return Path(value).absolute() if value else None

    return Options(
        configuration=path("REHEARSE_CONFIGURATION") or DEFAULT_CONFIGURATION,
        interface=path("REHEARSE_INTERFACE") or DEFAULT_INTERFACE,
        clouds=path("REHEARSE_CLOUDS", "OS_CLIENT_CONFIG_FILE"),
        secure=path("REHEARSE_SECURE", "OS_CLIENT_SECURE_FILE"),
        os_cloud=environ.get("OS_CLOUD", ""),
        key=path("REHEARSE_KEY"),
        online=environ.get("REHEARSE_OFFLINE", "") == "",
        containers=environ.get("REHEARSE_FILES_ONLY", "") == "",
        allowed_endpoints=tuple(environ.get("REHEARSE_ALLOW_ENDPOINTS", "").split()),
    )


def as_environment(options: Options) -> dict[str, str]:
    """Return the environment that makes another process see the same options."""
    environment = {
        "REHEARSE_CONFIGURATION": str(options.configuration),
        "REHEARSE_INTERFACE": str(options.interface),
    }
    if options.clouds:
        environment["REHEARSE_CLOUDS"] = str(options.clouds)
    if options.secure:
        environment["REHEARSE_SECURE"] = str(options.secure)
    if options.os_cloud:
        environment["OS_CLOUD"] = options.os_cloud
    if options.key:
        environment["REHEARSE_KEY"] = str(options.key)
    if not options.online:
        environment["REHEARSE_OFFLINE"] = "1"
    if not options.containers:
        environment["REHEARSE_FILES_ONLY"] = "1"
    if options.allowed_endpoints:
        environment["REHEARSE_ALLOW_ENDPOINTS"] = " ".join(options.allowed_endpoints)
    return environment
