"""Flags of a `with` statement: nested, after errors, and in another thread."""

import threading

import pytest

from inntf.core.refusals import log_dets_are_wanted, marked_refusals, refusals_are_marked, values_only, weights_are_constants
from inntf.core.straight_line import is_straight_line, straight_line
from inntf.core.thread_flags import ThreadFlag


def test_what_was_before_comes_back():
    flag = ThreadFlag("none")
    with flag.set_to("outer"):
        with pytest.raises(KeyError), flag.set_to("inner"):
            assert flag.value == "inner"
            raise KeyError
        assert flag.value == "outer"
    assert flag.value == "none"


def test_a_context_that_was_made_and_not_entered_changes_nothing():
    made = straight_line()
    assert not is_straight_line()
    with made:
        assert is_straight_line()


def test_another_thread_has_the_default():
    seen = []
    with marked_refusals(), straight_line(), values_only():
        thread = threading.Thread(
            target=lambda: seen.extend([refusals_are_marked(), is_straight_line(), log_dets_are_wanted()])
        )
        thread.start()
        thread.join()
        assert refusals_are_marked() and is_straight_line() and not log_dets_are_wanted()
    assert seen == [False, False, True]


def test_weights_count_where_the_inner_one_says_so():
    with values_only():
        assert weights_are_constants()
        with values_only(weights=True):
            assert not weights_are_constants() and not log_dets_are_wanted()
        assert weights_are_constants()
    assert not weights_are_constants() and log_dets_are_wanted()
