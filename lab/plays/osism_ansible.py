"""The program behind ``/run-generic.sh`` and ``/run-infrastructure.sh`` of the osism-ansible container.

``facts`` and ``ping`` are played by Ansible itself, over SSH, with the operator's key; the facts go into
the manager's Redis, where ``osism get facts`` and every play find them. As on OSISM a host that is
unreachable does not make ``facts`` fail.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from lab import layout
from lab.plays import inventory as inventories
from lab.plays import remote
from lab.plays import variables
from lab.plays.kolla_ansible import CONFIGURATION
from lab.plays.kolla_ansible import INVENTORY
from lab.plays.kolla_ansible import LAST_WORDS_S
from lab.plays.play import ERROR
from lab.plays.play import Play
from lab.plays.play import PlayEnded
from lab.plays.remote import KEY_FILE
from lab.plays.remote import KNOWN_HOSTS
from lab.plays.remote import OPERATOR

PLAYBOOKS = Path("/ansible/playbooks")

#: Playbooks as OSISM's image has them: ``<environment>/<role>.yml``.
PLAYBOOK_TEXTS = {
    "generic/facts.yml": """\
---
- name: Gather facts for all hosts
  hosts: all
  gather_facts: false
  ignore_unreachable: true
  tasks:
    - name: Gathers facts about hosts
      ansible.builtin.setup:
""",
    "generic/ping.yml": """\
---
- name: Ping all hosts
  hosts: all
  gather_facts: false
  tasks:
    - name: Ping host
      ansible.builtin.ping:
""",
}
_SAME = {"gather-facts": "facts"}


def main(arguments: list[str] | None = None) -> int:
    """Apply one role of an environment; the exit code is Ansible's."""
    words = sys.argv[1:] if arguments is None else arguments
    environment = os.environ.get("ENVIRONMENT", "generic")
    try:
        return _apply(environment, words)
    finally:
        sys.stdout.flush()
        time.sleep(LAST_WORDS_S)


def _apply(environment: str, words: list[str]) -> int:
    if not words:
        print("usage: run-<environment>.sh ROLE [ansible arguments]", flush=True)
        return ERROR
    role, *rest = words
    if (CONFIGURATION / "environments" / ".lock").exists():
        print("The configuration repository is locked.", flush=True)
        return ERROR
    if (environment, role) == ("infrastructure", "openstackclient"):
        return _openstackclient()
    playbook = PLAYBOOKS / environment / f"{_SAME.get(role, role)}.yml"
    if not playbook.is_file():
        print(f"ERROR: service {role} in environment {environment} not available", flush=True)
        return ERROR
    with tempfile.TemporaryDirectory(prefix="facts-") as cache:
        code = subprocess.run(
            ["ansible-playbook", "-i", str(INVENTORY / "hosts.yml"), str(playbook), *rest],
            env=os.environ | _ansible_environment(cache),
            check=False,
        ).returncode
        facts = _gathered(Path(cache))
    if facts:
        _store(facts)
    return code


def _openstackclient() -> int:
    """Bring the container of the ``openstack`` command to the release of the inventory."""
    from lab.manager import compose  # noqa: PLC0415 - these import this module
    from lab.manager import layers  # noqa: PLC0415 - these import this module
    from lab.manager.release import RELEASES  # noqa: PLC0415

    hosts = inventories.read(INVENTORY / "hosts.yml")
    merged = variables.merge(INVENTORY, CONFIGURATION, hosts.groups_of(compose.NODE), compose.NODE)
    wanted = str(merged["openstack_version"])
    osism = next(parts for parts in RELEASES.values() if parts.release.name == wanted)
    references = {"openstackclient": layers.reference(osism, "openstackclient")}
    state = layout.state()
    ssh = remote.Ssh(address_of=lambda _host: str(merged["ansible_host"]))
    play = Play((compose.NODE,))
    try:
        play.begin("Apply role openstackclient", play.hosts)
        play.task("openstackclient : Pull image", play.hosts, lambda _host: compose.pull(ssh, references, state))
        play.task(
            "openstackclient : Manage container",
            play.hosts,
            lambda _host: bool(compose.start(ssh, references, state)),
        )
    except PlayEnded:
        pass
    finally:
        code = play.recap()
        ssh.close()
    return code


def _ansible_environment(cache: str) -> dict[str, str]:
    return {
        "ANSIBLE_CACHE_PLUGIN": "jsonfile",
        "ANSIBLE_CACHE_PLUGIN_CONNECTION": cache,
        "ANSIBLE_GATHERING": "smart",
        "ANSIBLE_HOST_KEY_CHECKING": "false",
        "ANSIBLE_PIPELINING": "true",
        "ANSIBLE_PRIVATE_KEY_FILE": str(KEY_FILE),
        "ANSIBLE_REMOTE_USER": OPERATOR,
        "ANSIBLE_RETRY_FILES_ENABLED": "false",
        "ANSIBLE_SSH_ARGS": f"-o ControlMaster=auto -o ControlPersist=60s -o UserKnownHostsFile={KNOWN_HOSTS}",
        "ANSIBLE_TIMEOUT": "10",
    }


def _gathered(cache: Path) -> dict[str, dict[str, Any]]:
    """Read Ansible's cache: one file a host, since 2.19 with a prefix and an envelope."""
    facts = {}
    for path in sorted(cache.iterdir()):
        content = json.loads(path.read_text())
        if "__payload__" in content:
            content = json.loads(content["__payload__"])
        facts[path.name.removeprefix("s1_")] = content
    return facts


def _store(facts: dict[str, dict[str, Any]]) -> None:
    """Put facts where Ansible's redis cache plugin has them, which is where ``osism`` looks."""
    from redis import Redis  # type: ignore[import-not-found]  # noqa: PLC0415 - only the manager's environment has it

    client = Redis(host=os.environ.get("REDIS_HOST", "redis"), port=int(os.environ.get("REDIS_PORT", "6379")))
    for host, values in facts.items():
        client.set(f"ansible_facts{host}", json.dumps(values))
        client.zadd("ansible_cache_keys", {f"ansible_facts{host}": time.time()})
    print(f"facts of {len(facts)} hosts: {', '.join(facts)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
