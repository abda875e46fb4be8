"""The density recipe: its images, what it measures and claims, its page, and the whole of it, small."""

import contextlib
import dataclasses
import json
import math

import numpy as np
import pytest
import tensorflow as tf

from inntf.core.random_states import random_states
from inntf.models import DensityModel
from inntf.nets import certify_norms
from inntf.stability import float64_copy
from recipes.common.bits_per_dim import BitsPerDim
from recipes.common.data import load_images
from recipes.common.errors import UserError
from recipes.common.image_data import ImageData
from recipes.common.run_folder import RunFolder
from recipes.density import experiment, images
from recipes.density.measuring import Measurer, certificate, of_a_set
from recipes.density.models import compile_model, make_flow, over_pixels
from recipes.density.report import LABELS, draw
from recipes.density.scalars import DESCRIPTIONS, scalars
from recipes.density.settings import PRESETS, Config

SMOKE = dataclasses.replace(PRESETS["smoke"], preset="smoke")
SETS = ("data", "gaussian", "uniform", "rademacher", "constant", "texture", "samples")
SHAPE = (8, 8, 1)


def made(shape=SHAPE, count=16, name="made"):
    pixels = np.random.default_rng(0).integers(0, 256, [count, *shape]).astype(np.uint8)
    return ImageData(pixels, np.zeros(count, np.int64), pixels[::-1], np.zeros(count, np.int64), name)


def perturbed(name, config=SMOKE, shape=SHAPE):
    """A flow whose weights are not what they were made as: couplings start as the identity."""
    flow, draw = make_flow(name, config, shape), np.random.default_rng(1)
    for weight in flow.block.trainable_variables:
        weight.assign(weight.numpy() + 0.1 * draw.standard_normal(weight.shape))
    certify_norms(flow.block, rescale=True)
    return flow


# ---- images ---------------------------------------------------------------------------------------------------


def test_noise_spreads_a_pixel_over_its_level():
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    x = images.noisy(pixels, SMOKE, images.TEST).numpy().astype(np.float64)
    np.testing.assert_array_equal(np.floor((x + 0.5) * 256), pixels)
    assert x.min() >= -0.5 and x.max() <= 0.5 and np.ptp((x + 0.5) * 256 - pixels) > 0.9
    assert (x != images.noisy(pixels, SMOKE, images.INIT).numpy()).any()


def test_a_stream_goes_on_where_it_stopped_and_moves_images():
    data = made(count=64)
    config = dataclasses.replace(SMOKE, crop=2)
    first = [x.numpy() for x in images.stream(data, config, 0).take(7)]
    np.testing.assert_array_equal(first[5:], [x.numpy() for x in images.stream(data, config, 5).take(2)])
    assert any((np.floor((x + 0.5) * 256) == 0).all((2, 3)).any() for x in first), "a row of zeros has come in"


@pytest.mark.parametrize(("side", "channels"), [(16, 3), (32, 3), (16, 1), (28, 1)])
def test_other_data_are_brought_to_the_same_shape(side, channels):
    digits = load_images("mnist_5k").test[:3]
    found = images.like(digits, (side, side, channels))
    assert found.shape == (3, side, side, channels) and found.dtype == np.uint8
    assert (found == found[..., :1]).all() and found.max() > 100
    assert found.mean() == pytest.approx(digits.mean() * min(1, 28 / side) ** 2, rel=0.02), "shrunk, or in a border of zeros"


def test_colours_are_averaged_and_the_own_data_set_left_out():
    colours = np.stack([np.full((2, 8, 8), c, np.uint8) for c in (0, 30, 90)], -1)
    assert (images.like(colours, (8, 8, 1)) == 40).all()
    assert images.load_others(SMOKE, made()) == {}
    (name, found), *none = images.load_others(dataclasses.replace(SMOKE, dataset="cifar10"), made((8, 8, 3))).items()
    assert name == "mnist_5k" and found.shape == (8, 8, 8, 3) and not none


# ---- models ---------------------------------------------------------------------------------------------------


def test_bits_per_dim_of_uniform_noise_are_those_of_the_base():
    """With no blocks that do anything, -log p is that of a standard normal."""
    x = images.noisy(made().test, SMOKE, 0)
    flow = make_flow("additive", dataclasses.replace(SMOKE, mixing="reverse", depth=1), SHAPE)
    normal = 0.5 * (np.mean(x.numpy().astype(np.float64) ** 2) + math.log(2 * math.pi)) / math.log(2)
    assert BitsPerDim(flow, 8)(x, batch_size=5) == pytest.approx(normal + 8, rel=1e-5)


