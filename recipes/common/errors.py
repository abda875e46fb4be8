"""Errors that are the user's to mend: shown in one line, without a traceback."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class UserError(ValueError):
    """Something the user can put right; the command line prints it in one line and exits with code 2.

    The message says what was received, what was expected and what to do.

    >>> str(UserError("no data", remedy="Run the preparation first."))
    'no data. Run the preparation first.'
    """

    def __init__(self, message: str, *, remedy: str = ""):
        super().__init__(f"{message.rstrip('.')}. {remedy}" if remedy else message)


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
