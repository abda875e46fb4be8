"""Inpainting: what is seen and hidden, the network of the condition, samples, measures against closed forms, a whole run."""

import dataclasses
import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.common.errors import UserError
from recipes.common.mnist_5k import mnist_5k
from recipes.inverse_problems.digits import experiment, measuring
from recipes.inverse_problems.digits.models import SeenPyramid, make_flow
from recipes.inverse_problems.digits.observing import Observing
from recipes.inverse_problems.digits.sampling import HiddenSampler
from recipes.inverse_problems.digits.settings import PRESETS

SMOKE = PRESETS["smoke"]


def some_images(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 28, 28, 1), dtype=np.uint8)


@pytest.mark.parametrize("hidden", ["lower", "middle"])
@pytest.mark.parametrize("bits", [1, 3, 8])
def test_hidden_and_seen_make_the_image_again(hidden, bits):
    observing, images = Observing(hidden, bits), some_images(3)
    levels = observing.levels(images)
    x = observing.x(levels, [1, 2])
    assert x.shape == (3, *observing.shape) and float(tf.reduce_min(x)) >= -0.5 and float(tf.reduce_max(x)) < 0.5
    top, bottom, left, right = observing.box
    np.testing.assert_array_equal(observing.to_levels(x), levels[:, top:bottom, left:right])
    whole = observing.whole(observing.to_levels(x)[:, None], levels * tf.constant(observing.seen, tf.float32))
    np.testing.assert_array_equal(whole[:, 0], levels)
    assert np.abs(observing.pixels(levels).astype(int) - images.astype(int)).max() <= 2 ** (8 - bits) - 1
    np.testing.assert_array_equal(observing.to_levels(tf.constant([-7.0, 7.0])), [0, 2**bits - 1])


def test_nothing_of_the_hidden_part_is_in_the_condition():
    observing, images = Observing("lower", 3), some_images(2)
    other = np.where(observing.seen, images, some_images(2, seed=1))
    y = observing.y(observing.levels(images))
    np.testing.assert_array_equal(y, observing.y(observing.levels(other)))
    assert not np.array_equal(y, observing.y(observing.levels(255 - images)))
    np.testing.assert_array_equal(y[0, :, :, 1:], observing.seen)
    blind = dataclasses.replace(observing, blind=True)
    assert not np.any(blind.y(observing.levels(images))) and blind.shape == observing.shape


def test_every_seen_pixel_reaches_every_place_of_the_maps():
    network = SeenPyramid((12, 28, 0, 28), channels=4, levels=2, summary=8)
    y, sizes = tf.random.stateless_normal([1, 28, 28, 2], [0, 1]), [(8, 14), (4, 7)]
    maps = network(y, sizes)
    assert [m.shape.as_list() for m in maps] == [[1, 8, 14, 4], [1, 4, 7, 4]]
    corner = np.zeros((1, 28, 28, 2), np.float32)
    corner[0, 0, 0, 0] = 3.0
    for before, after in zip(maps, network(y + corner, sizes), strict=True):
        assert (np.abs(after - before).max(-1) > 1e-7).mean() > 0.95
    twin = SeenPyramid.from_config(network.get_config())
    twin(y, sizes)
    twin.set_weights(network.get_weights())
    np.testing.assert_array_equal(twin(y, sizes)[1], maps[1])


@pytest.fixture(scope="module")
def flow():
    """With weights that are not zero, so that the condition matters."""
    keras.utils.set_random_seed(0)
    flow = make_flow(dataclasses.replace(SMOKE, hidden="middle"), Observing("middle", 3))
    for i, w in enumerate(flow.block.trainable_variables):
        w.assign_add(0.1 * tf.random.stateless_normal(w.shape, [i, 5]))
    return flow


def log_prob_by_jacobian(flow, x, y):
    """Of one image, in float64 from the Jacobian on."""
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        z, _ = flow.block.forward_and_log_det(x, condition=y)
    jacobian = tape.jacobian(z, x, experimental_use_pfor=False).numpy().reshape(flow.dim, flow.dim).astype(np.float64)
    normal = -0.5 * np.sum(z.numpy().astype(np.float64) ** 2) - 0.5 * flow.dim * math.log(2 * math.pi)
    return np.linalg.slogdet(jacobian)[1] + normal


