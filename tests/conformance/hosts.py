"""Engineering: the places a block lives in, TFP on one side and Keras on the other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import inntf
from tests.conformance.subject import Subject

tfb, tfd = tfp.bijectors, tfp.distributions


def base(s: Subject) -> tfd.Distribution:
    """A standard normal of the latent shape."""
    return tfd.Sample(tfd.Normal(s.value_dtype(0), s.value_dtype(1)), s.z_shape)


def density(s: Subject, block: inntf.Block | None = None) -> tfd.TransformedDistribution:
    """The base pulled back through the block."""
    return tfd.TransformedDistribution(base(s), tfb.Invert(block or s.block))


def keras_model(s: Subject, block: inntf.Block) -> keras.Model:
    """A functional model of one block."""
    x = keras.Input(s.case.event_shape, dtype=s.value_dtype().dtype.name)
    if s.case.condition_shape is None:
        return keras.Model(x, block(x))
    c = keras.Input(s.case.condition_shape, dtype=s.value_dtype().dtype.name)
    return keras.Model([x, c], block(x, c))


def check_both_faces(s: Subject) -> None:
    assert isinstance(s.block, inntf.Block)
    assert isinstance(s.block, tfb.Bijector)
    assert isinstance(s.block, keras.layers.Layer)
    assert isinstance(s.block, tf.Module)


def check_trainable_variables_are_complete_everywhere(s: Subject) -> None:
    wanted = {id(w.value) for w in s.block.trainable_weights}
    holder = tf.Module()
    holder.block = s.block
    hosts = {
        "tf.Module": holder,
        "tfb.Chain": tfb.Chain([s.block, tfb.Scale(s.value_dtype(2))]),
        "tfb.Invert": tfb.Invert(s.block),
        "tfd.TransformedDistribution": density(s),
    }
    for name, host in hosts.items():
        assert {id(v) for v in host.trainable_variables} == wanted, name
        assert {id(v) for v in host.variables} >= wanted, name
    assert {id(w.value) for w in keras_model(s, s.block).trainable_weights} == wanted
    assert {id(getattr(w, "value", w)) for w in s.block.trainable_variables} == wanted


def check_frozen_blocks_train_nowhere(s: Subject) -> None:
    block = s.twin().block
    block.trainable = False
    assert list(block.trainable_variables) == []
    assert list(tfb.Invert(block).trainable_variables) == []
    assert list(density(s, block).trainable_variables) == []


def check_log_prob_is_base_plus_log_det(s: Subject) -> None:
    x, c = s.x(3), s.condition(3)
    z, log_det = s.block.forward_and_log_det(x, c)
    got = density(s).log_prob(tf.identity(x), **_bijector_kwargs(c))
    s.close(got, base(s).log_prob(tf.identity(z)) + log_det, 10)


def check_distribution_samples(s: Subject) -> None:
    for shape, lead in (((), ()), ((2,), (2,)), ((2, 3), (2, 3))):
        x = density(s).sample(shape, seed=5, **_bijector_kwargs(s.condition(*lead)))
        assert x.shape == (*shape, *s.case.event_shape)
        assert x.dtype == s.value_dtype
        assert np.all(np.isfinite(x))


def check_networks_run_once_a_log_prob(s: Subject) -> None:
    block = s.twin().block
    with _counting(block) as counts:
        density(s, block).log_prob(s.x(2), **_bijector_kwargs(s.condition(2)))
    assert counts[block.name] == 1
    twice = {k: n for k, n in counts.items() if n > 1}
    assert not twice, f"evaluated more than once for one log_prob: {twice}"


def check_stock_bijectors_mix(s: Subject) -> None:
    x, c = s.x(3), s.condition(3)
    chain = tfb.Chain([tfb.Scale(s.value_dtype(2)), s.block])  # TFP applies the last one first
    kwargs = {} if c is None else {s.block.name: {"condition": c}}
    z, log_det = s.block.forward_and_log_det(x, c)
    s.close(chain.forward(tf.identity(x), **kwargs), 2 * z)
    ndims = len(s.case.event_shape)
    expected = log_det + np.prod(s.z_shape) * np.log(s.value_dtype(2))
    s.close(chain.forward_log_det_jacobian(tf.identity(x), ndims, **kwargs), expected)
    if c is None:
        s.close(tfb.Invert(s.block).inverse(tf.identity(x)), z)
        s.close(s.block(tfb.Scale(s.value_dtype(1))).forward(tf.identity(x)), z)


def check_tfp_methods_agree_with_pairs(s: Subject) -> None:
    x, c = s.x(3), s.condition(3)
    kwargs = {} if c is None else {"condition": c}
    z, log_det = s.block.forward_and_log_det(x, c)
    s.close(s.block.forward(tf.identity(x), **kwargs), z)
    s.close(s.block.forward_log_det_jacobian(tf.identity(x), **kwargs), log_det)
    x_back, log_det_back = s.block.inverse_and_log_det(tf.identity(z), c)
    s.close(s.block.inverse(tf.identity(z), **kwargs), x_back)
    s.close(s.block.inverse_log_det_jacobian(tf.identity(z), **kwargs), log_det_back)


def check_two_blocks_share_no_cache(s: Subject) -> None:
    one, two = s.twin().block, s.twin().block
    assert one != two and len({one, two}) == 2
    if not two.trainable_weights:
        pytest.skip("without weights two blocks of one make are the same map")
    for w in two.trainable_weights:
        w.assign(w.value + 0.1)
    x, c = s.x(2), s.condition(2)
    kwargs = {} if c is None else {"condition": c}
    first, second = one.forward(x, **kwargs), two.forward(x, **kwargs)
    again = two.forward_and_log_det(tf.identity(x), c)[0]
    s.close(second, again)
    assert np.max(np.abs(first - second)) > 0


def check_sequential(s: Subject) -> None:
    if s.case.condition_shape is not None:
        pytest.skip("keras.Sequential passes one tensor on, no condition")
    block = s.twin().block
    model = keras.Sequential([keras.Input(s.case.event_shape, dtype=s.value_dtype().dtype.name), block])
    x = s.x(2)
    s.close(model(x), block.forward_and_log_det(x)[0])
    assert model.output_shape == (None, *s.z_shape)


def check_functional_model_fits(s: Subject) -> None:
    block = s.twin().block
    model = keras_model(s, block)
    model.compile(optimizer=keras.optimizers.SGD(1e-3), loss="mse")
    x, c = s.x(4), s.condition(4)
    inputs = x.numpy() if c is None else [x.numpy(), c.numpy()]
    before = [w.numpy().copy() for w in block.trainable_weights]
    history = model.fit(inputs, np.full((4, *s.z_shape), 2.0, s.value_dtype), batch_size=2, epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"][0])
    moved = [np.any(a != w.numpy()) for a, w in zip(before, block.trainable_weights, strict=True)]
    assert any(moved) or not moved


def _bijector_kwargs(condition: tf.Tensor | None) -> dict[str, Any]:
    return {} if condition is None else {"bijector_kwargs": {"condition": condition}}


@contextlib.contextmanager
def _counting(block: inntf.Block) -> Iterator[dict[str, int]]:
    """Count evaluations: of a block in either direction together, of any other layer in `call`."""
    counts: dict[str, int] = {}
    layers = list({id(layer): layer for layer in block._flatten_layers()}.values())
    for i, layer in enumerate(layers):
        key = layer.name if layer is block else f"{i}:{layer.path or layer.name}"
        counts[key] = 0
        names = ("forward_and_log_det", "inverse_and_log_det") if isinstance(layer, inntf.Block) else ("call",)
        for name in names:
            object.__setattr__(layer, name, _counted(getattr(layer, name), counts, key))
    yield counts


def _counted(function: Any, counts: dict[str, int], key: str) -> Any:
    def counted(*args: Any, **kwargs: Any) -> Any:
        counts[key] += 1
        return function(*args, **kwargs)

    return counted
