"""Flags read by tyro, whose framed errors become one line."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence
from typing import Any

import tyro

from recipes.common import ranges
from recipes.common.errors import UserError


def read_flags(settings: type[Any], argv: Sequence[str], **options: Any) -> Any:
    """`tyro.cli`, whose errors become one line.

    Args:
        settings: the dataclass.
        argv: arguments without the program name.
        **options: of `tyro.cli`.

    Returns:
        The settings.

    Raises:
        UserError: for a flag or a value that cannot be read.
        SystemExit: with code 0 after `--help`.
    """
    for argument in argv:
        if not argument or (argument.startswith("--") and argument.find("=") == len(argument) - 1):
            raise UserError(f"command line: received an empty value among {ranges.shown(' '.join(argv))}")
        if "\0" in argument or not _is_text(argument):
            raise UserError(f"command line: received {ranges.shown(argument)}, expected UTF-8 without null bytes")
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(settings, args=list(argv), **options)
    except AssertionError as error:  # so tyro answers a shell that it does not know, asked for completions
        raise UserError(f"command line: {error}") from error
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UserError(_message_of(said.getvalue()), remedy="--help shows all flags.") from None


def _is_text(argument: str) -> bool:
    try:
        argument.encode()
    except UnicodeEncodeError:  # bytes that are not UTF-8 reach Python as lone surrogates
        return False
    return True


def _message_of(box: str) -> str:
    """What a framed error of tyro says, without its frame, its title and the help it repeats."""
    lines = [re.sub(r"[\u2500-\u257f]|-{4,}", " ", line).strip() for line in box.splitlines()]
    text = [line for line in lines if line]
    text = text[1:] if len(text) > 1 else text
    for i, line in enumerate(text):
        if line.startswith(("Argument helptext", "For full helptext")):
            text = text[:i]
            break
    words = " ".join(" ".join(text).split()) or "command line: cannot be read"
    return words if len(words) <= 400 else f"{words[:397]}..."


def flag_value(argv: Sequence[str], flag: str) -> str | None:
    """Value of the last `flag VALUE` or `flag=VALUE`, if there is one; the full parse comes later."""
    value = None
    for i, argument in enumerate(argv):
        if argument == flag and i + 1 < len(argv):
            value = argv[i + 1]
        elif argument.startswith(f"{flag}="):
            value = argument.partition("=")[2]
    return value
