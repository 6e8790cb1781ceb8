"""What one look at a host tells. This file itself travels to the host over SSH and runs there with its python3, as root.

It only reads: Docker's socket, /proc, file systems, HAProxy's and libvirt's own answers, the manager's fact cache; if told
to, it also runs the health check of a new container, as Docker itself does over and over. It needs
nothing but the standard library of Python 3.8 or newer and prints one JSON object. A part that cannot be observed says why
below `errors`; the other parts still count.

Arguments: a JSON object with `peers` ({host: address} of the other compute nodes) and `ask_health` (whether a container
whose health is not decided yet is asked its own health check at once: Docker asks for the first time after a whole interval).
"""

from __future__ import annotations

import contextlib
import csv
import http.client
import io
import json
import os
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

if TYPE_CHECKING:
    from collections.abc import Callable

DOCKER_SOCKET = "/var/run/docker.sock"
DOCKER_FOLDER = "/var/lib/docker"
"""Where Docker keeps its images unless it says otherwise."""
DOCKER_DEAD = "Docker does not run: nothing answers at"
LIBVIRT_PORTS = (16509, 16514)
"""kolla's libvirtd listens on 16509 (TCP) or on 16514 (TLS) for live migrations."""
LIBVIRT_TIMEOUT_S = 5.0
TLS_ALERT = b"\x15"
"""The first byte of a TLS record that is an alert; a handshake begins with 0x16 (RFC 8446, 5.1)."""
HEALTH_TIMEOUT_S = 30.0
"""Docker's own default for a health check that names no timeout."""
ASKED = "its own check, asked at once"
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}
KEPT_LABELS = ("de.osism.release.openstack", "de.osism.version", "org.opencontainers.image.version", "kolla_version")
DATA_FOLDERS = ("/var/log", "/var/lib/nova", "/var")


