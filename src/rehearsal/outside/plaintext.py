"""Text from elsewhere, made harmless: nothing in it is a command to the terminal that shows it, and nothing deceives a reader.

Logs, recorded names, file names and answers of servers may hold terminal sequences (a title, the clipboard, colours), C1
controls, bidirectional overrides and invisible characters. Whole sequences are taken out; every other such character is
spelled out, as `<U+202E>`. Tab and newline stay.
"""

from __future__ import annotations

import re

_DECEIVING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)
# ECMA-48: CSI with its parameters; OSC, DCS, SOS, PM and APC up to their terminator on the same line; other escapes.
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]+[0-~]|\x1b[0-Z\\`-~]"
)


def plain(text: str) -> str:
    """Return the text with every invisible, controlling or direction-changing character spelled out as `<U+202E>`."""
    if _is_plain(text):
        return text
    text = text.replace("\r\n", "\n")
    return _DECEIVING.sub(lambda found: f"<U+{ord(found.group()):04X}>", text)


def for_terminal(text: str) -> str:
    """Return the text as it may be printed or kept in a log: terminal sequences taken out, and then `plain`."""
    return text if _is_plain(text) else plain(_SEQUENCE.sub("", text))


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()
