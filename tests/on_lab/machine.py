"""A guest under plain QEMU without KVM: no cloud, no root, no network but the loopback of this machine."""

from __future__ import annotations

import http.server
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehearsal import beacon

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.guest import GuestImage

UUID = "0b0b0b0b-1111-4222-8333-444444444444"
# QEMU starts this for each connection that the guest makes to the metadata service's address.
_PIPE = (
    "import socket,sys,threading;s=socket.create_connection(('127.0.0.1',int(sys.argv[1])));"
    "f=lambda:[s.sendall(d) for d in iter(lambda:sys.stdin.buffer.raw.read(4096),b'')];"
    "threading.Thread(target=f,daemon=True).start();"
    "[(sys.stdout.buffer.write(d),sys.stdout.buffer.flush()) for d in iter(lambda:s.recv(4096),b'')]"
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def metadata(public_key: str) -> dict[str, object]:
    return {
        "uuid": UUID,
        "hostname": "canary-one.novalocal",
        "name": "canary-one",
        "public_keys": {"operator": public_key},
        "keys": [{"name": "operator", "type": "ssh", "data": public_key}],
    }


@contextmanager
def metadata_service(files: dict[str, bytes]) -> Iterator[int]:
    class Service(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"latest\n" if self.path == "/openstack" else files.get(self.path.removeprefix("/openstack/latest/"))
            self.send_response(200 if body is not None else 404)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *words: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Machine:
    process: subprocess.Popen[bytes]
    console: Path
    control: Path
    ssh_port: int
    echo_port: int
    facts_port: int

    def heard(self, *, within_s: float = 90, other_than: str = "") -> beacon.Heard:
        ends_s = time.monotonic() + within_s
        while True:
            try:
                found = beacon.hear("127.0.0.1", self.facts_port, timeout_s=3)
                if found.boot_id != other_than:
                    return found
            except beacon.BeaconSilentError as error:
                if time.monotonic() > ends_s or self.process.poll() is not None:
                    raise AssertionError(f"{error}\n{self.console.read_text(errors='replace')[-3000:]}") from error
            time.sleep(0.2)

    def order(self, *commands: str) -> None:
        """Give QEMU's own monitor commands such as `stop` and `cont`."""
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.settimeout(10)
            monitor.connect(str(self.control))
            stream = monitor.makefile("rw")
            stream.readline()
            for command in ("qmp_capabilities", *commands):
                stream.write(json.dumps({"execute": command}) + "\n")
                stream.flush()
                while "return" not in json.loads(stream.readline()):
                    pass


@contextmanager
def running(image: GuestImage, folder: Path, *, files: dict[str, bytes], drive: bool = False) -> Iterator[Machine]:
    folder.mkdir(parents=True, exist_ok=True)
    disk = folder / "disk.raw"
    shutil.copy(image.disk, disk)
    ports = [free_port() for _ in range(3)]
    echo, facts = beacon.ECHO_PORT, beacon.FACTS_PORT
    forwards = "".join(
        f",hostfwd=tcp:127.0.0.1:{port}-:{inside}" for port, inside in zip(ports, (22, echo, facts), strict=True)
    )
    net = f"user,id=net,net=169.254.0.0/16,host=169.254.0.2,dhcpstart=169.254.0.15,restrict=on{forwards}"
    machine = Machine(None, folder / "console", folder / "control", *ports)  # type: ignore[arg-type]
    command = ["qemu-system-x86_64", "-accel", "tcg", "-machine", "pc", "-cpu", "qemu64", "-nodefaults"]
    command += ["-display", "none", "-m", str(image.ram_mib), "-serial", f"file:{machine.console}"]
    command += ["-qmp", f"unix:{machine.control},server=on,wait=off"]
    command += ["-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", image.command_line]
    command += ["-drive", f"file={disk},format=raw,if=virtio", "-device", "virtio-net-pci,netdev=net"]
    with metadata_service({} if drive else files) as port:
        if drive:
            command += ["-drive", f"file={_drive(folder, files)},if=ide,media=cdrom,format=raw"]
        else:
            pipe = folder / "pipe.py"
            pipe.write_text(_PIPE)
            net += f",guestfwd=tcp:169.254.169.254:80-cmd:{sys.executable} -I -S {pipe} {port}"
        machine.process = subprocess.Popen([*command, "-netdev", net], stdin=subprocess.DEVNULL)
        try:
            yield machine
        finally:
            machine.process.kill()
            machine.process.wait(10)


def _drive(folder: Path, files: dict[str, bytes]) -> Path:
    latest = folder / "drive/openstack/latest"
    latest.mkdir(parents=True)
    for name, content in files.items():
        (latest / name).write_bytes(content)
    iso = folder / "drive.iso"
    command = ["genisoimage", "-quiet", "-R", "-J", "-V", "config-2", "-o", str(iso), str(folder / "drive")]
    subprocess.run(command, check=True, timeout=30)
    return iso