def test_affine_couplings_have_a_smallest_scale_and_additive_ones_none():
    config = dataclasses.replace(SMOKE, lowest_scale=0.3, factor_out=False, mixing="reverse", depth=1)
    for name, expected in (("affine", 0.3), ("additive", 1.0)):
        flow = make_flow(name, config, SHAPE)
        for weight in flow.block.trainable_variables:
            if weight.name == "bias":
                weight.assign(tf.fill(weight.shape, -50.0))
        one = tf.zeros([1, *SHAPE])
        wide, z = float64_copy(flow.block), None
        with tf.GradientTape() as tape:
            tape.watch(x := tf.cast(one, tf.float64))
            z = wide.forward_and_log_det(x)[0]
        diagonal = np.linalg.svd(tape.jacobian(z, x).numpy().reshape(64, 64), compute_uv=False)
        assert diagonal.min() == pytest.approx(expected, rel=1e-5), name


def test_the_served_flow_is_over_pixels():
    pixels = np.arange(128, dtype=np.float32).reshape(2, *SHAPE) * 2
    served = over_pixels(perturbed("affine"))
    np.testing.assert_array_equal(served.block.inverse(served.block.forward(pixels)), pixels)


def test_actnorm_inside_of_networks_and_optimizers():
    config = dataclasses.replace(SMOKE, actnorm_inside=True, weight_decay=0.1, schedule="constant", warm_up=2)
    plain, normalized = (make_flow("affine", c, SHAPE) for c in (SMOKE, config))
    assert len(normalized.block.trainable_variables) > len(plain.block.trainable_variables)
    model = DensityModel(plain)
    compile_model(model, "affine", config)
    assert type(model.optimizer).__name__ == "Adamax" and model.optimizer.weight_decay == 0.1


# ---- measuring ------------------------------------------------------------------------------------------------


def test_a_look_measures_what_it_says():
    data, config = made(), dataclasses.replace(SMOKE, jacobian_images=2, depth=1)
    flow = perturbed("affine", config)
    measurer = Measurer(flow, config, data)
    found = measurer.look()
    x = measurer.watched.numpy().astype(np.float64)
    back = measurer.round_trip(measurer.watched).numpy()
    misses = (back - x).reshape(len(x), -1)
    assert found["squared_error_per_pixel"] == pytest.approx(np.median((misses**2).mean(1)))
    assert found["reconstruction_error"] == pytest.approx(np.linalg.norm(misses, axis=1).max())
    assert found["nonfinite_share"] == 0 and found["singular_values_unverified"] == 0
    wide, jacobians = float64_copy(flow.block), []
    for one in x[:2]:
        ends = [wide.forward_and_log_det(one + s * 1e-6 * np.eye(64).reshape(64, *SHAPE))[0].numpy() for s in (1, -1)]
        jacobians.append(np.linalg.svd((ends[0] - ends[1]).T / 2e-6, compute_uv=False))
    conditions = [s[0] / s[-1] for s in jacobians]
    assert found["condition_number"] == pytest.approx(np.median(conditions), rel=0.02)
    shown = scalars(found)
    assert len(shown) == 6 and set(shown) == set(DESCRIPTIONS), "at most six numbers, each described"
    assert 10 ** shown["log10_condition_number"] == pytest.approx(found["condition_number"])
    assert found["largest_singular_value"] == pytest.approx(max(s[0] for s in jacobians), rel=0.01)
    assert found["smallest_singular_value"] == pytest.approx(min(s[-1] for s in jacobians), rel=0.01)


def test_an_inverse_that_is_lost_counts_as_infinite(monkeypatch):
    spectrum = {"condition_number": 0.0, "largest_singular_value": 1.0, "smallest_singular_value": 0.0}
    monkeypatch.setattr(Measurer, "spectrum", lambda self: spectrum)
    measurer = Measurer(make_flow("affine", SMOKE, SHAPE), SMOKE, made())
    measurer.bits_per_dim = lambda x: 3.0
    measurer.round_trip = lambda x: tf.where(tf.range(len(x))[:, None, None, None] == 1, math.nan, x)
    found = measurer.look()
    assert found["reconstruction_error"] == found["squared_error_per_pixel_max"] == math.inf
    assert found["nonfinite_share"] == 1 / 8 and found["squared_error_per_pixel"] == 0
    assert scalars(found)["log10_reconstruction_error"] == math.inf and scalars(found)["log10_condition_number"] == -20


