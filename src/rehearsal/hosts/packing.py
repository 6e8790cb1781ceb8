"""Makes one text of a program that runs on hosts: it travels in a command or as one line, and leaves no file behind."""

from __future__ import annotations

import ast
import functools
from importlib import util
from pathlib import Path
from threading import Lock

_BOOT = """
import sys, types
for name, text in {texts!r}:
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(text, name, "exec"), module.__dict__)
sys.modules[{entry!r}].main()
"""


_ONE_AT_A_TIME = Lock()
"""Hosts are looked at in threads, and Python 3.11 cannot parse in two at once (SystemError: AST constructor recursion depth)."""


def packed(entry: str, *modules: str) -> str:
    """Return the text of one Python module that runs `main` of the entry by itself, after these modules were read.

    Whatever of ours they import goes along, as `from rehearsal.room.module import name`; all of it must do with the
    standard library of Python 3.8.
    """
    with _ONE_AT_A_TIME:
        return _packed(entry, *modules)


@functools.cache
def _packed(entry: str, *modules: str) -> str:
    texts: dict[str, str] = {}
    for name in (entry, *modules):
        _pack(name, texts)
    return _BOOT.format(texts=list(texts.items()), entry=entry)


def _pack(name: str, texts: dict[str, str]) -> None:
    """Add a module after those that it imports. What is imported for types only stays here."""
    found = util.find_spec(name)
    if name in texts or found is None or found.origin is None:
        return
    text = Path(found.origin).read_text()
    for node in ast.parse(text).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rehearsal."):
            _pack(str(node.module), texts)
    texts[name] = text
