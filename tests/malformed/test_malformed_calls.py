"""Malformed calls are refused in words or answered rightly: a sample here, all of them where slow tests run."""

from __future__ import annotations

import itertools

import pytest

from tests.malformed.constructors import constructor_calls
from tests.malformed.outcome import Call, outcome
from tests.malformed.values import value_calls

GENERATORS = {"constructors": constructor_calls, "values": value_calls}


def faults(calls):
    return {call.name: found for call in calls if (found := outcome(call))}


@pytest.mark.parametrize("kind", GENERATORS)
def test_a_sample(kind):
    assert faults(itertools.islice(GENERATORS[kind](), 7, None, 20)) == {}


@pytest.mark.slow
@pytest.mark.parametrize("kind", GENERATORS)
def test_all(kind):
    assert faults(GENERATORS[kind]()) == {}


def test_the_judge():
    def fail(error):
        raise error

    assert outcome(Call("refused", lambda: fail(ValueError("received 3, expected 4. Pass 4.")))) == ""
    assert outcome(Call("right", lambda: 4, lambda answer: answer == 4)) == ""
    assert "without a message" in outcome(Call("mute", lambda: fail(ValueError("no"))))
    assert "AttributeError" in outcome(Call("from inside", lambda: fail(AttributeError("'int' has no attribute 'shape'"))))
    assert "answered: 4" in outcome(Call("answered", lambda: 4))
    assert "answered wrongly" in outcome(Call("wrong", lambda: 5, lambda answer: answer == 4))
