"""Many blocks of a Repeat are initialized by one traced step: as they would be one by one, errors and what is kept included."""

import numpy as np
import pytest
import tensorflow as tf

from inntf import blocks as b
from inntf.compose import Chain, Repeat, initialization_in_turn
from inntf.core.initialization import under_way
from inntf.nets import MLP, ConvNet

N = initialization_in_turn._WORTH_A_TRACE
DOUBLE = {"dtype": "float64"}


def table(n=200, columns=4, dtype="float64"):
    return (5 + 3 * np.random.default_rng(0).normal(size=(n, columns))).astype(dtype)


def step(i):
    net = lambda channels: MLP((4,), out_channels=channels, activation="tanh", zero_last=False)  # noqa: E731
    return Chain([b.ActNorm(**DOUBLE), b.InvertibleLinear(seed=i, **DOUBLE), b.AffineCoupling(conditioner=net, **DOUBLE)])


@pytest.fixture
def from_so_many(monkeypatch):
    """Sets from how many blocks on they are traced."""
    return lambda n: monkeypatch.setattr(initialization_in_turn, "_WORTH_A_TRACE", n)


@pytest.fixture
def traces(monkeypatch):
    """Counts the traced steps."""
    made, plain = [], initialization_in_turn._traced
    monkeypatch.setattr(initialization_in_turn, "_traced", lambda *a: made.append(plain(*a)) or made[-1])
    return made


def both_ways(make, x, from_so_many, condition=None):
    """Weights and outputs of the traced run and of the eager one, from the same start."""
    first = make()
    first.ensure_built(x.shape[1:], None if condition is None else condition.shape[1:])
    start, found = first.get_weights(), []
    for least in (N, 10**9):
        from_so_many(least)
        first.set_weights(start)
        out = first.initialize(x, condition)
        found.append([np.asarray(out), *first.get_weights()])
    return found


def test_weights_and_output_are_those_of_blocks_run_from_so_many(from_so_many, traces):
    traced, eager = both_ways(lambda: Repeat(step, N), table(), from_so_many)
    assert len(traces) == 1
    for ours, theirs in zip(traced, eager, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


def test_images_networks_with_norms_and_conditions(from_so_many, traces):
    def image_step():
        net = ConvNet((4, 4), normalization=b.ActNorm, zero_last=False)
        return Chain([b.ActNorm(), b.InvertibleConv1x1(), b.AdditiveCoupling(conditioner=net)])

    x = table(2 * 16, 3, "float32").reshape(2, 4, 4, 3)
    traced, eager = both_ways(lambda: Repeat(image_step, N), x, from_so_many)
    assert len(traces) == 1
    for ours, theirs in zip(traced, eager, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-3)

    net = MLP((4,), activation="tanh", zero_last=False)
    conditioned = lambda: Repeat(lambda: Chain([b.ActNorm(), b.AdditiveCoupling(conditioner=net)]), N)  # noqa: E731
    for ours, theirs in zip(
        *both_ways(conditioned, table(dtype="float32"), from_so_many, table(columns=2, dtype="float32")), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-3)
    assert len(traces) == 2


def test_what_is_rounding_for_one_block_is_for_those_after_it(traces):
    x = table(dtype="float32")
    x[:, 1] = 3.25 + 1e-7 * np.random.default_rng(1).normal(size=len(x))
    repeat = Repeat(lambda: Chain([b.ActNorm()]), 2 * N).ensure_built((4,))
    repeat.initialize(x)
    log_scale = next(w for w in repeat.weights if "log_scale" in w.name)
    assert len(traces) == 1 and np.max(log_scale) < 0.2


@pytest.mark.parametrize(
    "x", [np.full((20, 4), np.nan), np.full((20, 4), np.inf), np.zeros((0, 4))], ids=["nan", "inf", "none"]
)
def test_a_batch_that_says_nothing_is_refused_by_name_and_the_weights_are_kept(x):
    repeat = Repeat(step, N).ensure_built((4,))
    before = repeat.get_weights()
    with pytest.raises(ValueError, match="act_norm.*finite data"):
        repeat.initialize(x)
    for ours, theirs in zip(repeat.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_weights_that_stay_do_not_hide_data_that_are_not_finite():
    repeat = Repeat(lambda: b.ActNorm(**DOUBLE), N).ensure_built((4,))
    repeat.initialize(table())
    with under_way(fresh_only=True), pytest.raises(ValueError, match="finite data"):
        repeat.initialize(np.full((20, 4), np.nan))


def test_a_block_that_computes_in_numpy_is_initialized_too():
    class Centred(b.ActNorm):
        def initialize(self, x, condition=None):
            self.shift.assign(-x.numpy().mean(0))  # symbolic tensors have no numbers
            return self.forward_and_log_det(x)[0]

    repeat = Repeat(lambda: Centred(**DOUBLE), N).ensure_built((4,))
    z = repeat.initialize(table())
    np.testing.assert_allclose(tf.reduce_mean(z, 0), 0, atol=1e-9)
    np.testing.assert_allclose(repeat.forward_and_log_det(table())[0], z, atol=1e-9)


def test_fresh_slices_alone_are_set_where_only_those_may_be(traces):
    repeat = Repeat(lambda i: Chain([b.ActNorm(**DOUBLE), b.InvertibleLinear(seed=i, **DOUBLE)]), N).ensure_built((4,))
    shift = next(w for w in repeat.weights if "shift" in w.name)
    values = shift.numpy()
    values[3] = 7.0
    shift.assign(values)
    with under_way(fresh_only=True):
        repeat.initialize(table())
    assert len(traces) == 1
    np.testing.assert_array_equal(shift.numpy()[3], 7.0)
    assert not repeat.waits_for_data()


def test_within_a_function_it_is_run_as_it_stands():
    repeat = Repeat(step, N).ensure_built((4,))
    again = repeat.copy()
    out = tf.function(repeat.initialize, autograph=False)(table())
    np.testing.assert_allclose(out, again.initialize(table()), rtol=1e-9, atol=1e-9)
