"""The decorrelation recipe: its loss, its exact linear case, its images, and the whole of it, small."""

import dataclasses
import json
import math
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.serving import load
from recipes.common.errors import UserError
from recipes.common.image_data import ImageData
from recipes.decorrelation import experiment, images, models
from recipes.decorrelation.correlation import (
    correlation_matrix,
    decorrelation_loss,
    independent_loss,
    off_diagonal_norm,
    rank_bound,
)
from recipes.decorrelation.linear import Rotation, make_case, train_linear
from recipes.decorrelation.measuring import Measurer
from recipes.decorrelation.panels import draw_errors
from recipes.decorrelation.report import label
from recipes.decorrelation.settings import PRESETS, Config

ROOT = pathlib.Path(__file__).parents[2]


# ---- the loss -------------------------------------------------------------------------------------------------


def test_the_correlation_is_that_of_numpy():
    z = np.random.default_rng(0).normal(size=(50, 2, 3)) @ np.diag([1.0, 10.0, 0.1]) + 7.0
    z[..., 2] += z[..., 0]
    expected = np.corrcoef(z.reshape(50, 6), rowvar=False)
    found = correlation_matrix(tf.constant(z)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)  # the paper adds 1e-8 to each deviation
    loss = math.sqrt(np.sum(expected**2) - np.sum(np.diag(expected) ** 2))
    assert float(decorrelation_loss(tf.constant(z))) == pytest.approx(loss, rel=1e-6)
    scaled = z * np.array([3.0, 1e-2, 1e3]) - 5.0
    assert float(decorrelation_loss(tf.constant(scaled))) == pytest.approx(loss, rel=1e-5), "scales do not matter"


def test_constant_entries_count_as_uncorrelated_and_its_gradient_is_that_of_finite_differences():
    z = np.random.default_rng(1).normal(size=(6, 4))
    z[:, 3] = 2.0
    matrix = correlation_matrix(tf.constant(z)).numpy()
    assert np.all(np.isfinite(matrix)) and not matrix[3].any()
    z = z[:, :3]
    with tf.GradientTape() as tape:
        x = tf.constant(z)
        tape.watch(x)
        loss = decorrelation_loss(x)
    gradient = tape.gradient(loss, x).numpy()
    for i, j in ((0, 0), (3, 1), (5, 2)):
        step = np.zeros_like(z)
        step[i, j] = 1e-6
        difference = (decorrelation_loss(tf.constant(z + step)) - decorrelation_loss(tf.constant(z - step))) / 2e-6
        assert gradient[i, j] == pytest.approx(float(difference), abs=1e-6)


@pytest.mark.parametrize(("count", "dims"), [(5, 20), (8, 8), (40, 10)])
def test_no_batch_is_below_the_rank_bound(count, dims):
    for seed in range(5):
        z = tf.constant(np.random.default_rng(seed).normal(size=(count, dims)))
        assert float(decorrelation_loss(z)) >= rank_bound(count, dims) - 1e-6


def test_the_rank_bound_is_attained_and_known():
    plane = np.random.default_rng(2).normal(size=(5, 4))
    plane = np.linalg.qr(plane - plane.mean(0))[0]  # uncorrelated, as many as 5 samples can be
    repeated = tf.constant(np.concatenate([plane, plane, plane], 1))
    assert float(decorrelation_loss(repeated)) == pytest.approx(rank_bound(5, 12), abs=1e-5)
    assert rank_bound(64, 3072) == pytest.approx(383, abs=0.5) and rank_bound(128, 784) == pytest.approx(63.7, abs=0.05)


def test_the_loss_of_independent_entries_is_the_floor():
    draw = np.random.default_rng(3)
    squares = [float(decorrelation_loss(tf.constant(draw.normal(size=(100, 20))))) ** 2 for _ in range(60)]
    assert math.sqrt(np.mean(squares)) == pytest.approx(independent_loss(100, 20), rel=0.02)
    assert float(off_diagonal_norm(tf.eye(3) * 5.0)) == 0.0


# ---- the linear case ------------------------------------------------------------------------------------------


def test_both_closed_forms_decorrelate_exactly():
    case = make_case(seed=4, dim=5, condition=50.0)
    np.testing.assert_allclose(np.cov(case.x, rowvar=False), np.eye(5), atol=1e-12)
    for row in range(3):  # y = R D x, sample by sample
        np.testing.assert_allclose(case.y[row], case.rotation @ np.diag(case.scaling) @ case.x[row], atol=1e-12)
    assert float(decorrelation_loss(tf.constant(case.y))) > 1
    for matrix, condition in ((case.rotation.T, 1.0), (np.diag(1 / case.scaling) @ case.rotation.T, 50.0)):
        assert float(decorrelation_loss(tf.constant(case.y @ matrix.T))) < 1e-6
        assert np.linalg.cond(matrix) == pytest.approx(condition, rel=1e-9)


