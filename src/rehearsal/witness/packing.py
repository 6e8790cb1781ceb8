"""Makes one text of the program that runs on hosts: it travels as one line, and leaves no file behind."""

from __future__ import annotations

from importlib import resources

from rehearsal.witness import on_host

_MODULES = ("talk", "docker", "proxies", "southbound", "netlink", "program")
"""Each imports nothing but Python's own library and those before it; the last has `main`."""

_BOOT = """
import sys, types
for name, text in {texts!r}:
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(text, name, "exec"), module.__dict__)
module.main()
"""


def packed() -> str:
    """Return the program as the text of one Python module that runs by itself."""
    folder = resources.files(on_host)
    texts = [(f"{on_host.__name__}.{name}", folder.joinpath(f"{name}.py").read_text()) for name in _MODULES]
    return _BOOT.format(texts=texts)
