"""Small objects record what they were made with: exactly that, also those of users."""

import copy
import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import ChannelSplit, Coupling, IndexSplit, Split
from inntf.numerics import AffineTransform, ExpScale, Geometric, PowerSeries, RussianRoulette, Scale, SplineTransform
from inntf.numerics.log_dets import StoppingTime


class Wider(Scale):
    """The attribute is not the argument."""

    def __init__(self, high: float = 2.0):
        self.low, self.high, self.lipschitz = 0.5, 1.5 * high, math.inf

    def log_scale(self, raw):
        return tf.zeros_like(raw)


class Unnamed(Split):
    def __init__(self, *kept):
        self.indices = kept


class Third(ChannelSplit):
    def __init__(self, at="third"):
        super().__init__(3)


@dataclasses.dataclass(frozen=True)
class Frozen(StoppingTime):
    q: float = 0.5


def test_an_argument_is_recorded_as_it_was_given():
    assert Wider(2.0).get_config() == {"high": 2.0} and Wider.from_config(Wider(2.0).get_config()).high == 3.0
    assert repr(Wider(2.0)) == "Wider(high=2.0)"
    assert copy.deepcopy(Wider(2.0)).get_config() == {"high": 2.0}
    assert Third().get_config() == {"at": "third"} and Third.from_config(Third().get_config()).at == 3
    assert Frozen(0.25).get_config() == {"q": 0.25}


def test_what_was_left_out_is_what_it_has_become():
    assert repr(AffineTransform()) == "AffineTransform(scale=ExpScale(clamp=2.0, kind='atan', slope=1.0))"
    assert isinstance(RussianRoulette.from_config(RussianRoulette().get_config()).distribution, Geometric)
    assert AffineTransform.from_config(AffineTransform(ExpScale(1.0)).get_config()).scale.clamp == 1.0


def test_arrays_become_plain_data():
    assert IndexSplit(np.array([0, 2])).get_config() == {"identity": [0, 2], "swap": False}
    assert SplineTransform(np.int64(4)).get_config() == {"num_bins": 4, "bound": 3.0, "tails": "identity"}
    assert IndexSplit.from_config({"kept": [1], "swap": False}).identity == [1]  # a file of before


def test_arguments_without_names_cannot_be_saved_and_say_so():
    with pytest.raises(TypeError, match=r"Unnamed: received positional arguments without names"):
        Coupling(split=Unnamed(1, 2))


def test_what_reaches_our_constructors_is_checked():
    class Own(PowerSeries):
        def __init__(self, terms="auto"):
            super().__init__(5 if terms == "auto" else terms)

    assert Own().terms == 5
    for make in (lambda: Own("many"), lambda: ChannelSplit(at=1.5), lambda: SplineTransform(2.5), lambda: Geometric("a")):
        with pytest.raises((TypeError, ValueError), match="expected"):
            make()