@pytest.mark.slow
def test_the_density_is_that_of_the_jacobian(flow):
    observing = Observing("middle", 3)
    levels = observing.levels(some_images(1))
    x, y = observing.x(levels, [0, 1]), observing.y(levels)
    wanted = log_prob_by_jacobian(flow, x, y)
    np.testing.assert_allclose(flow.log_prob(observing.x(levels, [0, 1]), condition=y), [wanted], rtol=1e-5)


def test_the_density_depends_on_what_is_seen_and_the_inverse_is_one(flow):
    observing = Observing("middle", 3)
    levels = observing.levels(some_images(1))
    x, y = observing.x(levels, [0, 1]), observing.y(levels)
    z, log_det = flow.block.forward_and_log_det(x, condition=y)
    again, back = flow.block.inverse_and_log_det(tf.identity(z), condition=tf.identity(y))
    np.testing.assert_allclose(again, x, atol=1e-5)
    np.testing.assert_allclose(log_det, -back, atol=1e-3)
    other = flow.block.forward_and_log_det(x, condition=observing.y(observing.levels(255 - some_images(1))))[0]
    assert np.abs(other - z).max() > 1e-3


def test_samples_have_random_numbers_of_their_own_and_repeat(flow):
    sampler = HiddenSampler(flow, Observing("middle", 3), np.zeros((2, 28, 28, 1), np.uint8))
    image = some_images(1)
    twice = sampler.sample(np.repeat(image, 3, 0), 300, seed=4)  # more than one call's rows
    assert twice.shape == (3, 300, 16, 16, 1) and twice.max() <= 7
    flat = twice.reshape(900, -1)
    assert len(np.unique(flat, axis=0)) == 900
    np.testing.assert_array_equal(twice, sampler.sample(np.repeat(image, 3, 0), 300, seed=4))
    assert not np.array_equal(twice[:1], sampler.sample(image, 300, seed=5))
    served = sampler.sample_posterior(y=tf.constant(image), n=tf.constant(3), seed=tf.constant(4))["x"].numpy()
    np.testing.assert_array_equal(served[0, :, 6:22, 6:22], sampler.observing.pixels(twice[0, :3]))
    seen = sampler.observing.seen
    wanted = sampler.observing.pixels(sampler.observing.levels(image))
    np.testing.assert_array_equal(np.where(seen, served[0], 0), np.where(seen, np.repeat(wanted, 3, 0), 0))


def test_a_broken_flow_gives_no_samples(flow):
    sampler = HiddenSampler(flow, Observing("middle", 3), np.zeros((2, 28, 28, 1), np.uint8))
    sampler._draw = lambda *_: tf.fill([1, 2, 16, 16, 1], math.nan)
    with pytest.raises(UserError, match="--rate"):
        sampler.sample(some_images(1), 2, seed=0)


def test_seen_pixels_that_differ_are_found():
    observing = Observing("lower", 3)
    levels, samples = observing.levels(some_images(2)), np.zeros((2, 3, 16, 28, 1), np.uint8)
    assert measuring.resimulated(observing, samples, levels) == 0.0

    class Leaky(Observing):
        def whole(self, hidden, levels):
            return super().whole(hidden, tf.maximum(levels - 1, 0))

    assert measuring.resimulated(Leaky("lower", 3), samples, levels) == pytest.approx(1 / 7)


def test_spread_of_normal_samples_is_that_of_the_formulas():
    rng = np.random.default_rng(0)
    truth, samples = rng.normal(size=(4000, 1)), rng.normal(size=(4000, 40, 1))
    found = measuring.spread(samples, truth)
    assert found["energy_score"] == pytest.approx(1 / math.sqrt(math.pi), rel=0.04)  # E|s - x| - E|s - s'| / 2
    assert found["distance_between_samples"] == pytest.approx(2 / math.sqrt(math.pi), rel=0.02)
    assert found["energy_score_of_mean"] == pytest.approx(math.sqrt(2 / math.pi), rel=0.05)
    assert found["spread_over_error"] == pytest.approx(1.0, abs=0.04) and found["sd"] == pytest.approx(1.0, abs=0.02)
    point = measuring.spread(np.repeat(samples.mean(1, keepdims=True), 3, 1), truth)
    assert point["sd"] == pytest.approx(0, abs=1e-12) and point["energy_score"] == pytest.approx(point["energy_score_of_mean"])
    assert measuring.spread(samples / 2, truth)["spread_over_error"] < 0.6


