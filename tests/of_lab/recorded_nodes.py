"""Nodes that only write down what was done to them: for tests of the order in which plays do things."""

from __future__ import annotations

import functools
import json
import re
import shlex
import subprocess
from dataclasses import dataclass
from dataclasses import field

from lab import catalogue
from lab import credentials
from lab import layout
from lab import releases
from lab.manager import interface
from lab.manager import reconcile
from lab.manager.configuration import render
from lab.manager.release import osism_release
from lab.plays import inventory
from lab.plays import variables
from lab.plays.play import Play
from lab.plays.site import Site

MEASURED = {
    release.name: dict.fromkeys(releases.IMAGES, "1.2.3") | {"kolla-toolbox": release.kolla, "rabbitmq": "3.10.8"}
    for release in releases.RELEASES.values()
}
SECRETS = {name: f"secret-{name}" for name in credentials.PASSWORDS}


@dataclass
class RecordedNodes:
    """`lab.kolla.Run` that logs, one line a deed, and keeps which image each container has."""

    log: list[str] = field(default_factory=list)
    containers: dict[tuple[str, str], str] = field(default_factory=dict)
    images: dict[str, set[str]] = field(default_factory=dict)
    answers: dict[str, tuple[int, str]] = field(default_factory=dict)
    unreachable: set[str] = field(default_factory=set)
    config: dict[tuple[str, str], str] = field(default_factory=dict)
    stopped: set[tuple[str, str]] = field(default_factory=set)

    def __call__(self, node, argv, *, input=None, check=True, timeout_s=60):  # noqa: A002
        if node in self.unreachable:
            from lab.plays.remote import Unreachable

            raise Unreachable(f"ssh: connect to host {node} port 22: No route to host")
        code, output = self.answer(node, list(argv), input or "")
        if check and code:
            raise subprocess.CalledProcessError(code, list(argv), output, output)
        return subprocess.CompletedProcess(list(argv), code, output, output if code else "")

    def answer(self, node, argv, text):
        words = shlex.join(argv)
        for pattern, answer in self.answers.items():
            if pattern in words:
                self.log.append(f"{node} {self.short(argv)} -> {answer[0]}")
                return answer
        if argv[:2] == ["sh", "-c"]:
            return self.script(node, argv[2], text)
        if argv[:3] == ["docker", "image", "inspect"]:
            have = self.images.setdefault(node, set())
            return 0, "".join(f"{json.dumps([name])} sha256:{name}\n" for name in argv[5:] if name in have)
        if argv[:2] == ["docker", "load"]:
            name = argv[-1].split("/registry/", 1)[1].removesuffix(".tar")
            path, _, tag = name.rpartition("/")
            self.images.setdefault(node, set()).add(f"{releases.REGISTRY}/{path}:{tag}")
            self.log.append(f"{node} pull {path.rpartition('/')[2]}:{tag}")
            return 0, ""
        if argv[:2] == ["docker", "stop"]:
            self.stopped.add((node, argv[-1]))
        self.log.append(f"{node} {self.short(argv)}")
        return 0, "3.10.8\n" if argv[-2:] == ["rabbitmqctl", "version"] else ""

    def script(self, node, script, text):
        if "docker ps --all" in script:
            found = [self.inspected(place, image) for place, image in self.containers.items() if place[0] == node]
            return 0, json.dumps(found)
        if "/etc/kolla/.digests/" in script:
            directory = re.search(r"mkdir -p /etc/kolla/(\S+) ", script)[1]
            same = self.config.get((node, directory)) == text
            self.config[(node, directory)] = text
            return 0, "unchanged\n" if same else "changed\n"
        if "docker container inspect" in script:
            argv = shlex.split(script.split("fi; ", 1)[1].removesuffix(" >/dev/null"))
            name, image = argv[argv.index("--name") + 1], argv[-1]
            if image not in self.images.get(node, set()):
                return 125, f"Unable to find image '{image}'"
            self.containers[(node, name)] = image
            self.stopped.discard((node, name))
            self.log.append(f"{node} recreate {name} {image.rpartition(':')[2]}")
            return 0, ""
        self.log.append(f"{node} {self.short(['sh', '-c', script])}")
        return 0, ""

    def inspected(self, place, image):
        return {
            "Name": f"/{place[1]}",
            "Id": "x",
            "Image": f"sha256:{image}",
            "RestartCount": 0,
            "State": {"Status": "exited" if place in self.stopped else "running", "StartedAt": "", "ExitCode": 0},
            "Config": {"Image": image, "Labels": {}},
        }

    @staticmethod
    def short(argv):
        """The part of a command that says what is done."""
        if argv[:2] == ["docker", "run"]:
            image = next(index for index, word in enumerate(argv) if word.startswith(releases.REGISTRY))
            return "task " + shlex.join(word for word in argv[image + 2 :] if not word.startswith(("--config", "/etc")))
        if argv[:2] == ["docker", "exec"]:
            return "exec " + shlex.join(argv[2:])[:120].replace("--config-file ", "").replace("/etc/", "")
        if argv[:2] in (["docker", "stop"], ["docker", "restart"]):
            return f"{argv[1]} {argv[-1]}"
        return shlex.join(argv)[:100]


def write_cloud(root, version):
    """A manager's directories as `rehearse-lab up` leaves them, at one OSISM release; returns their paths."""
    osism = osism_release(version)
    configuration, generics, shared, merged = (
        root / name for name in ("configuration", "generics", "interface", "inventory")
    )
    images = {item.name: item.image for item in catalogue.CONTAINERS if osism.release.name in item.commands}
    trees = {
        configuration: render(osism, SECRETS, "CA"),
        generics: interface.generics(images),
        shared: {f"versions/{name}": text for name, text in interface.versions(osism, MEASURED).items()},
    }
    for directory, files in trees.items():
        for name, text in files.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_text(text)
    reconcile.reconcile(generics, configuration, shared, merged)
    return configuration, merged


def write_state(root):
    """A state directory with versions, secrets and every image in the registry."""
    state = layout.State(root)
    state.pki.mkdir(parents=True)
    state.versions.write_text(json.dumps(MEASURED))
    keys = {f"{name}_{half}": f"{name} {half}" for name in credentials.KEYS for half in ("private", "public")}
    state.passwords.write_text(json.dumps(SECRETS | keys))
    for name in ("ca.pem", "vip.pem"):
        (state.pki / name).write_text(name)
    for release in releases.RELEASES.values():
        for image in releases.IMAGES:
            path = state.registry / release.namespace / image / f"{releases.tag(release, image, MEASURED)}.tar"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return state


def site(root, role, action="upgrade", limit="", *, extra=None, nodes=None):
    """A play on recorded nodes; before an upgrade every container is on the older release."""
    configuration, merged = write_cloud(root, "10.2.0")
    state = write_state(root / "state")
    hosts = inventory.read(merged / "hosts.yml")
    release = releases.TARGET
    nodes = nodes or RecordedNodes()
    older = releases.DEPLOYED
    for item in catalogue.CONTAINERS:
        for node in item.nodes:
            if older.name in item.commands:
                reference = releases.reference(older, item.image, MEASURED)
                nodes.containers.setdefault((node, item.name), reference)
                nodes.images.setdefault(node, set()).add(reference)
    said = []
    made = Site(
        role=role,
        action=action,
        inventory=hosts,
        variables=functools.cache(
            lambda host: variables.merge(merged, configuration, hosts.groups_of(host), host, extra)
        ),
        run=nodes,
        play=Play(hosts.select(limit), say=said.append, forks=1),
        release=release,
        state=state,
        _sleep=lambda _seconds: None,
    )
    return made, nodes, said