def test_training_goes_on_with_the_weights_that_it_had():
    flow = make_flow("residual", SMOKE, SHAPE)
    for weight in flow.block.trainable_variables:
        weight.assign(weight.numpy() * 9)
    measurer, before = Measurer(flow, SMOKE, made()), flow.block.get_weights()
    with contextlib.suppress(ZeroDivisionError), measurer.certified():
        assert max(certify_norms(flow.block).values()) <= SMOKE.coefficient
        raise ZeroDivisionError
    for a, b in zip(before, flow.block.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_look_leaves_what_training_draws_as_it_was():
    measurer = Measurer(perturbed("residual"), SMOKE, made())
    states = random_states(measurer.flow.block)
    before, bits = [state.numpy() for state in states], measurer.bits_per_dim(measurer.test)
    assert any((state.numpy() != value).any() for state, value in zip(states, before, strict=True))  # it draws
    drawn = [state.numpy() for state in states]
    with measurer.certified():
        measurer.look()
        measurer.pictures(measurer.watched)
    for state, value in zip(states, drawn, strict=True):
        np.testing.assert_array_equal(state.numpy(), value)
    assert np.isfinite(bits)


def test_a_row_of_the_table():
    found = of_a_set(np.array([[1.0, np.inf, 3.0, np.nan], [2.0, np.nan, np.nan, np.nan]]))
    assert found["nonfinite_share"] == 0.5 and (found["min"], found["mean"], found["max"], found["median"]) == (1, 2, 3, 2)
    assert found["nonfinite_share_after_passes"] == 0.75 and found["median_after_passes"] == 2
    lost = of_a_set(np.full((2, 3), np.nan))
    assert lost["min"] == lost["mean"] == lost["max"] == math.inf and lost["nonfinite_share"] == 1


@pytest.mark.parametrize("name", ["affine", "additive", "residual"])
def test_what_is_proved_bounds_the_singular_values(name):
    measurer = Measurer(perturbed(name, config := dataclasses.replace(SMOKE, depth=1)), config, made())
    proved, found = certificate(measurer.flow), measurer.spectrum()
    assert proved["forward"] >= found["largest_singular_value"] and proved["inverse"] >= 1 / found["smallest_singular_value"]
    assert (proved["scope"] == "global") == (name == "residual") or name == "additive"


# ---- claims and the page --------------------------------------------------------------------------------------


def numbers(ratio=1.0, error=1e-6, growth=1.0, bits=2.0, share=0.0):
    row = {"nonfinite_share": share, "min": 1e-7, "mean": 1e-6, "max": error, "median": 1e-6, "median_after_passes": 1e-5}
    row |= {"nonfinite_share_after_passes": share}
    look = {"test_bits_per_dim": bits, "condition_number": 9.0, "largest_singular_value": 3.0, "smallest_singular_value": 0.3}
    look |= {"squared_error_per_pixel": 1e-12, "reconstruction_error": error}
    return {
        **look,
        "bits_per_dim": bits,
        "weights": 10,
        "unlike": {name: {**row, "ratio": 1.0 if name == "data" else ratio} for name in SETS},
        "certificate": {"forward": 4.0, "inverse": math.inf, "scope": "global", "reason": "some"},
        "untrained": {"test_bits_per_dim": 3.0, "condition_number": 1.0},
        "condition_number_first": 5.0,
        "condition_number_growth": growth,
        "history": [{"step": step, **look} for step in (0, 1, 2)],
    }


def test_claims_are_held_against_their_bars():
    good = {"affine": numbers(10.0, growth=1.1), "additive": numbers(growth=1.1), "residual": numbers(3.0)}
    assert all(v for v in experiment.claims(good).values() if isinstance(v, bool))
    bad = {"affine": numbers(9.9, 1e-3), "residual": numbers(3.1, bits=3.0)}
    found = experiment.claims(bad)
    for claim in (
        "affine: at least 10 on some noise",
        "affine: below 1e-3",
        "affine: larger at the end than at the first look in training",
        "residual: at most 3 on all noise, and nothing lost",
        "residual: bits/dim of test images below the untrained model's",
    ):
        assert found[claim] is False
    assert experiment.claims({"affine": numbers(math.inf)})["affine: at least 10 on some noise"]
    assert experiment.claims({"additive": numbers(share=0.1)})["additive: below 1e-3"] is False
    assert (
        experiment.claims({"affine": numbers(bits=math.nan)})["affine: bits/dim of test images below the untrained model's"]
        is False
    )
    lossy = numbers(1.0)
    lossy["unlike"]["uniform"] = {**lossy["unlike"]["uniform"], "nonfinite_share": 0.01}
    assert experiment.claims({"residual": lossy})["residual: at most 3 on all noise, and nothing lost"] is False
    assert len(experiment.table(bad)) == 3


def test_the_likeliest_model_that_loses_nothing_is_exported():
    affine, additive, residual = numbers(bits=1.0, error=1.0), numbers(bits=2.0), numbers(bits=3.0)
    assert experiment.best({"affine": affine, "additive": additive, "residual": residual}) == "additive"
    assert experiment.best({"affine": affine, "residual": numbers(bits=3.0, share=0.1)}) == "affine"


def test_growth_is_counted_from_the_first_look_in_training():
    looks = [{"step": s, "condition_number": c, "test_bits_per_dim": 3.0 - s} for s, c in ((0, 1.0), (1, 4.0), (2, 8.0))]
    found = experiment.over_training(looks)
    assert found["condition_number_growth"] == 2 and found["condition_number_growth_untrained"] == 8
    assert found["untrained"] == {"test_bits_per_dim": 3.0, "condition_number": 1.0}


def test_the_page_shows_every_model_and_what_is_lost():
    broken = numbers(math.inf, share=1.0)
    broken["history"][-1] |= {"reconstruction_error": math.inf, "condition_number": None}  # as they come back from a file
    pictures = {name: np.random.default_rng(0).random((3, 4, *SHAPE)) - 0.5 for name in SETS}
    pictures["gaussian"][1:] = np.nan
    page = draw(SMOKE, made(), dict.fromkeys(LABELS, broken), dict.fromkeys(LABELS, pictures))
    axes = [a for part in page.subfigs for a in part.axes]
    assert sum(len(a.images) for a in axes) == len(LABELS) * len(SETS)
    texts = [text.get_text() for a in axes for text in a.texts]
    assert texts.count("100 %") == 2 * len(LABELS) * len(SETS) and "none" in texts
    assert {part.get_suptitle() for part in page.subfigs} >= set(LABELS.values())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"size": 6, "levels": 2}, "--size"),
        ({"models": ("residual", "residual")}, "--models"),
        ({"others": ("mnist", "mnist")}, "--others"),
        ({"jacobian_images": 9}, "--jacobian-images"),
    ],
)
def test_settings_that_contradict_each_other(settings, said):
    with pytest.raises(UserError, match=said):
        dataclasses.replace(SMOKE, **settings).check()


