"""Errors that are the user's to mend: shown in one line, without a traceback."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator


class UserError(ValueError):
    """Something the user can put right; the command line prints it in one line and exits with code 2.

    The message says what was received, what was expected and what to do.

    >>> str(UserError("no data", remedy="Run the preparation first."))
    'no data. Run the preparation first.'
    """

    def __init__(self, message: str, *, remedy: str = ""):
        super().__init__(f"{message.rstrip('.')}. {remedy}" if remedy else message)


class NonFiniteError(UserError):
    """A training that stopped where numbers became NaN or infinite."""


@contextlib.contextmanager
def as_user_error() -> Iterator[None]:
    """Turn a `ValueError` or `TypeError` of a block of code into a `UserError`.

    For the lines of a recipe where only the user's settings can be wrong, such as building the model from them.

    >>> with as_user_error():  # doctest: +IGNORE_EXCEPTION_DETAIL
    ...     raise ValueError("Squeeze: received 7 rows, expected an even number.")
    Traceback (most recent call last):
    recipes.common.errors.UserError: Squeeze: received 7 rows, expected an even number.
    """
    try:
        yield
    except UserError:
        raise
    except (ValueError, TypeError) as error:
        raise UserError(str(error)) from error


def user_error_of(error: Exception) -> UserError | None:
    """The user's error that an exception amounts to, `None` if it is a mistake of ours.

    A disk that is full, a file that cannot be read or written, memory that does not suffice: nothing in the program can
    mend them.  TensorFlow and h5py have their own words for them.

    >>> str(user_error_of(OSError(28, "No space left on device", "runs/a")))
    'runs/a: No space left on device. Make room on that disk, or choose another folder.'
    >>> user_error_of(ZeroDivisionError()) is None
    True
    """
    if isinstance(error, UserError):
        return error
    text = " ".join(str(error).split())
    low = text.lower()
    if isinstance(error, MemoryError) or "oom when allocating" in low or "cannot allocate memory" in low:
        return UserError("not enough memory", remedy="Choose smaller networks or batches.")
    from_system = isinstance(error, OSError)
    if "no space left" in low or "quota exceeded" in low or "file too large" in low:
        where = f"{error.filename}: " if from_system and error.filename else ""
        what = error.strerror if from_system and error.strerror else text[:200]
        return UserError(f"{where}{what}", remedy="Make room on that disk, or choose another folder.")
    if from_system and error.errno not in (None, errno.EINVAL):
        where = f"{error.filename}: " if error.filename else ""
        return UserError(f"{where}{error.strerror or text}", remedy="Choose another file or folder.")
    if type(error).__name__ == "ResourceExhaustedError":
        return UserError(f"not enough memory or disk space ({text[:200]})", remedy="Choose smaller networks or batches.")
    return None
