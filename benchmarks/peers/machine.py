"""What a measurement was made on."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path


def machine() -> str:
    """Processor, cores, memory, in a line."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    fields = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    flags = fields.get("flags", "").split()
    vectors = next((name for flag, name in _VECTORS.items() if flag in flags), "no AVX2")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    name = fields.get("model name", platform.machine())
    return f"{os.cpu_count()} cores of {name} ({vectors}), {memory:.0f} GiB, Python {platform.python_version()}"


_VECTORS = {"avx512_vnni": "AVX-512 VNNI", "avx512f": "AVX-512", "avx2": "AVX2"}


def commit() -> str:
    """The commit of the working tree, with a "+" where it holds changes of the library; "" outside of a repository."""
    root = Path(__file__).parents[2]
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=root, capture_output=True, text=True)
    if found.returncode:
        return ""
    changed = subprocess.run(["git", "status", "--porcelain", "inntf"], cwd=root, capture_output=True, text=True).stdout
    return found.stdout.strip() + ("+" if changed.strip() else "")