@pytest.mark.parametrize("settings", [{"watched": 65}, {"unlike": 65}, {"batch_size": 257}, {"size": 32}])
def test_settings_that_do_not_fit_the_data(settings):
    with pytest.raises(UserError, match=f"--{next(iter(settings)).replace('_', '-')}"):
        images.load(dataclasses.replace(SMOKE, **settings))


def test_looks_are_at_least_every_tenth_of_a_training():
    for config in (*PRESETS.values(), Config(steps=7), Config(steps=999, log_every=10**6)):
        for name in config.models:
            steps, every = config.steps_of(name), config.every(name)
            assert steps // every >= min(10, steps) and every >= 1


# ---- the whole ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_it_leaves_report_result_logs_and_a_model_and_goes_on(tmp_path):
    from inntf.serving import load

    settings = {"out": tmp_path / "run", "export_dir": tmp_path / "saved"}
    result = experiment.run(dataclasses.replace(SMOKE, **settings))
    assert result["recipe"] == "density" and set(result["metrics"]) == {"affine", "residual"}
    for name, m in result["metrics"].items():
        assert np.isfinite(m["bits_per_dim"]) and m["test_bits_per_dim"] < m["untrained"]["test_bits_per_dim"], name
        assert set(m["unlike"]) == set(SETS) and m["unlike"]["data"]["max"] < 1e-4
        assert list((tmp_path / f"run/checkpoints/{name}").glob("*.index"))
        assert list((tmp_path / f"run/logs/{name}").glob("events.out.tfevents*"))
    assert (tmp_path / "run/report.png").read_bytes().startswith(b"\x89PNG")
    served = load(tmp_path / "saved/density")
    pixels = load_images("mnist_5k").test[:3, :8, :8].astype(np.float32)
    np.testing.assert_allclose(served.reconstruct(pixels), pixels, atol=0.01)
    # All but the result is there: it goes on at its end, with the same numbers.
    (tmp_path / "run/result.json").unlink()
    again = experiment.run(dataclasses.replace(SMOKE, resume=True, **settings))
    assert json.loads((tmp_path / "run/result.json").read_text())["metrics"] == result["metrics"] == again["metrics"]
    with RunFolder.open(dataclasses.replace(SMOKE, resume=True, **settings), "density") as folder:
        assert [look["step"] for look in folder.noted("histories")["affine"]] == [1, 2, 3, 4]
