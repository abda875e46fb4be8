"""SIGTERM, with which schedulers and containers end a process: a training keeps its step first, then the run ends."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

EXIT_CODE = 128 + signal.SIGTERM

_asked = threading.Event()
_steps: list[bool] = []  # not empty while a training makes steps
_listening: list[bool] = []  # not empty within `prompt_end`
_agreements: list[Callable[[bool], bool]] = []  # of several workers, the last one counts


class Terminated(BaseException):
    """The process was asked to end; what is kept is whole.  No `Exception`: nothing that mends errors holds it up."""


@contextlib.contextmanager
def prompt_end() -> Iterator[None]:
    """Within it SIGTERM raises `Terminated`: at once, or in a training after the step that is being made.

    A second SIGTERM ends the process as it always does.  Outside of the main thread, where Python takes no signals, nothing is
    changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _ask)
    _listening.append(True)
    try:
        yield
    finally:
        _listening.pop()
        signal.signal(signal.SIGTERM, before)
        _asked.clear()


@contextlib.contextmanager
def at_a_step() -> Iterator[None]:
    """Within it SIGTERM only makes `wanted` true, for whoever makes the steps to look at after each."""
    _steps.append(True)
    try:
        yield
    finally:
        _steps.pop()


def listen_again() -> None:
    """Within `prompt_end`, after something else has taken the signal: TensorFlow does where several workers start."""
    if _listening:
        signal.signal(signal.SIGTERM, _ask)


@contextlib.contextmanager
def agreed_by(anyone: Callable[[bool], bool]) -> Iterator[None]:
    """Within it `wanted` is what `anyone` makes of this process' answer: several workers have to end at the same step."""
    _agreements.append(anyone)
    try:
        yield
    finally:
        _agreements.pop()


def wanted() -> bool:
    """Whether the process was asked to end; of several workers, whether one was."""
    return _agreements[-1](_asked.is_set()) if _agreements else _asked.is_set()


def _ask(number: int, frame: FrameType | None) -> None:
    del number, frame
    _asked.set()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if not _steps:
        raise Terminated("Terminated between trainings.")
