"""One file of a container's configuration, and the INI text that OpenStack reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Sections = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """`name` below /etc/kolla/<config_dir>/, `destination` inside the container, `mode` as kolla writes it ("0600")."""

    name: str
    destination: str
    text: str
    mode: str = "0600"


def ini(sections: Sections) -> str:
    """Sections to INI text; True and False in lower case, None left out."""
    blocks = []
    for section, options in sections.items():
        lines = [f"[{section}]"]
        for key, value in options.items():
            if value is not None:
                lines.append(f"{key} = {str(value).lower() if isinstance(value, bool) else value}")
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)
