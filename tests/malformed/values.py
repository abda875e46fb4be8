"""Every method of blocks, flows and served models with values and conditions that do not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf import blocks, compose, models, stability
from inntf.core import Block
from tests.malformed.outcome import Call

X = np.random.default_rng(0).uniform(0.1, 0.9, (3, 4)).astype(np.float32)
IMAGES = np.random.default_rng(0).uniform(0.1, 0.9, (2, 4, 4, 3)).astype(np.float32)
CONDITION = np.random.default_rng(1).normal(size=(3, 2)).astype(np.float32)
# By name: a value that is refused, made of the right one.
IMPOSSIBLE: dict[str, Callable[[np.ndarray], Any]] = {
    "one entry": lambda x: x[..., :1],
    "an entry less": lambda x: x[..., :-1],
    "an entry more": lambda x: np.concatenate([x, x[..., :1]], -1),
    "a number": lambda x: 1.5,
    "complex": lambda x: x.astype(np.complex64),
    "a complex tensor": lambda x: tf.constant(x.astype(np.complex64)),
    "text": lambda x: x.astype(str),
    "objects": lambda x: np.full(x.shape, None),
    "None": lambda x: None,
    "a wider tensor": lambda x: tf.constant(x, tf.float64),
    "a KerasTensor": lambda x: keras.Input(x.shape[1:]),
    "a ragged tensor": lambda x: tf.RaggedTensor.from_tensor(x),
    "a ragged list": lambda x: [x[0].tolist(), x[1][:1].tolist()],
    "a sparse tensor": lambda x: tf.sparse.from_dense(x),
    "a dataset": lambda x: tf.data.Dataset.from_tensor_slices(x),
    "a dictionary": lambda x: {"x": x},
    "a generator": lambda x: (row for row in x),
    "a set": lambda x: {1.0, 2.0},
    "dates": lambda x: np.full(x.shape, np.datetime64("2020-01-01")),
    "bytes": lambda x: b"abcd",
    "structured": lambda x: np.zeros(len(x), [("a", "f4"), ("b", "f4")]),
    "an optimizer": lambda x: keras.optimizers.Adam(),
}
# What gives the right answer, that of the plain array.
UNUSUAL: dict[str, Callable[[np.ndarray], Any]] = {
    "a list": lambda x: x.tolist(),
    "not contiguous": lambda x: np.repeat(x, 2, 0)[::2],
    "Fortran order": np.asfortranarray,
    "big-endian": lambda x: x.astype(">f4"),
    "float64 array": lambda x: x.astype(np.float64),
    "a variable": tf.Variable,
    "a Keras variable": keras.Variable,
    "read-only": lambda x: np.frombuffer(x.tobytes(), np.float32).reshape(x.shape),
}


def subjects() -> dict[str, tuple[Any, np.ndarray, np.ndarray | None]]:
    """Blocks, built, with data; those with weights are moved from where they begin."""
    keras.utils.set_random_seed(0)
    found: dict[str, tuple[Any, np.ndarray, np.ndarray | None]] = {
        "actnorm": (blocks.ActNorm(), X, None),
        "additive": (blocks.AdditiveCoupling(), X, None),
        "affine": (blocks.AffineCoupling(), X, None),
        "conditioned": (blocks.AffineCoupling(), X, CONDITION),
        "spline": (blocks.SplineCoupling(), X, None),
        "two-sided": (blocks.TwoSidedCoupling(), X, None),
        "autoregressive": (blocks.MaskedAutoregressive(), X, None),
        "linear": (blocks.InvertibleLinear(seed=1), X, None),
        "residual": (blocks.ResidualBlock(coefficient=0.5), X, None),
        "bi-lipschitz": (blocks.BiLipschitz(0.2, 5.0, hidden=8), X, None),
        "permutation": (blocks.Permutation.shuffle(1), X, None),
        "rescale": (blocks.Rescale(2.0), X, None),
        "logit": (blocks.Logit(), X, None),
        "padding": (blocks.InjectivePadding(6), X, None),
        "exact": (blocks.ExactAdditiveCoupling(), np.round(X * 1024) / 1024, None),
        "snap": (blocks.SnapToGrid(), X, None),
        "squeeze": (blocks.Squeeze(), IMAGES, None),
        "haar": (blocks.Haar(), IMAGES, None),
        "conv": (blocks.InvertibleConv1x1(seed=1), IMAGES, None),
        "chain": (compose.Chain([blocks.ActNorm(), blocks.AffineCoupling()]), X, None),
        "repeat": (compose.Repeat(lambda: compose.Chain([blocks.ActNorm(), blocks.AffineCoupling()]), 2), X, None),
        "multiscale": (compose.Multiscale([blocks.Squeeze(), blocks.ActNorm()]), IMAGES, None),
    }
    rng = np.random.default_rng(2)
    for block, x, condition in found.values():
        block.ensure_built(x.shape[1:], None if condition is None else condition.shape[1:])
        for weight in block.trainable_weights:
            weight.assign(weight + 0.05 * rng.normal(size=weight.shape))
    return found


def value_calls() -> Iterator[Call]:
    """All of them."""
    for name, (block, x, condition) in subjects().items():
        yield from _block_calls(name, block, x, condition)
    yield from _model_calls()


def _block_calls(name: str, block: Block, x: np.ndarray, condition: np.ndarray | None) -> Iterator[Call]:
    given = {} if condition is None else {"condition": condition}
    z, log_det = block.forward_and_log_det(x, **given)
    z, log_det = z.numpy(), log_det.numpy()
    pairs = {"forward_and_log_det": (block.forward_and_log_det, x, (z, log_det))}
    back = block.inverse_and_log_det(z, **given)
    pairs["inverse_and_log_det"] = (block.inverse_and_log_det, z, tuple(part.numpy() for part in back))
    ways: dict[str, Callable] = {
        "forward": block.forward, "forward_log_det_jacobian": block.forward_log_det_jacobian,
        "inverse": block.inverse, "call": block,
    }  # fmt: skip
    for method, (function, value, expected) in pairs.items():
        for kind, make in IMPOSSIBLE.items():
            right = None
            if kind == "a wider tensor" and (not block.trainable_weights or name == "permutation"):
                right = lambda found, e=expected: all(map(_same, found, e))  # it computes in any precision  # noqa: E731
            yield Call(f"{name}.{method}({kind})", lambda f=function, m=make, v=value: f(m(v), **given), right)
        if value.ndim == 2:
            yield Call(f"{name}.{method}(scalars)", lambda f=function, v=value: f(v[0, 0], **given))
        for kind, make in UNUSUAL.items():
            right = lambda found, e=expected: all(_same(a, b) for a, b in zip(found, e, strict=True))  # noqa: E731
            yield Call(f"{name}.{method}({kind})", lambda f=function, m=make, v=value: f(m(v), **given), right)
        empty = {} if condition is None else {"condition": condition[:0]}
        right = lambda found, e=expected: found[0].shape == (0, *e[0].shape[1:]) and found[1].shape == (0,)  # noqa: E731
        yield Call(f"{name}.{method}(empty)", lambda f=function, v=value, k=empty: f(v[:0], **k), right)
        for bad in (np.nan, np.inf):
            yield Call(
                f"{name}.{method}({bad})", lambda f=function, v=value, b=bad: f(_with(v, b), **given),
                lambda found, e=expected: _only_first_is_lost(found, e),
            )  # fmt: skip
        if block.uses_condition:
            yield from _condition_calls(f"{name}.{method}", function, value, condition)
        yield Call(f"{name}.{method}(no_such=1)", lambda f=function, v=value: f(v, **given, no_such=1))
    for method, function in ways.items():
        value = z if method == "inverse" else x
        for kind in ("one entry", "an entry more", "complex", "text", "a ragged tensor", "a dictionary", "None"):
            make = IMPOSSIBLE[kind]
            yield Call(f"{name}.{method}({kind})", lambda f=function, m=make, v=value: f(m(v), **given))


def _condition_calls(name: str, function: Callable, x: np.ndarray, condition: np.ndarray | None) -> Iterator[Call]:
    if condition is None:
        yield Call(f"{name}(condition not asked for)", lambda: function(x, condition=CONDITION[: len(x)]))
        return
    wrong = {
        "none": None, "narrower": condition[:, :1], "wider": np.repeat(condition, 2, 1), "fewer": condition[:2],
        "more": np.repeat(condition, 2, 0), "text": condition.astype(str), "complex": condition.astype(np.complex64),
        "a wider tensor": tf.constant(condition, tf.float64), "a number": 1.0, "of rank 3": condition[None, None],
        "ragged": tf.RaggedTensor.from_tensor(condition), "a dictionary": {"c": condition},
    }  # fmt: skip
    for kind, value in wrong.items():
        yield Call(f"{name}(condition {kind})", lambda v=value: function(x, condition=v))
    expected = function(np.copy(x), condition=np.repeat(condition[:1], len(x), 0))
    for kind, value in {"one for all": condition[:1], "one, without a batch": condition[0]}.items():
        right = lambda found: all(_same(a, b) for a, b in zip(found, expected, strict=True))  # noqa: E731
        yield Call(f"{name}(condition {kind})", lambda v=value: function(x, condition=v), right)


def _model_calls() -> Iterator[Call]:
    flow = models.real_nvp(event_shape=4, depth=1, hidden=(4,))
    conditioned = models.real_nvp(event_shape=4, depth=1, hidden=(4,), condition_shape=2)
    samples = lambda *a, **k: flow.sample(*a, seed=1, **k)  # noqa: E731
    for n in (-1, 1.5, 2.0, float("nan"), 2**31, 2**40, "3", None, [2, -1], [1.5], True, tf.constant(2.5), 1j, {}):
        yield Call(f"flow.sample({n!r})", lambda n=n: samples(n))
        yield Call(f"flow.sample_and_log_prob({n!r})", lambda n=n: flow.sample_and_log_prob(n, seed=1))
    for t in (-1.0, float("nan"), float("inf"), -float("inf"), "1", None, 1j, True, [1.0, 2.0]):
        yield Call(f"flow.sample(temperature={t!r})", lambda t=t: samples(2, temperature=t))
        yield Call(
            f"flow.sample_and_log_prob(temperature={t!r})", lambda t=t: flow.sample_and_log_prob(2, seed=1, temperature=t)
        )
    for seed in (1.5, "1", [1, 2, 3], float("nan"), 1j, {}, [1.5, 2.5]):
        yield Call(f"flow.sample(seed={seed!r})", lambda s=seed: flow.sample(2, seed=s))
    yield Call("flow.sample(no_such=1)", lambda: samples(2, no_such=1))
    yield Call("flow.sample(condition not asked for)", lambda: samples(2, condition=CONDITION))
    yield Call("conditioned.sample without one", lambda: conditioned.sample(2, seed=1))
    yield Call("conditioned.sample, narrower", lambda: conditioned.sample(2, seed=1, condition=CONDITION[:, :1]))
    methods = {
        "log_prob": flow.log_prob, "prob": flow.prob, "bits_per_dim": flow.bits_per_dim, "reconstruct": flow.reconstruct,
        "initialize": flow.initialize, "reconstruction_error": lambda x: stability.reconstruction_error(flow, x),
        "singular_values": lambda x: stability.singular_values(flow, x),
        "stability_report": lambda x: stability.stability_report(flow, x, passes=1, samples=1),
        "repeated_reconstruction": lambda x: stability.repeated_reconstruction(flow, x, passes=1),
    }  # fmt: skip
    for method, function in methods.items():
        for kind, make in IMPOSSIBLE.items():
            yield Call(f"flow.{method}({kind})", lambda f=function, m=make: f(m(X)))
    for method in ("log_prob", "bits_per_dim", "reconstruct"):
        function = getattr(conditioned, method)
        for kind, value in {
            "narrower": CONDITION[:, :1], "fewer": CONDITION[:2], "more": np.repeat(CONDITION, 2, 0), "none": None,
            "text": CONDITION.astype(str),
        }.items():  # fmt: skip
            yield Call(f"conditioned.{method}(condition {kind})", lambda f=function, v=value: f(X, condition=v))
    for passes in (0, -1, 1.5, "2", None):
        yield Call(
            f"repeated_reconstruction(passes={passes!r})", lambda p=passes: stability.repeated_reconstruction(flow, X, p)
        )
        yield Call(f"stability_report(samples={passes!r})", lambda p=passes: stability.stability_report(flow, X, samples=p))
    for domain in ((1, 0), (0,), 3, "ab", (float("nan"), 1), (0, 1, 2), ("a", "b"), (np.zeros(3), np.ones(3)), None):
        if domain is not None:
            yield Call(f"certify(domain={domain!r})", lambda d=domain: stability.certify(flow, d))
    for method in ("no_such", 3, None):
        yield Call(f"singular_values(method={method!r})", lambda m=method: stability.singular_values(flow, X, method=m))
    for thing in (None, 3, "block", keras.layers.Dense(2), [1, 2], object()):
        for name in ("find_block", "certify"):
            yield Call(f"{name}({thing!r})", lambda t=thing, n=name: getattr(stability, n)(t))


def _same(found: Any, expected: np.ndarray) -> bool:
    return found.shape == expected.shape and bool(np.allclose(found, expected, rtol=1e-5, atol=1e-5))


def _with(x: np.ndarray, bad: float) -> np.ndarray:
    x = x.copy()
    x.reshape(len(x), -1)[0, 0] = bad
    return x


def _only_first_is_lost(found: tuple, expected: tuple) -> bool:
    """A value that is not finite shows in its own sample, and in no other."""
    shown = not (np.isfinite(found[0][0]).all() and np.isfinite(found[1][0]).all())
    return shown and all(_same(a[1:], b[1:]) for a, b in zip(found, expected, strict=True))
