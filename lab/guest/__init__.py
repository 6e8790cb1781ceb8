"""The guest image: a small Linux made of Debian's own packages, for canaries that boot within seconds without KVM.

A kernel and an initramfs (busybox, dropbear, a minimal Python) that runs from memory, and a disk of a few MiB for what
must outlive a reboot. It behaves like a cloud image: DHCP with MTU and classless routes, config drive or metadata
service, keys, host name, user data, serial console, SSH, ACPI power button.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from lab.guest import packages
from lab.guest.cpio import Member
from lab.guest.cpio import pack
from lab.guest.packages import GuestError

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterable

__all__ = ["GuestError", "GuestImage", "build"]

DISK_BYTES = 16 * 1024 * 1024
COMMAND_LINE = "console=ttyS0 quiet mitigations=off no_timer_check panic=10"
"""Quiet, because every character on an emulated serial port costs time; panic=10, so that a panic shows as a reboot."""

_ROOT = Path(__file__).parent / "root"
_EARLY_MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "virtio-rng")
_LATE_MODULES = ("button", "evdev", "ata_piix", "sr_mod", "isofs")
_MODULE_OPTIONS = {"virtio_net": "csum=0"}
"""Open vSwitch's userspace datapath does not complete partial checksums: TCP would be dropped, ping would not."""
_PROGRAMS = ("usr/sbin/dropbear", "usr/bin/dropbearkey", "usr/bin/python3.11")
_PYTHON_LIBRARY = "usr/lib/python3.11"
_BOOT_FLAG = slice(510, 512)


@dataclass(frozen=True, slots=True)
class GuestImage:
    """The built files. The disk is the image; kernel (`aki`) and initrd (`ari`) are images that its properties name."""

    kernel: Path
    initrd: Path
    disk: Path
    command_line: str = COMMAND_LINE
    name: str = "canary"
    ram_mib: int = 128
    disk_format: str = "raw"
    properties: dict[str, str] = field(default_factory=dict)
    """Further properties of the disk's image; the uploader adds kernel_id and ramdisk_id."""


def build(state_dir: Path, log: Callable[[str], None]) -> GuestImage:
    """Return the guest image below `state_dir`/cache/guest, building it if its recipe or packages changed.

    GuestError says in one sentence what is missing.
    """
    cache = state_dir / "cache" / "guest"
    debs = packages.fetch(cache / "debs", log)
    folder = cache / _fingerprint(debs)
    image = GuestImage(
        kernel=folder / "vmlinuz",
        initrd=folder / "initrd",
        disk=folder / "disk.raw",
        properties={
            "os_command_line": COMMAND_LINE,
            "os_type": "linux",
            "os_distro": "debian",
            "os_admin_user": "root",
            "hw_video_model": "none",
            "hw_rng_model": "virtio",
        },
    )
    if folder.is_dir():
        return image
    log("building the guest image")
    unfinished = folder.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    tree = unfinished / "tree"
    packages.unpack(debs, tree)
    (unfinished / "vmlinuz").write_bytes(_kernel(tree))
    (unfinished / "initrd").write_bytes(_initramfs(tree))
    _make_disk(unfinished / "disk.raw")
    shutil.rmtree(tree)
    unfinished.rename(folder)
    _forget_others(cache, folder)
    return image


def _fingerprint(debs: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(Path(__file__).parent)}\0".encode() + path.read_bytes())
    for deb in debs:
        digest.update(f"{deb.name}\0".encode())
    return digest.hexdigest()[:16]


def _forget_others(cache: Path, keep: Path) -> None:
    for other in cache.iterdir():
        if other.is_dir() and other not in {keep, cache / "debs"}:
            shutil.rmtree(other, ignore_errors=True)


def _kernel(tree: Path) -> bytes:
    """Return the kernel without its boot sector mark.

    Nova's image inspector takes a file with 0x55AA at 510 for a partitioned disk and refuses the kernel when a block
    migration fetches it. QEMU does not look at the mark.
    """
    found = sorted((tree / "boot").glob("vmlinuz-*"))
    if len(found) != 1:
        raise GuestError(
            f"expected one kernel among the packages, found {len(found)}; delete the cache of the guest image"
        )
    content = bytearray(found[0].read_bytes())
    content[_BOOT_FLAG] = b"\0\0"
    return bytes(content)