@pytest.mark.parametrize(("kind", "condition"), [("rotation", 1.0), ("likelihood", 10.0)])
def test_trained_matrices_are_as_stable_as_theory_says(kind, condition):
    config = Config(linear_steps=400, linear_condition=10.0, linear_dim=3)
    case = make_case(0, 3, 10.0)
    matrix = train_linear(kind, case, config)
    assert float(decorrelation_loss(tf.constant(case.y @ matrix.T))) < 1e-3
    assert np.linalg.cond(matrix) == pytest.approx(condition, rel=1e-3)


def test_the_projection_is_onto_rotations():
    w = Rotation()(tf.constant(np.random.default_rng(5).normal(size=(4, 4)))).numpy()
    np.testing.assert_allclose(w @ w.T, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(Rotation()(tf.constant(w)).numpy(), w, atol=1e-12)


# ---- images and networks --------------------------------------------------------------------------------------


def made(size, name, count=6):
    pixels = np.random.default_rng(6).integers(0, 256, [count, size, size, 1]).astype(np.uint8)
    return ImageData(pixels, np.zeros(count, np.int64), pixels, np.zeros(count, np.int64), name)


def test_images_are_averaged_over_cells():
    data = made(32, "cifar10")
    expected = data.train.reshape(6, 8, 4, 8, 4, 1).mean((2, 4))
    assert np.abs(images.shrunk(data, 8).train - expected).max() <= 0.5 + 1e-4
    digits = made(28, "mnist_5k")
    expected = digits.train[:, 4:24, 4:24].reshape(6, 10, 2, 10, 2, 1).mean((2, 4))
    assert np.abs(images.shrunk(digits, 10).train - expected).max() <= 0.5 + 1e-4
    with pytest.raises(UserError, match="--size.*24.*at most 20"):
        images.shrunk(digits, 24)


def test_what_a_step_draws_depends_on_its_number_alone():
    data, config = made(8, "cifar10", 40), Config(batch_size=8, noise=0.5)
    first = [x.numpy() for x in images.stream(data, config, 0).take(7)]
    later = [x.numpy() for x in images.stream(data, config, 5).take(2)]
    np.testing.assert_array_equal(first[5:], later)
    assert first[0].min() >= -0.5 and not np.array_equal(first[0], first[1])


def test_the_networks_of_a_run():
    assert [v.name for v in models.variants(Config(actnorms=("both",), depths=(2, 4), couplings=("affine",)))] == [
        "affine_actnorm_both_depth_2",
        "affine_actnorm_both_depth_4",
    ]
    paper = models.variants(PRESETS["paper"])
    assert len(paper) == 1 + 2 * 4 and {v.depth for v in paper} == {16}
    assert label("additive_spectral") == "additive + SN" and label("affine_actnorm_between") == "affine ActNorm between"


def test_spectral_normalization_bounds_the_condition_number_and_training_lowers_the_loss():
    config = Config(levels=1, depths=(1,), hidden=4, batch_size=32, watched=4, jacobian_images=2)
    data = images.shrunk(made(8, "cifar10", 64), 4)
    ramp = np.cumsum(data.train.astype(np.int64), 2) // 4  # neighbours correlate
    data = dataclasses.replace(data, train=ramp.astype(np.uint8), test=ramp.astype(np.uint8))
    (variant,) = models.variants(dataclasses.replace(config, couplings=("additive_spectral",)))
    block = models.make_flow(config, data.shape, variant).block
    measurer = Measurer(block, config, data)
    first, before = block.get_weights(), measurer.losses()["loss_train"]
    model = models.Decorrelator(block)
    model.compile(keras.optimizers.Adam(1e-2))
    logs = model.fit(images.stream(data, config, 0), steps_per_epoch=30, verbose=0).history
    assert measurer.losses()["loss_train"] < 0.9 * before and logs["skipped"] == [0.0]
    numbers, arrays = experiment.before_and_after(measurer, first)
    assert numbers["untrained"]["loss_train"] == pytest.approx(before)
    assert numbers["largest_singular_value"] <= numbers["certified_forward"] * (1 + 1e-6)
    assert 1 / numbers["smallest_singular_value"] <= numbers["certified_inverse"] * (1 + 1e-6)
    assert arrays["spectrum"][0] / arrays["spectrum"][-1] <= numbers["condition_number_max"] * (1 + 1e-6)
    dense = np.linalg.svd(jacobian(measurer), compute_uv=False)
    np.testing.assert_allclose(arrays["spectrum"], dense, rtol=1e-3)
    assert float(off_diagonal_norm(arrays["correlation"])) == pytest.approx(numbers["loss_train"])


def jacobian(measurer):
    """Central differences in float32's own steps are too coarse: columns from float64 copies of the same map."""
    from inntf.stability import float64_copy

    wide, x = float64_copy(measurer.block), measurer.watched[0].astype(np.float64)
    steps = 1e-6 * np.eye(x.size).reshape(x.size, *x.shape)
    ends = [wide.forward_and_log_det(tf.constant(x + sign * steps))[0].numpy().reshape(x.size, -1) for sign in (1, -1)]
    return ((ends[0] - ends[1]) / 2e-6).T


def test_a_gradient_that_is_not_finite_moves_nothing_and_is_counted():
    config = Config(levels=1, depths=(1,), hidden=4, couplings=("additive",), actnorms=("none",))
    (variant,) = models.variants(config)
    block = models.make_flow(config, (4, 4, 1), variant).block
    model = models.Decorrelator(block)
    model.compile(keras.optimizers.SGD(1.0))
    before = block.get_weights()
    logs = model.fit(tf.data.Dataset.from_tensors(tf.fill([8, 4, 4, 1], math.nan)), verbose=0).history
    assert logs["skipped"] == [1.0]
    for a, b in zip(before, block.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_broken_images_are_orange():
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    draw_errors(axes, [1, 2], [[1e-6, math.nan], [math.inf, 1e-3]], "errors")
    fine, broken = axes.lines
    assert len(fine.get_xdata()) == 2 and len(broken.get_xdata()) == 2 and axes.get_yscale() == "log"


# ---- the whole ------------------------------------------------------------------------------------------------


def smoke(folder, **settings):
    settings = {"couplings": ("additive_spectral", "affine"), "actnorms": ("none",), "hidden": 4, **settings}
    where = {"out": folder / "run", "export_dir": folder / "saved"}
    return dataclasses.replace(PRESETS["smoke"], preset="smoke", **where, **settings)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("decorrelation")
    return folder, experiment.run(smoke(folder, couplings=("affine",)))


def test_it_leaves_report_result_logs_checkpoints_and_a_model(done):
    folder, result = done
    assert json.loads((folder / "run/result.json").read_text())["recipe"] == "decorrelation"
    numbers = result["metrics"]["networks"]["affine"]
    for key in ("loss_train", "loss_test", "condition_number", "largest_singular_value", "smallest_singular_value"):
        assert np.isfinite(numbers[key]), key
    assert numbers["reconstruction_error"]["nonfinite_share"] == 0 and numbers["reconstruction_error"]["count"] == 8
    assert numbers["loss_train"] < numbers["untrained"]["loss_train"]
    assert result["claims"]["linear: cond(D^-1 R^T) = cond(D) within 1e-4"] is True
    assert (folder / "run/report.png").read_bytes().startswith(b"\x89PNG")
    assert list((folder / "run/logs/affine").rglob("events.out.tfevents*"))
    assert list((folder / "run/checkpoints/affine").glob("*.index"))
    served = load(folder / "saved/decorrelation")
    pixels = np.random.default_rng(0).integers(0, 256, [3, 8, 8, 1]).astype(np.float32)
    np.testing.assert_allclose(served.reconstruct(pixels), pixels, atol=0.01)
    assert served.forward(pixels).shape == (3, 2, 2, 16)


@pytest.mark.slow
def test_a_resumed_run_has_the_same_numbers_and_replicas_change_nothing(tmp_path):
    def run(folder, *arguments):
        command = [sys.executable, "-m", "recipes.decorrelation", "--preset", "smoke", "--couplings", "affine"]
        command += ["--schedule", "constant"]
        command += ["--out", str(folder / "run"), "--export-dir", str(folder / "saved"), *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads((folder / "run/progress.json").read_text())["histories"]["affine_actnorm_both"]

    whole, parts, shared = (tmp_path / name for name in ("whole", "parts", "shared"))
    expected = run(whole)
    run(parts, "--steps", "2")
    (parts / "run/result.json").unlink()
    progress = json.loads((parts / "run/progress.json").read_text())
    (parts / "run/progress.json").write_text(json.dumps({**progress, "networks": {}}))
    resumed = run(parts, "--resume")
    mirrored = run(shared, "--strategy", "mirrored", "--replicas", "2")
    for a, b, c in zip(expected, resumed, mirrored, strict=True):
        assert a["loss_train"] == b["loss_train"] and a["errors"] == b["errors"]
        # The loss does not depend on shifts: their gradients are rounding, of which Adam makes whole steps.
        assert a["loss_train"] == pytest.approx(c["loss_train"], rel=1e-2)
        assert a["loss"] == pytest.approx(c["loss"], rel=1e-2)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"levels": 4}, "--levels.*4 for images of 8x8"),
        ({"batch_size": 257}, "--batch-size.*257 for 256"),
        ({"watched": 65}, "--watched.*65 for 64"),
        ({"size": 22}, "--size.*22"),
        ({"jacobian_images": 9}, "--jacobian-images.*9 for 8"),
        ({"couplings": ("affine", "affine")}, "no two alike"),
    ],
)
def test_settings_that_cannot_be_are_refused_and_the_folder_given_back(settings, said, tmp_path):
    with pytest.raises(UserError, match=said):
        experiment.run(smoke(tmp_path, **settings))
    assert not any(tmp_path.iterdir())
