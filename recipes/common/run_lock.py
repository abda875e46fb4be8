"""A lock on the folder of a run, held while the process lives: the kernel releases it however the process ends."""

from __future__ import annotations

import os
import pathlib

from recipes.common.errors import UserError

try:
    import fcntl
except ImportError:  # Windows: no lock
    fcntl = None  # type: ignore[assignment]

NAME = ".lock"


class RunLock:
    """Holds `FOLDER/.lock`, which names the process.

    Args:
        folder: of the run.

    Raises:
        UserError: if another process, or another `RunLock` of this one, holds it; OSError: if it cannot be written.
    """

    def __init__(self, folder: pathlib.Path):
        self._file = open(folder / NAME, "a+")  # noqa: SIM115 (closed by release, or with the process)
        try:
            if fcntl is not None:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.seek(0)
            holder = self._file.read(20).strip()
            self._file.close()
            who = f"process {holder}" if holder.isdigit() else "another process"
            raise UserError(
                f"{folder} is in use by a run that lives ({who})",
                remedy="Wait for its end, or choose another folder with --out; nothing was changed.",
            ) from error
        except OSError:  # a file system without locks
            pass

    def sign(self) -> None:
        """Write the number of this process."""
        self._file.seek(0)
        self._file.truncate()
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def release(self) -> None:
        """Let others in."""
        self._file.close()
