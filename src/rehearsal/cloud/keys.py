"""The public half of the operator's SSH key. The private half is never read by this process."""

from __future__ import annotations

import subprocess
from pathlib import Path

from rehearsal.cloud import files

_ASK_S = 10.0


def public_key_of(private: str) -> str:
    """Return the public key of a private key's file, from the `.pub` beside it or from ssh-keygen; empty if neither tells.

    A key with a passphrase and without `.pub` tells nothing: nobody is asked.
    """
    if not private:
        return ""
    beside = (files.peek(Path(f"{private}.pub")) or "").strip()
    if _is_public(beside):
        return beside
    try:
        made = subprocess.run(
            ["ssh-keygen", "-y", "-P", "", "-f", private],
            capture_output=True,
            text=True,
            timeout=_ASK_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    told = made.stdout.strip()
    return told if made.returncode == 0 and _is_public(told) else ""


def _is_public(text: str) -> bool:
    words = text.split()
    return len(text.splitlines()) == 1 and len(words) >= 2 and words[0].startswith(("ssh-", "ecdsa-", "sk-"))
