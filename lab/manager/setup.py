"""Bring the manager up on its node: repository, secrets, commands, images, containers, first inventory.

Idempotent: a repository that is there stays as it is (an operator may have changed it), containers that
run the wanted image stay, too.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from lab import credentials
from lab import kolla
from lab import layout
from lab import nodes
from lab import releases
from lab.manager import compose
from lab.manager import configuration
from lab.manager import layers
from lab.manager import wrapper
from lab.manager.release import RELEASES
from lab.manager.release import OsismRelease
from lab.manager.release import osism_release

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Mapping
    from pathlib import Path

NODE = layout.MANAGER.name


def up(
    state: layout.State,
    *,
    run: kolla.Run | None = None,
    osism: OsismRelease | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Make the manager complete; the node runs and its Docker answers.

    Raises:
        containers.ManagerError: a container does not come up.
        kolla.PullError: an image is missing in the registry directory.

    """
    run = run or functools.partial(nodes.run, state=state)
    known = credentials.load(state)
    root = state.node_root(NODE)
    written = write_repository(root, osism or RELEASES[releases.DEPLOYED.osism], known)
    say(f"manager: configuration repository {'written' if written else 'kept'}")
    write_secrets(root, known)
    wrapper.install(root, state)
    build_images(state)
    current = osism_release(configured_version(root / "opt/configuration"))
    wanted = layers.references(current) | layers.configured(root / "opt/configuration")
    compose.pull(run, wanted, state)
    replaced = compose.start(run, wanted, state)
    say(f"manager: {', '.join(replaced) if replaced else 'containers'} {'started' if replaced else 'kept'}")
    write_known_hosts(run)
    done = run(NODE, ["docker", "exec", "manager-inventory_reconciler-1", "/run.sh"], timeout_s=60)
    say(f"manager: {done.stdout.strip().splitlines()[0]}")


def build_images(state: layout.State) -> int:
    """Put the manager's images of every release into the registry directory; returns how many changed."""
    return layers.build(state, releases.load_versions(state))


def write_repository(root: Path, osism: OsismRelease, known: credentials.Credentials) -> bool:
    """Write ``/opt/configuration`` unless it is there; true when it was written."""
    target = root / "opt/configuration"
    if (target / ".git").is_dir():
        return False
    shutil.rmtree(target, ignore_errors=True)
    for name, text in configuration.render(osism, _passwords(known), known.ca_certificate).items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if text.startswith("#!"):
            path.chmod(0o755)
    for name in ("environments/.vault_pass", "environments/kolla/secrets.yml", "environments/openstack/secure.yml"):
        (target / name).chmod(0o600)
    _commit(target)
    for path in (target, *target.rglob("*")):
        os.chown(path, layout.OPERATOR_ID, layout.OPERATOR_ID, follow_symlinks=False)
    return True


def _passwords(known: credentials.Credentials) -> Mapping[str, str]:
    return {name: known[name] for name in credentials.PASSWORDS}


def _commit(target: Path) -> None:
    """A configuration repository is a git repository; its first commit is what ``up`` wrote."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(target),
        "GIT_AUTHOR_NAME": layout.OPERATOR,
        "GIT_AUTHOR_EMAIL": f"{layout.OPERATOR}@{layout.DOMAIN}",
        "GIT_COMMITTER_NAME": layout.OPERATOR,
        "GIT_COMMITTER_EMAIL": f"{layout.OPERATOR}@{layout.DOMAIN}",
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    for argv in (
        ["git", "init", "--quiet", "--initial-branch", "main"],
        ["git", "add", "--all"],
        ["git", "commit", "--quiet", "--message", "Configuration of the cloud"],
    ):
        subprocess.run(argv, cwd=target, check=True, env=environment, capture_output=True)


def write_secrets(root: Path, known: credentials.Credentials) -> None:
    """The operator's key where OSISM's containers have it, readable by the operator alone."""
    directory = root / "opt/ansible/secrets"
    directory.mkdir(parents=True, exist_ok=True)
    key = directory / "id_rsa.operator"
    key.unlink(missing_ok=True)
    key.write_text(known["operator_ssh_key_private"])
    key.chmod(0o600)
    (directory / "id_rsa.operator.pub").write_text(known["operator_ssh_key_public"])


def write_known_hosts(run: kolla.Run) -> None:
    """``/share/known_hosts``, which OSISM's containers use: the nodes' host keys."""
    text = run(NODE, ["cat", "/etc/ssh/ssh_known_hosts"]).stdout
    run(NODE, ["docker", "exec", "-i", "osismclient", "sh", "-c", "cat > /share/known_hosts"], input=text)


def configured_version(repository: Path) -> str:
    """``manager_version`` of a configuration repository."""
    import yaml  # noqa: PLC0415 - the host side needs it here only

    values = yaml.safe_load((repository / "environments/manager/configuration.yml").read_text())
    return str(values["manager_version"])
