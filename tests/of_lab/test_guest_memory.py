"""The lab's QEMU wrapper: it changes the size of a guest's memory and nothing else."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

WRAPPER = Path(__file__).parents[2] / "lab/image/qemu-system-x86_64"
_REAL = 'exec /usr/bin/qemu-system-x86_64 "$@"'


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    script = WRAPPER.read_text()
    assert script.count(_REAL) == 1
    path = tmp_path_factory.mktemp("wrapper") / "shows-its-arguments"
    path.write_text(script.replace(_REAL, 'printf "%s\\0" "$@"'))
    return path


def given_to_qemu(program: Path, *arguments: str) -> list[str]:
    done = subprocess.run(["sh", str(program), *arguments], check=True, capture_output=True, timeout=30)
    return done.stdout.decode().split("\0")[:-1] if arguments else []


@given(mib=st.integers(1, 1 << 20), long_form=st.booleans(), before=st.booleans())
def test_memory_is_never_a_multiple_of_256_kib(program: Path, mib: int, long_form: bool, before: bool) -> None:
    """Both places that say the size agree, and no fast path fits it."""
    said = f"size={mib * 1024}k,slots=2,maxmem=4194304k" if long_form else str(mib)
    block = {"qom-type": "memory-backend-ram", "id": "pc.ram", "size": mib * 1024 * 1024}
    if not before:
        block["prealloc"] = True
    text = json.dumps(block, separators=(",", ":"))
    out = given_to_qemu(program, "-machine", "pc,memory-backend=pc.ram", "-m", said, "-object", text, "-S")

    size = json.loads(out[5])["size"]
    kib = int(out[3].removeprefix("size=").split("k")[0])
    assert size == kib * 1024 == mib * 1024 * 1024 + 8192
    assert size % (256 * 1024) != 0
    assert json.loads(out[5]) == {**block, "size": size}
    assert out[3].partition("k")[2] == (",slots=2,maxmem=4194304k" if long_form else "")


@given(
    st.lists(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30), min_size=1, max_size=6
    )
)
def test_everything_else_stays_as_it_is(program: Path, arguments: list[str]) -> None:
    """Arguments that are not about memory reach QEMU unchanged, whatever characters they have."""
    whole = [argument if argument not in {"-m", "-object"} else "-x" for argument in arguments]

    assert given_to_qemu(program, *whole) == whole


def test_other_objects_and_forms_stay_as_they_are(program: Path) -> None:
    """Secrets, random sources and sizes in other units are left alone."""
    whole = ["-object", '{"qom-type":"secret","id":"masterKey0","size":5}', "-m", "1G", "-version"]

    assert given_to_qemu(program, *whole) == whole
