"""The kernel's `newc` cpio format, written without a cpio program. Every member belongs to root."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAGIC = "070701"
_END = "TRAILER!!!"


@dataclass(frozen=True, slots=True)
class Member:
    """One entry: a directory (no content), a symbolic link (content is its target) or a file."""

    mode: int
    content: bytes = b""

    @classmethod
    def directory(cls, permissions: int = 0o755) -> Member:
        """An empty directory."""
        return cls(stat.S_IFDIR | permissions)

    @classmethod
    def link(cls, target: str) -> Member:
        """A symbolic link."""
        return cls(stat.S_IFLNK | 0o777, target.encode())

    @classmethod
    def file(cls, source: Path, permissions: int | None = None) -> Member:
        """A regular file with the source's content and, unless given, its permissions."""
        mode = stat.S_IMODE(source.stat().st_mode) if permissions is None else permissions
        return cls(stat.S_IFREG | mode, source.read_bytes())

    @classmethod
    def text(cls, content: str, permissions: int = 0o644) -> Member:
        """A regular file made of text."""
        return cls(stat.S_IFREG | permissions, content.encode())

    @classmethod
    def character_device(cls) -> Member:
        """The console, which the kernel opens before anything could have made it."""
        return cls(stat.S_IFCHR | 0o600)


def pack(members: Mapping[str, Member]) -> bytes:
    """Return the archive. Parents that are missing are added; the order is that of the names, so equal input is equal output."""
    whole: dict[str, Member] = {}
    for name in members:
        for parent in reversed(Path(name).parents):
            if str(parent) != ".":
                whole.setdefault(str(parent), Member.directory())
    whole.update(members)
    parts: list[bytes] = []
    for number, (name, member) in enumerate(sorted(whole.items()), start=1):
        device = (5, 1) if stat.S_ISCHR(member.mode) else (0, 0)
        parts.append(_entry(number, name, member, device))
    parts.append(_entry(0, _END, Member(0), (0, 0)))
    return b"".join(parts)


def _entry(number: int, name: str, member: Member, device: tuple[int, int]) -> bytes:
    encoded = name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(member.mode) else 1
    fields = (number, member.mode, 0, 0, links, 0, len(member.content), 0, 0, *device, len(encoded), 0)
    header = (_MAGIC + "".join(f"{field:08x}" for field in fields)).encode() + encoded
    return _padded(header) + _padded(member.content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
