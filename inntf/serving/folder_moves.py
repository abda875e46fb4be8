"""A written folder moved to its place, and what killed processes left put in order."""

from __future__ import annotations

import contextlib
import errno
import pathlib
import re
import shutil
import time
import uuid

_ASIDE = re.compile(r"\.old-([0-9]+)-[0-9a-f]{32}")  # no integer: TF Serving does not look at it


def move(source: pathlib.Path, target: pathlib.Path, overwrite: bool) -> bool:
    """Rename a folder; False if the target is there and must stay.

    What is overwritten is renamed first and removed last: for a moment nothing is there but what `set_aside` finds.
    """
    aside: list[pathlib.Path] = []
    try:
        while True:
            if _is_there(target):
                if not overwrite:
                    return False
                aside.append(target.with_name(f".old-{target.name}-{uuid.uuid4().hex}"))
                target.rename(aside[-1])
            try:
                source.rename(target)
                break
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
                if not overwrite:  # another export was faster
                    return False
    except BaseException:
        if aside and _is_there(aside[-1]) and not _is_there(target):
            aside[-1].rename(target)
        raise
    for old in aside:
        _remove(old)
    return True


def set_aside(folder: pathlib.Path) -> dict[int, pathlib.Path]:
    """Old versions that were renamed to be replaced, by version: where the process was killed then, all that there is."""
    return {int(found[1]): p for p in folder.iterdir() if (found := _ASIDE.fullmatch(p.name))}


def version_of(path: pathlib.Path) -> int:
    """The version that a folder's name says, also one that is set aside; 0 for another name."""
    aside = _ASIDE.fullmatch(path.name)
    return int(aside[1] if aside else path.name) if aside or path.name.isdigit() else 0


def sweep(folder: pathlib.Path) -> None:
    """Remove what was left half-written a day ago or more, and put back versions that were never replaced."""
    for left in folder.glob(".export-*"):
        with contextlib.suppress(OSError):  # another export sweeps, too
            if time.time() - left.stat().st_mtime > 86400:
                shutil.rmtree(left)
    for version, old in set_aside(folder).items():
        target = folder / str(version)
        if _is_there(target):
            _remove(old)
        else:
            with contextlib.suppress(OSError):  # if it is being replaced just now
                old.rename(target)


def _is_there(path: pathlib.Path) -> bool:
    return path.exists() or path.is_symlink()  # a link that leads nowhere is in the way, too


def _remove(path: pathlib.Path) -> None:
    with contextlib.suppress(OSError):  # another export sweeps, too
        if path.is_symlink():  # what it leads to is another's
            path.unlink()
        else:
            shutil.rmtree(path)