def test_calibration_is_that_of_mean_and_projections():
    rng = np.random.default_rng(1)
    truth, samples = rng.normal(size=(200, 4, 4, 1)), rng.normal(size=(200, 30, 4, 4, 1))
    config = dataclasses.replace(SMOKE, projections=2)
    right = measuring.calibration(samples, truth, config)
    assert min(test.p_value for test in right.values()) > 0.01 and len(right["sbc"].labels) == 3
    shifted = measuring.calibration(samples + 0.15, truth, config)  # 0.6 deviations of the mean of 16
    assert max(shifted[key].p_value for key in ("sbc", "coverage")) < 0.01
    assert measuring.rank_deviation(right["sbc"]) == pytest.approx(1.0, abs=0.05)
    mean = samples.mean(1, keepdims=True)
    point = measuring.calibration(mean + 1e-6 * (samples - mean), truth, config)["sbc"]
    assert measuring.rank_deviation(point) == pytest.approx(3**0.5, abs=0.1) and point.p_value < 0.01
    np.testing.assert_allclose(measuring.summaries(truth, 2)[..., 0], truth.mean((1, 2, 3)))


def test_the_classifier_sees_real_digits():
    images, labels = mnist_5k()[2:]
    observing = Observing("lower", 3)
    found = measuring.recognized(observing.pixels(observing.levels(images[:60]))[:, None], labels[:60])
    assert found["share"] > 0.85 and 0.8 < found["probability"] <= 1
    wrong = measuring.recognized(np.repeat(images[:60, None], 2, 1), (labels[:60] + 1) % 10)
    assert wrong["share"] < 0.1 and wrong["error"] < 0.04


def row(**more):
    numbers = {"bits_per_dim": 1.0, "seen_difference": 0.0, "sd": 0.2, "energy_score": 3.0, "energy_score_of_mean": 4.0}
    numbers |= {"recognized": {"share": 0.7, "error": 0.02}, "sbc_p": 0.5, "coverage_p": 0.5, "tarp_p": 0.5}
    numbers |= {"rank_deviation": 1.0, "dims": 448}
    return {**numbers, "spread_over_error": 1.0, "reconstruction_max": 1e-4, "not_finite": 0.0, **more}


def test_claims_can_fail():
    blind = row(bits_per_dim=1.2, recognized={"share": 0.4, "error": 0.03})
    good = experiment.claims({"shown": row(), "blind": blind})
    assert all(value for value in good.values() if isinstance(value, bool))
    bad = {"bits_per_dim": 1.3, "seen_difference": 1e-6, "energy_score": 4.5, "recognized": {"share": 0.13, "error": 0.02}}
    found = experiment.claims({"shown": row(**bad, tarp_p=0.001, reconstruction_max=math.nan), "blind": blind})
    assert not any(value for value in found.values() if isinstance(value, bool))


def places(tmp_path, **settings):
    return dataclasses.replace(SMOKE, preset="smoke", out=tmp_path / "run", export_dir=tmp_path / "saved", **settings)


def test_settings_that_cannot_be(tmp_path):
    for settings, word in (
        ({"observations": 2000}, "--observations"),
        ({"bits": 9}, "--bits"),
        ({"batch_size": 5000}, "--batch"),
    ):
        with pytest.raises(UserError, match=word):
            experiment.run(places(tmp_path, **settings))
        assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_killed_run_goes_on_and_the_seen_part_helps(tmp_path, monkeypatch):
    config = places(tmp_path, hidden="middle", depth=2, width=16, steps=120, batch_size=32, log_every=60, rate=5e-3)

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(experiment.measuring, "stability", killed)
        experiment.run(config)
    result = experiment.run(dataclasses.replace(config, resume=True))
    shown, blind = result["metrics"]["shown"], result["metrics"]["blind"]
    assert shown["bits_per_dim"] < blind["bits_per_dim"] < 3
    assert shown["seen_difference"] == 0.0 and shown["weights"] == blind["weights"] and "history" not in shown
    assert {"report.png", "result.json", "samples_shown.npz"} <= {path.name for path in (tmp_path / "run").iterdir()}
    folder = tmp_path / "saved" / "inverse_digits" / "1"
    served = tf.saved_model.load(str(folder)).signatures["sample_posterior"]
    image = mnist_5k()[2][:2]
    x = served(y=tf.constant(image), n=tf.constant(3), seed=tf.constant(1))["x"].numpy()
    assert x.shape == (2, 3, 28, 28, 1) and len(np.unique(x.reshape(6, -1), axis=0)) == 6
    assert json.loads((folder / "card.json").read_text())["box"] == [6, 22, 6, 22]
