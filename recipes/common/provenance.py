"""Where a result comes from: commit and machine."""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import platform
import subprocess
import sys
from typing import Any

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_PACKAGES = ("tensorflow", "keras", "tensorflow-probability", "numpy")


def git_commit(root: pathlib.Path = _ROOT) -> str | None:
    """Commit of the working tree, with `-dirty` if tracked files have changed since; `None` outside of git."""
    try:
        head = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{head}-dirty" if changed else head


def machine() -> dict[str, Any]:
    """Processor count, platform, versions of what computes; no host name."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    tensorflow = sys.modules.get("tensorflow")  # asked only where it runs already: importing it takes seconds
    gpus = len(tensorflow.config.list_physical_devices("GPU")) if tensorflow else None
    return {
        "cpu_count": cores,
        "gpu_count": gpus,
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
    }


def _git(root: pathlib.Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()
