"""What a measurement asks of blocks: to mark what they would refuse by raising, and to leave out estimates not looked at."""

from __future__ import annotations

import contextlib

from inntf.core.thread_flags import ThreadFlag

_marked = ThreadFlag(False)
_asked = ThreadFlag((False, False))  # for values only, and then for gradients by the weights


def marked_refusals() -> contextlib.AbstractContextManager[None]:
    """Within it a sample that a block would refuse by raising comes back as NaN, as under XLA, where assertions are dropped.

    That is an inverse that does not reach its tolerance, a solver that does not finish, a number off the grid or out of
    range, and a value that `validate_args` refuses.

    Source: inntf.

    Example:
        >>> with marked_refusals():
        ...     refusals_are_marked()
        True
    """
    return _marked.set_to(True)


def refusals_are_marked() -> bool:
    """Whether `marked_refusals` is in force in this thread.

    Source: inntf.

    Example:
        >>> refusals_are_marked()
        False
    """
    return _marked.value


def values_only(*, weights: bool = False) -> contextlib.AbstractContextManager[None]:
    """Within it a block may leave out an estimate of its log-determinant, and return zero for it: only values are looked at.

    Gradients may stop at the weights, too: values are differentiated by their inputs alone, unless `weights` says otherwise.

    Source: inntf.

    Example:
        >>> with values_only():
        ...     log_dets_are_wanted()
        False
    """
    return _asked.set_to((True, weights))


def log_dets_are_wanted() -> bool:
    """Whether log-determinants are looked at in this thread.

    Source: inntf.

    Example:
        >>> log_dets_are_wanted()
        True
    """
    return not _asked.value[0]


def weights_are_constants() -> bool:
    """Whether gradients may stop at the weights in this thread.

    Source: inntf.

    Example:
        >>> with values_only(weights=True):
        ...     weights_are_constants()
        False
    """
    return _asked.value == (True, False)