def _initramfs(tree: Path) -> bytes:
    members: dict[str, Member] = {
        "dev/console": Member.character_device(),
        "proc": Member.directory(),
        "sys": Member.directory(),
        "run": Member.directory(),
        "tmp": Member.directory(0o1777),
        "mnt": Member.directory(),
        "root": Member.directory(0o700),
        "var/lib": Member.directory(),
        "var/log": Member.directory(),
        "var/run": Member.link("/run"),
        "etc/dropbear": Member.link("/var/lib/dropbear"),
        "etc/resolv.conf": Member.link("/run/resolv.conf"),
        "etc/mtab": Member.link("/proc/self/mounts"),
        "etc/passwd": Member.text("root:*:0:0:root:/root:/bin/sh\n"),
        "etc/group": Member.text("root:x:0:\n"),
        "etc/shells": Member.text("/bin/sh\n"),
        "etc/hostname": Member.text("canary\n"),
        "etc/hosts": Member.text("127.0.0.1 localhost\n::1 localhost\n"),
        "etc/acpi/PWRF/00000080": Member.text("#!/bin/sh\npoweroff\n", 0o755),
    }
    members |= _busybox(tree)
    members |= _programs(tree)
    members |= _modules(tree)
    for path in sorted(_ROOT.rglob("*")):
        if path.is_file():
            executable = path.read_bytes().startswith(b"#!")
            members[str(path.relative_to(_ROOT))] = Member.file(path, 0o755 if executable else 0o644)
    return pack(members)


def _busybox(tree: Path) -> dict[str, Member]:
    program = tree / "bin/busybox"
    listed = subprocess.run(
        [str(program), "--list-full"], check=True, capture_output=True, text=True, timeout=30
    ).stdout
    names = [name for name in listed.split() if name != "bin/busybox"]
    return {name: Member.link("/bin/busybox") for name in names} | {"bin/busybox": Member.file(program, 0o755)}


def _programs(tree: Path) -> dict[str, Member]:
    members: dict[str, Member] = {}
    wanted: set[Path] = set()
    for name in _PROGRAMS:
        members[name] = Member.file(tree / name, 0o755)
        wanted |= packages.libraries(tree, tree / name)
    for library in wanted:
        members[f"lib/{library.name}"] = Member.file((tree / library).resolve(), 0o755)
    loader = next((tree / "lib/x86_64-linux-gnu").glob("ld-linux-x86-64.so.2"))
    members["lib64/ld-linux-x86-64.so.2"] = Member.file(loader.resolve(), 0o755)
    members["usr/bin/python3"] = Member.link("python3.11")
    return members | _python_modules(tree)


def _python_modules(tree: Path) -> dict[str, Member]:
    """The standard library as byte code beside no source: half the memory, and an emulated processor need not compile."""
    standard = tree / _PYTHON_LIBRARY
    # A stored hash instead of the time of the source: equal input is equal output.
    options = [
        "-I",
        "-S",
        "-m",
        "compileall",
        "-q",
        "-b",
        "--invalidation-mode",
        "unchecked-hash",
        "-s",
        str(tree),
        "-p",
        "/",
    ]
    outcome = packages.run_inside(tree, "usr/bin/python3.11", *options, str(standard))
    if outcome.returncode != 0:
        raise GuestError(
            f"the guest's Python modules cannot be compiled: {(outcome.stderr or outcome.stdout).strip()[-300:]}"
        )
    members = {f"{_PYTHON_LIBRARY}/lib-dynload": Member.directory()}
    for path in sorted(standard.rglob("*.pyc")):
        members[str(path.relative_to(tree))] = Member.file(path, 0o644)
    return members


def _modules(tree: Path) -> dict[str, Member]:
    available = {path.stem.replace("-", "_"): path for path in (tree / "lib/modules").rglob("*.ko")}
    early = _in_order(available, _EARLY_MODULES)
    late = [name for name in _in_order(available, _LATE_MODULES) if name not in early]
    members = {f"lib/modules/{name}.ko": Member.file(available[name], 0o644) for name in (*early, *late)}
    for file, names in (("early", early), ("late", late)):
        lines = [f"{name} {_MODULE_OPTIONS.get(name, '')}".rstrip() + "\n" for name in names]
        members[f"etc/modules.{file}"] = Member.text("".join(lines))
    return members


def _in_order(available: dict[str, Path], wanted: Iterable[str]) -> list[str]:
    """Return the modules with what they depend on, each after its own dependencies. Built-in ones are left out."""
    order: list[str] = []

    def add(name: str) -> None:
        if name in order or name not in available:
            return
        found = re.search(rb"\0depends=([^\0]*)\0", available[name].read_bytes())
        for dependency in (found.group(1).decode() if found else "").split(","):
            add(dependency.replace("-", "_"))
        order.append(name)

    for name in wanted:
        add(name.replace("-", "_"))
    return order


def _make_disk(path: Path) -> None:
    with path.open("wb") as disk:
        disk.truncate(DISK_BYTES)
    command = ["mke2fs", "-q", "-t", "ext4", "-b", "4096", "-m", "0", "-L", "canary"]
    command += ["-E", "lazy_itable_init=0,lazy_journal_init=0", str(path)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.CalledProcessError) as error:
        raise GuestError(
            f"mke2fs cannot make the guest's disk: {error}; install the Debian package e2fsprogs"
        ) from error
