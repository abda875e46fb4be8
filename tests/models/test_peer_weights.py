"""FrEIA's and nflows' weights: imported blocks compute what the peers computed, and go back as they came.

`peer_weights.npz` holds what `benchmarks/peer_weights.py` recorded, in float64.  With `INNTF_PEERS=/path/to/python`, a Python
that has both libraries, fresh modules are imported, changed here, exported, loaded there and compared again.
"""

from __future__ import annotations

import functools
import os
import pathlib
import subprocess
import tempfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks.packed_arrays import pack, unpack
from inntf.blocks import (
    ActNorm,
    AffineCoupling,
    IndexSplit,
    InvertibleLinear,
    MaskedAutoregressive,
    Permutation,
    SplineCoupling,
)
from inntf.compose import Chain
from inntf.models import from_freia, from_nflows, to_freia, to_nflows
from inntf.nets import MLP, MaskedMLP
from inntf.numerics import SoftplusScale

HERE = pathlib.Path(__file__).parents[1]
SCRIPT = HERE.parent / "benchmarks" / "peer_weights.py"


RECORDED = unpack(HERE / "data" / "peer_weights.npz")
NAMES = sorted(RECORDED)


def of(name):
    return (from_freia, to_freia) if name.startswith("FrEIA") else (from_nflows, to_nflows)


def kinds(case):
    kind = case["kind"]
    return kind if isinstance(kind, str) else [k if isinstance(k, str) else tuple(k) for k in kind]


def tolerance(name):
    # Knots stand up to a thousandth of the interval apart: their rounding is multiplied by slopes up to 1e4.
    return 2e-11 if "spline" in name or name == "nflows: flow" else 1e-12


def ours(values):
    """`(batch, channels, height, width)` to ours; vectors stay."""
    return tf.constant(values.transpose(0, 2, 3, 1) if values.ndim == 4 else values)


def differences(block, case):
    """The largest of each quantity, relative to one plus its size."""
    condition = ours(case["condition"]) if "condition" in case else None
    found = dict(zip(("z", "log_det"), block.forward_and_log_det(ours(case["x"]), condition), strict=True))
    found |= dict(zip(("back", "back_log_det"), block.inverse_and_log_det(ours(case["w"]), condition), strict=True))
    return {k: float(np.max(np.abs(v - ours(case[k])) / (1 + np.max(np.abs(case[k]))))) for k, v in found.items()}


@functools.cache
def imported(name):
    case = RECORDED[name]
    return of(name)[0](case["state"], kinds(case), **case["options"])


@pytest.mark.parametrize("name", NAMES)
def test_numbers_are_the_peers(name):
    found = differences(imported(name), RECORDED[name])
    assert max(found.values()) < tolerance(name), found


@pytest.mark.parametrize("name", NAMES)
def test_goes_back_as_it_came(name):
    case, (_, take) = RECORDED[name], of(name)
    back = take(imported(name), kinds(case), like=case["state"], **case["options"])
    assert set(back) == {k for k in case["state"] if not k.startswith("_distribution.")}
    for key, value in back.items():
        assert value.shape == case["state"][key].shape, key
        if key.endswith(("initialized", "logDetM")):
            continue  # imported weights count as initialized
        np.testing.assert_allclose(value, case["state"][key], rtol=1e-12, atol=1e-13, err_msg=key)


def changed(block):
    """Other weights, as after training; what is frozen stays."""
    rng = np.random.default_rng(3)
    for variable in block.trainable_variables:
        variable.assign_add(0.2 * rng.normal(size=variable.shape))
    return block


def run(folder, *arguments):
    out = pathlib.Path(folder) / "out.npz"
    command = [os.environ["INNTF_PEERS"], str(SCRIPT), "--seed", "1", "--out", str(out), *arguments]
    subprocess.run(command, check=True, timeout=300)
    return unpack(out)