class DockerConnection(http.client.HTTPConnection):
    """HTTP to Docker's own socket: there is no need for its command line program."""

    def connect(self) -> None:
        """Connect to the socket on this host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(20)
        try:
            self.sock.connect(DOCKER_SOCKET)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise OSError(
                f"{DOCKER_DEAD} {DOCKER_SOCKET} ({error.strerror}); look at `systemctl status docker`"
            ) from None


def docker(path: str) -> Any:
    """Return what Docker answers to a GET, decoded."""
    connection = DockerConnection("docker")
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise OSError(f"Docker answers {answer.status} to {path}: {body[:200].decode(errors='replace')}")
    return json.loads(body.decode())


def kept(labels: dict[str, str] | None) -> dict[str, str]:
    """Return the labels that say which release an image belongs to."""
    return {key: value for key, value in (labels or {}).items() if key in KEPT_LABELS}


def ask_health(name: str, config: dict[str, Any]) -> bool:
    """Run a container's own health check inside of it, as Docker does, and return whether it succeeded within its timeout."""
    check = config.get("Healthcheck") or {}
    kind, *words = check.get("Test") or ["NONE"]
    if kind == "CMD-SHELL":
        words = [*(config.get("Shell") or ["/bin/sh", "-c"]), *words]
    elif kind != "CMD":
        return False
    limit_s = (check.get("Timeout") or 0) / 1e9 or HEALTH_TIMEOUT_S
    try:
        done = subprocess.run(
            ["docker", "exec", name, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=limit_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def containers(*, ask: bool = False) -> list[dict[str, Any]]:
    """Return every container, also those that do not run. Environments stay on the host: they can hold secrets."""
    found = []
    for row in docker("/containers/json?all=1"):
        try:
            seen = docker("/containers/{}/json".format(row["Id"]))
        except OSError:
            continue  # it was removed between the two questions
        state = seen["State"]
        health = state.get("Health") or {}
        log = health.get("Log") or []
        status, said = health.get("Status") or "none", (log[-1].get("Output") or "")[:300] if log else ""
        checked_at = (log[-1].get("Start") or "") if log else ""
        if ask and status == "starting" and ask_health(seen["Id"], seen["Config"]):
            status, said, checked_at = "healthy", ASKED, ""
        found.append(
            {
                "name": seen["Name"].lstrip("/"),
                "id": seen["Id"],
                "image": seen["Config"]["Image"],
                "image_id": seen["Image"],
                "status": state["Status"],
                "exit_code": state["ExitCode"],
                "started_at": state["StartedAt"],
                "created_at": seen["Created"],
                "pid": state.get("Pid") or 0,
                "health": status,
                "health_said": said,
                "checked_at": checked_at,
                "labels": kept(seen["Config"].get("Labels")),
                "restart_count": seen.get("RestartCount") or 0,
            }
        )
    return sorted(found, key=lambda each: str(each["name"]))


def images() -> list[dict[str, Any]]:
    """Return every tagged image with its id and its release labels."""
    found = [
        {"reference": tag, "id": row["Id"], "labels": kept(row.get("Labels"))}
        for row in docker("/images/json")
        for tag in row.get("RepoTags") or []
    ]
    return sorted(found, key=lambda each: str(each["reference"]))


def disks() -> list[dict[str, Any]]:
    """Return free and total bytes and inodes of the file systems that an upgrade fills: images first, then data and logs."""
    found, devices = [], set()
    try:
        images_folder = str(docker("/info")["DockerRootDir"])
    except (OSError, ValueError, KeyError, http.client.HTTPException):
        images_folder = DOCKER_FOLDER  # its disk fills whether Docker runs or not
    for folder in (images_folder, *DATA_FOLDERS):
        if not Path(folder).is_dir():
            continue
        device = Path(folder).stat().st_dev
        if device in devices:
            continue
        devices.add(device)
        seen = os.statvfs(folder)
        found.append(
            {
                "folder": folder,
                "holds_images": folder == images_folder,
                "free_bytes": seen.f_bavail * seen.f_frsize,
                "total_bytes": seen.f_blocks * seen.f_frsize,
                "free_inodes": seen.f_favail,
                "total_inodes": seen.f_files,
            }
        )
    return found


def memory() -> dict[str, int]:
    """Return total and available memory in bytes."""
    rows = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return {key: int(rows[key].split()[0]) * 1024 for key in ("MemTotal", "MemAvailable")}


def haproxy(running: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return the rows of HAProxy's own table of proxies and servers, from its socket inside its container."""
    rows: list[dict[str, str]] = []
    for container in running:
        if container["name"] != "haproxy" or container["status"] != "running":
            continue
        path = f"/proc/{container['pid']}/root/var/lib/kolla/haproxy/haproxy.sock"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(5)
            connection.connect(path)
            connection.sendall(b"show stat\n")
            text = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        rows += [
            {
                "proxy": row["pxname"],
                "server": row["svname"],
                "status": row["status"],
                "check": row.get("check_status") or "",
                "since_s": row.get("lastchg") or "",
            }
            for row in csv.DictReader(io.StringIO(text.lstrip("# ")))
        ]
    return rows


def listening() -> list[tuple[str, int]]:
    """Return the addresses on which something listens on libvirt's ports."""
    found = []
    for path, family in (("/proc/net/tcp", socket.AF_INET), ("/proc/net/tcp6", socket.AF_INET6)):
        try:
            lines = Path(path).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            local, state = line.split()[1], line.split()[3]
            address, port = local.split(":")
            if state != "0A" or int(port, 16) not in LIBVIRT_PORTS:
                continue
            words = [struct.pack("=I", int(address[at : at + 8], 16)) for at in range(0, len(address), 8)]
            text = socket.inet_ntop(family, b"".join(words))
            found.append((text, int(port, 16)))
    return sorted(set(found))


def ask_libvirt(address: str, port: int) -> str:
    """Return an empty string if a libvirt daemon answers there, else what happened.

    Over TCP it is asked which ways to authenticate it knows (libvirt's remote protocol: program 0x20008086, version 1,
    procedure 66 AUTH_LIST), which changes nothing and needs no login. Over TLS its half of a handshake is answer enough.
    """
    question = struct.pack(">7I", 28, 0x20008086, 1, 66, 0, 1, 0)
    if port == LIBVIRT_PORTS[1]:
        question = client_hello()
    try:
        with socket.create_connection((address, port), LIBVIRT_TIMEOUT_S) as connection:
            connection.settimeout(LIBVIRT_TIMEOUT_S)
            connection.sendall(question)
            answer = connection.recv(4)
    except OSError as error:
        return f"{address} port {port}: {error}"
    if port == LIBVIRT_PORTS[1] and answer[:1] == TLS_ALERT:
        return f"{address} port {port}: refuses the TLS handshake with an alert; look at libvirt's certificate and key"
    return "" if answer else f"{address} port {port}: closed without an answer"


def client_hello() -> bytes:
    """Return the opening bytes of a TLS handshake, made by Python's own ssl without a network."""
    import ssl  # noqa: PLC0415 - only where TLS is used

    outgoing = ssl.MemoryBIO()
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    settings.check_hostname = False
    settings.verify_mode = ssl.CERT_NONE
    talk = settings.wrap_bio(ssl.MemoryBIO(), outgoing)
    with contextlib.suppress(ssl.SSLWantReadError):
        talk.do_handshake()
    return outgoing.read()


def libvirt(running: list[dict[str, Any]], peers: dict[str, str]) -> dict[str, Any]:
    """Return whether this host's libvirt daemon answers where it listens, and whether the peers' do, seen from here."""
    if not any(container["name"] == "nova_libvirt" for container in running) and not listening():
        return {}
    own = listening()
    seen: dict[str, Any] = {"listens": [f"{address} port {port}" for address, port in own], "own": "", "peers": {}}
    if not own:
        seen["own"] = f"nothing listens on port {LIBVIRT_PORTS[0]} or {LIBVIRT_PORTS[1]}"
    for address, port in own:
        seen["own"] = seen["own"] or ask_libvirt(ANY_ADDRESS.get(address, address), port)
    port = own[0][1] if own else LIBVIRT_PORTS[0]
    for host, address in sorted(peers.items()):
        seen["peers"][host] = {"address": address, "said": ask_libvirt(address, port)}
    return seen


def fact_cache(running: list[dict[str, Any]]) -> dict[str, Any]:
    """Return how old (s) the cached facts of each host are, if this host's Redis holds Ansible's fact cache."""
    for container in running:
        if container["status"] != "running" or "redis" not in str(container["name"]).split("-"):
            continue
        command = [
            "docker",
            "exec",
            str(container["name"]),
            "redis-cli",
            "--raw",
            "zrange",
            "ansible_cache_keys",
            "0",
            "-1",
            "withscores",
        ]
        done = subprocess.run(command, capture_output=True, timeout=20, check=False)
        if done.returncode != 0:
            raise OSError(done.stderr.decode(errors="replace").strip()[:300] or "redis-cli fails")
        words = done.stdout.decode().split()
        return {"ages_s": {host: time.time() - float(score) for host, score in zip(words[::2], words[1::2])}}  # noqa: B905 - Python 3.8 has no strict zip
    return {}


def main(arguments: dict[str, Any]) -> dict[str, Any]:
    """Look once; each part on its own, so that one that fails does not hide the others."""
    errors: dict[str, str] = {}
    started = time.monotonic()

    def part(name: str, look: Callable[[], Any], otherwise: Any) -> Any:
        try:
            return look()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told and the next part is looked at
            errors[name] = f"{type(error).__name__}: {error}"
            return otherwise

    running = part("containers", lambda: containers(ask=bool(arguments.get("ask_health"))), [])
    view = {
        "containers": running,
        "images": part("images", images, []),
        "disks": part("disks", disks, []),
        "memory": part("memory", memory, {}),
        "haproxy": part("haproxy", lambda: haproxy(running), []),
        "libvirt": part("libvirt", lambda: libvirt(running, arguments.get("peers") or {}), {}),
        "fact_cache": part("fact_cache", lambda: fact_cache(running), {}),
        "wall_ns": time.time_ns(),
        "boot_id": part("boot_id", lambda: Path("/proc/sys/kernel/random/boot_id").read_text().strip(), ""),
    }
    view["errors"] = errors
    view["took_s"] = round(time.monotonic() - started, 3)
    return view


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]) if len(sys.argv) > 1 else {})))
