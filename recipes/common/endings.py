"""How a command ends: an exit code, and one line on stderr where it is not well."""

from __future__ import annotations

import contextlib
import os
import pathlib
import sys
import tempfile
import traceback
from collections.abc import Callable
from typing import Any

from recipes.common.errors import user_error_of
from recipes.common.termination import EXIT_CODE, Terminated, prompt_end


def exit_code(work: Callable[[], Any], *, interrupted: str = "") -> int:
    """Run `work` and say how it ended, in one line where it is not well.

    Args:
        work: called without arguments.
        interrupted: what to do after an interruption (Ctrl-C, or SIGTERM, before which a training keeps its step).

    Returns:
        0; 2 (a `UserError`; a disk, memory or device that is not enough); 1 (any other error: its traceback is kept in a file);
        130 (Ctrl-C); or 143 (SIGTERM).
    """
    try:
        with prompt_end():
            work()
        sys.stdout.flush()
    except KeyboardInterrupt:
        print(f"\nInterrupted. {interrupted}".rstrip(), file=sys.stderr)
        return 130
    except Terminated as end:
        print(f"\n{end} {interrupted}".rstrip(), file=sys.stderr)
        return EXIT_CODE
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BrokenPipeError:  # whoever read our output is gone: nobody to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        told = user_error_of(error)
        if told is not None:
            _say(told)
            return 2
        _say(f"unexpected {type(error).__name__}: {error}"[:400] + f". Its traceback is in {_keep_traceback(error)}")
        return 1
    return 0


def _say(what: object) -> None:
    print(f"error: {' '.join(str(what).split())}", file=sys.stderr)


def _keep_traceback(error: Exception) -> str:
    """Write a traceback to the folder of the run, which an error raised inside of it names, or to a temporary file."""
    text = "".join(traceback.format_exception(error))
    folder = getattr(error, "run_folder", None)
    with contextlib.suppress(OSError):
        if folder is not None:
            path = pathlib.Path(folder) / "error.log"
            with open(path, "a") as log:
                log.write(text)
            return str(path)
    with contextlib.suppress(OSError), tempfile.NamedTemporaryFile("w", prefix="inntf-", suffix=".log", delete=False) as log:
        log.write(text)
        return log.name
    return "no file, for none can be written"
