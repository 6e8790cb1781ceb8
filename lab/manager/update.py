"""``osism update manager``: the manager's containers at the release that the repository names.

Started on the manager node by ``/usr/local/bin/osism-update-manager``. What becomes effective with it:
the ``osism`` command, the workers, and on ``/interface`` the tags of the new release's images; the
inventory learns of these with the next ``osism sync inventory``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lab import kolla
from lab import layout
from lab.manager import compose
from lab.manager import layers
from lab.manager import setup
from lab.manager.release import UnknownReleaseError
from lab.manager.release import osism_release
from lab.plays.variables import VariableError

if TYPE_CHECKING:
    from collections.abc import Sequence

REPOSITORY = Path("/opt/configuration")


def here(
    node: str,  # noqa: ARG001
    argv: Sequence[str],
    *,
    input: str | None = None,  # noqa: A002
    check: bool = True,
    timeout_s: float = 60,
) -> subprocess.CompletedProcess[str]:
    """:class:`lab.kolla.Run` for a program that already is on the manager node."""
    return subprocess.run(list(argv), input=input or "", capture_output=True, text=True, check=check, timeout=timeout_s)


def update(run: kolla.Run, repository: Path, state: layout.State) -> int:
    """Replace what is on another release; the exit code of ``osism update manager``."""
    try:
        osism = osism_release(setup.configured_version(repository))
        print(f"Updating the manager to OSISM {osism.version} (OpenStack {osism.release.name})", flush=True)
        wanted = layers.configured(repository)
        compose.pull(run, wanted, state)
        replaced = compose.start(run, wanted, state)
        setup.write_known_hosts(run)
    except (UnknownReleaseError, VariableError, kolla.PullError, compose.ManagerError) as error:
        print(f"ERROR! {error}", flush=True)
        return 2
    except subprocess.CalledProcessError as error:
        print(f"ERROR! {' '.join(error.cmd[:4])}: status {error.returncode}: {error.stderr.strip()}", flush=True)
        return 2
    for name, reference in wanted.items():
        print(f"{'changed' if name in replaced else 'ok'}: {name} {reference}", flush=True)
    return 0


def main() -> int:
    """Update this node's manager."""
    return update(here, REPOSITORY, layout.state())


if __name__ == "__main__":
    sys.exit(main())