@functools.cache
def exported_and_back():
    """By case: fresh numbers of the peers, and those after our changed blocks have been loaded there."""
    if not os.environ.get("INNTF_PEERS"):
        pytest.skip("INNTF_PEERS names no Python with FrEIA and nflows")
    with tempfile.TemporaryDirectory() as folder:
        fresh, exported, blocks = run(folder), {}, {}
        for name, case in fresh.items():
            bring, take = of(name)
            blocks[name] = bring(case["state"], kinds(case), **case["options"])
            fresh[name] = case | {"found": differences(blocks[name], case)}
            exported[name] = take(changed(blocks[name]), kinds(case), like=case["state"], **case["options"])
            exported[name] |= {k: v for k, v in case["state"].items() if k.startswith("_distribution.")}
        pack(pathlib.Path(folder) / "exported.npz", exported)
        again = run(folder, "--load", str(pathlib.Path(folder) / "exported.npz"))
        return {name: (fresh[name]["found"], differences(blocks[name], again[name])) for name in fresh}


@pytest.mark.parametrize("name", NAMES)
def test_live(name):
    first, then = exported_and_back()[name]
    print(name, first, then)
    assert max(first.values()) < tolerance(name), first
    assert max(then.values()) < tolerance(name), then


def test_imported_blocks_are_saved(tmp_path):
    for name in ("FrEIA: rnvp", "nflows: affine with a context", "nflows: autoregressive", "FrEIA: all in one"):
        case, block = RECORDED[name], imported(name)
        copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(block))
        copy.ensure_built(block.event_shape, block.condition_shape)
        copy.set_weights(block.get_weights())
        assert max(differences(copy, case).values()) < 1e-12, name


def test_float32_stays_float32_unless_asked():
    case = RECORDED["FrEIA: glow"]
    narrow = {k: v.astype("float32") for k, v in case["state"].items()}
    block = from_freia(narrow, "GLOWCouplingBlock")
    assert block.forward(case["x"].astype("float32")).dtype == tf.float32
    assert {v.dtype for v in to_freia(block, "GLOWCouplingBlock").values()} == {np.dtype("float32")}
    wide = from_freia(narrow, "GLOWCouplingBlock", dtype="float64")
    assert wide.forward(case["x"]).dtype == tf.float64


