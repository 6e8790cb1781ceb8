"""The commands on the manager node: ``osism``, ``openstack``, and what updates the manager.

As on OSISM they are thin scripts that go into the containers; only the manager's own update runs on the
node itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab import layout
from lab import nodes

if TYPE_CHECKING:
    from pathlib import Path

_OSISM = """\
#!/usr/bin/env bash
# Runs the osism command in the container osismclient.
if [ "$(id -u)" = 0 ]; then
    echo "WARNING: osism should be used by the operator, not by root." >&2
fi
case "$*" in
    "update manager"*) exec /usr/local/bin/osism-update-manager ;;
esac
options=(-i)
if [ -t 0 ] && [ -t 1 ] && [ -t 2 ]; then options+=(-t); fi
for name in OSISM_APPLY_RETRY OSISM_RETRY; do
    if [ -n "${!name:-}" ]; then options+=(--env "$name=${!name}"); fi
done
exec docker exec "${options[@]}" osismclient osism "$@"
"""

_OPENSTACK = """\
#!/usr/bin/env bash
# Runs the openstack command in the container openstackclient.
options=()
if [ -t 0 ] && [ -t 1 ]; then options+=(-i -t); fi
if [ -n "${OS_CLOUD:-}" ]; then options+=(--env "OS_CLOUD=$OS_CLOUD"); fi
exec docker exec "${options[@]}" openstackclient openstack "$@"
"""


def scripts(state: layout.State) -> dict[str, str]:
    """Text of each command by name."""
    update = f"""\
#!/usr/bin/env bash
# Brings the manager's containers to the release that environments/manager/configuration.yml names.
set -euo pipefail
export {layout.STATE_VARIABLE}={state.root} PYTHONPATH={nodes.REPOSITORY} PYTHONDONTWRITEBYTECODE=1
exec sudo -n -E /usr/bin/env "PYTHONPATH=$PYTHONPATH" "{layout.STATE_VARIABLE}={state.root}" \\
    "$(ls -d {state.venvs}/osism-*/bin/python | head -n 1)" -m lab.manager.update
"""
    return {"osism": _OSISM, "openstack": _OPENSTACK, "osism-update-manager": update}


def install(root: Path, state: layout.State) -> None:
    """Put the commands into the node's ``/usr/local/bin``."""
    directory = root / "usr-local/bin"
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in scripts(state).items():
        path = directory / name
        path.write_text(text)
        path.chmod(0o755)
