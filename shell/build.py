"""Builds the shell of the default base image from its source, and writes what modelcar.image.shell carries.

The compiler is Zig's, from PyPI and pinned by its hash, for it builds for both architectures and needs no C library:
the same source gives the same bytes on every machine.
"""

import base64
import lzma
import subprocess
import sys
import tempfile
from pathlib import Path

from modelcar.image.shell.layer import make_layer
from modelcar.oci.spec import digest_of

SOURCE = Path(__file__).parent / "sh.c"
TARGET = SOURCE.parents[1] / "modelcar" / "image" / "shell"
ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}
"""Zig's name for each of OCI's."""

FLAGS = (
    *("-Oz", "-fno-inline", "-s", "-static", "-nostdlib", "-ffreestanding", "-fno-builtin", "-fno-pie"),
    *("-fno-stack-protector", "-fno-sanitize=all", "-fomit-frame-pointer", "-ffunction-sections"),
    *("-fno-unwind-tables", "-fno-asynchronous-unwind-tables", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"),
    *("-Wl,--gc-sections", "-Wl,--build-id=none", "-Wl,-z,norelro"),
)
_COLUMNS = 110


def build(python: str) -> dict[str, bytes]:
    """Compiles the shell for each architecture.

    Args:
        python: A Python that has Zig (`requirements/zig.txt`).
    """
    programs = {}
    with tempfile.TemporaryDirectory() as folder:
        for architecture, name in ARCHITECTURES.items():
            program = Path(folder) / architecture
            compiler = (python, "-m", "ziglang", "cc", "-target", f"{name}-linux-none")
            subprocess.run([*compiler, *FLAGS, SOURCE.name, "-o", program], cwd=SOURCE.parent, check=True)
            programs[architecture] = program.read_bytes()
    return programs


def write(programs: dict[str, bytes], folder: Path = TARGET) -> None:
    """Writes the programs, compressed, and the digests of the layers that they make, as Python."""
    packed = "".join(f'    "{name}": """\n{_packed(name, program)}\n""",\n' for name, program in programs.items())
    (folder / "programs.py").write_text(
        '"""The shell of the default base image, by architecture, as base85 of xz. Written by shell/build.py."""\n\n'
        f"PROGRAMS = {{\n{packed}}}\n"
    )
    layers = {name: make_layer(program) for name, program in programs.items()}
    lines = "".join(f'    "{name}": ("{digest_of(layer)}", {len(layer)}),\n' for name, layer in layers.items())
    (folder / "digests.py").write_text(
        '"""Digest and size of the default base image\'s layer, by architecture. Written by shell/build.py."""\n\n'
        f"LAYERS = {{\n{lines}}}\n"
    )


def _packed(architecture: str, program: bytes) -> str:
    """Compresses a program; amd64's jumps compress better as absolute addresses."""
    filters = [{"id": lzma.FILTER_X86}] if architecture == "amd64" else []
    filters.append({"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 0, "lp": 2})
    text = base64.b85encode(lzma.compress(program, check=lzma.CHECK_CRC32, filters=filters)).decode()
    return "\n".join(text[start : start + _COLUMNS] for start in range(0, len(text), _COLUMNS))


if __name__ == "__main__":
    write(build(sys.argv[1] if len(sys.argv) > 1 else sys.executable))