def test_what_was_trained_since_is_folded_into_the_matrix():
    state = RECORDED["nflows: lu"]["state"]
    block = changed(from_nflows(state, "LULinear"))
    assert np.abs(block.blocks[1].log_scale).max() > 0.01
    again = from_nflows(to_nflows(block, "LULinear"), "LULinear")
    x = RECORDED["nflows: lu"]["x"]
    for one, other in zip(block.forward_and_log_det(x), again.forward_and_log_det(tf.constant(x)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def state_of(name, **other):
    return RECORDED[name]["state"] | other


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: from_freia(state_of("FrEIA: glow"), "GINCouplingBlock"), ValueError, "kind='GINCouplingBlock'"),
        (lambda: from_freia([1, 2], "ActNorm"), TypeError, "arrays by name"),
        (lambda: from_freia({"perm": "abc"}, "PermuteRandom"), TypeError, "'perm' of dtype"),
        (lambda: from_freia(state_of("FrEIA: glow", extra=np.ones(2)), "GLOWCouplingBlock"), ValueError, "extra"),
        (lambda: from_freia(state_of("FrEIA: nice"), "GLOWCouplingBlock"), ValueError, "'subnet2.0.weight'"),
        (lambda: from_freia(state_of("FrEIA: glow"), "GLOWCouplingBlock", clam=1.0), TypeError, "the option clam"),
        (
            lambda: from_freia(state_of("FrEIA: glow"), "GLOWCouplingBlock", clamp_activation="RELU"),
            ValueError,
            "clamp_activation='RELU'",
        ),
        (
            lambda: from_freia(state_of("FrEIA: glow", **{"subnet1.2.weight": np.ones((3, 9))}), "GLOWCouplingBlock"),
            ValueError,
            "for 9 inputs after a layer of 4",
        ),
        (
            lambda: from_freia(
                {k: v for k, v in state_of("FrEIA: glow").items() if k != "subnet1.2.bias"}, "GLOWCouplingBlock"
            ),
            ValueError,
            "'subnet1.2' without bias",
        ),
        (
            lambda: from_freia(state_of("FrEIA: glow", **{"subnet1.1.running_mean": np.ones(4)}), "GLOWCouplingBlock"),
            ValueError,
            "subnet1.1.running_mean",
        ),
        (
            lambda: from_freia(state_of("FrEIA: all in one", vk_householder=np.ones((2, 5))), "AllInOneBlock"),
            ValueError,
            "householder",
        ),
        (lambda: from_freia(state_of("FrEIA: sequence"), ["ActNorm"]), ValueError, "without 'module_list.0.scale'"),
        (
            lambda: from_nflows(
                state_of("nflows: spline", **{"transform_net.final_layer.weight": np.ones((21, 4))})
                | {"transform_net.final_layer.bias": np.ones(21)},
                "PiecewiseRationalQuadraticCouplingTransform",
            ),
            ValueError,
            'tails="linear"',
        ),
        (
            lambda: from_nflows(
                {k.replace("blocks.", "parts."): v for k, v in state_of("nflows: spline").items()},
                "PiecewiseRationalQuadraticCouplingTransform",
            ),
            ValueError,
            "from which the network cannot be told",
        ),
        (
            lambda: from_nflows(
                state_of("nflows: affine", **{"unconditional_transform.shift": np.ones(2)}), "AffineCouplingTransform"
            ),
            ValueError,
            "unconditional_transform",
        ),
        (lambda: to_freia(AffineCoupling(), "GLOWCouplingBlock"), TypeError, "a TwoSidedCoupling"),
        (lambda: to_freia(Permutation.shuffle(1), "PermuteRandom"), ValueError, "not built"),
        (
            lambda: to_nflows(
                Chain([InvertibleLinear(seed=1), ActNorm()]).ensure_built((4,)),
                "LULinear",
            ),
            ValueError,
            "a permutation or negative signs",
        ),
        (
            lambda: to_nflows(MaskedAutoregressive(reads="latent").ensure_built((4,)), "MaskedAffineAutoregressiveTransform"),
            ValueError,
            "reads='data'",
        ),
        (
            lambda: to_nflows(
                MaskedAutoregressive(conditioner=MaskedMLP(angles=[0])).ensure_built((4,)),
                "MaskedAffineAutoregressiveTransform",
            ),
            ValueError,
            "no angles",
        ),
        *[
            (
                lambda transformer=transformer: to_nflows(
                    MaskedAutoregressive(transformer=transformer).ensure_built((4,)), "MaskedAffineAutoregressiveTransform"
                ),
                ValueError,
                "SoftplusScale(low=0.001, offset=0.0)",
            )
            for transformer in ("affine", "shift", "spline", SoftplusScale(), SoftplusScale(low=0.0, offset=0.0))
        ],
        (
            lambda: to_nflows(
                MaskedAutoregressive(
                    conditioner=MaskedMLP(input_bound=1.0), transformer=SoftplusScale(low=1e-3, offset=0.0)
                ).ensure_built((4,)),
                "MaskedAffineAutoregressiveTransform",
            ),
            ValueError,
            "no input_bound",
        ),
        *[
            (
                lambda tails=tails: to_nflows(
                    SplineCoupling(split=IndexSplit([0, 1]), tails=tails).ensure_built((4,)),
                    "PiecewiseRationalQuadraticCouplingTransform",
                ),
                ValueError,
                f"tails='{tails}'",
            )
            for tails in ("free", "none")
        ],
    ],
    ids=range(28),
)
def test_what_cannot_be_imported_or_exported_says_so(call, error, words):
    with pytest.raises(error) as caught:
        call()
    assert words in str(caught.value)


def test_like_of_another_shape_is_refused():
    state = RECORDED["FrEIA: glow"]["state"]
    block = from_freia(state, "GLOWCouplingBlock")
    with pytest.raises(ValueError, match="as in like"):
        to_freia(block, "GLOWCouplingBlock", like={**state, "subnet1.0.bias": np.ones(9)})
    with pytest.raises(ValueError, match=r"of 3 layers, expected 2"):
        to_freia(block, "GLOWCouplingBlock", like={k: v for k, v in state.items() if not k.startswith("subnet1.4")})


def test_another_network_is_refused():
    block = AffineCoupling(conditioner=lambda n: MLP(3, out_channels=n, zero_last=False)).ensure_built((4,))
    assert set(to_freia(block, "AffineCouplingOneSided")) == {f"subnet.{i}.{p}" for i in (0, 2) for p in ("weight", "bias")}
    other = AffineCoupling(conditioner=keras.layers.Dense(4)).ensure_built((4,))
    with pytest.raises(TypeError, match="an MLP, a ConvNet or a ResidualNet"):
        to_freia(other, "AffineCouplingOneSided")
