"""The report: verdicts that fit, numbers that agree with the measures, strict JSON."""

import json

import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import ActNorm, AdditiveCoupling, AffineCoupling, Permutation
from inntf.compose import Chain
from inntf.models import real_nvp
from inntf.nets import MLP, ConvNet
from inntf.numerics import SigmoidScale
from inntf.stability import ErrorSummary, certify, judge, reconstruction_error, stability_report, summarize
from tests.stability.tiny_blocks import Additive, Linear, Scaled, Shifted, Unlike


def data(n=6, dim=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, dim)).astype("float32")


def test_a_real_flow_is_stable():
    steps = [ActNorm(), Permutation.reverse(), AffineCoupling(conditioner=lambda n: MLP((8,), out_channels=n, zero_last=False))]
    chain, x = Chain(steps), data()
    report = stability_report(chain, x)
    assert report["verdict"] == "stable" and report["dtype"] == "float32" and report["samples"] == 6
    expected = summarize(reconstruction_error(chain, x))
    assert report["reconstruction_error"] == expected._asdict()  # a chain is measured eagerly, bit for bit
    assert report["reconstruction_error_float64"]["max"] < 1e-13
    assert len(report["error_by_pass"]) == 9 and len(report["blocks"]) == 3
    assert report["singular_values"]["condition_number"] >= 1
    text = str(report)
    for word in ("Verdict: stable", "float64", "Certified", "affine_coupling", "condition number"):
        assert word in text


def test_images_and_a_condition():
    block = AdditiveCoupling(conditioner=lambda n: ConvNet(4, out_channels=n, zero_last=False))
    x, condition = tf.random.stateless_normal([3, 4, 4, 2], [0, 1]), tf.random.stateless_normal([3, 5], [2, 1])
    report = stability_report(block, x, condition, samples=2)
    assert report["verdict"] == "stable" and report["singular_values"]["samples"] == 2
    assert report["reconstruction_error_float64"]["max"] < 1e-13


@pytest.mark.parametrize(
    ("block", "level", "reason"),
    [
        (Linear([1.0, 2, 3, 4]), "stable", "returns every sample"),
        (Shifted([1.0, 2, 3, 4], miss=0.5), "broken", "misses by"),
        (Shifted([1.0, 2, 3, 4], miss=1e-3), "fragile", "misses by"),
        (Linear([1e-4, 1, 1, 1e4]), "broken", "condition number"),
        (Unlike([1.0, 2, 3, 4]), "broken", "does not fit the forward one for 6 samples"),
        (Scaled(0.0), "broken", "100 % of the samples do not come back finite"),
    ],
    ids=lambda value: value.name if hasattr(value, "name") else None,
)
def test_verdicts(block, level, reason):
    report = stability_report(block, data())
    assert report["verdict"] == level
    assert any(reason in text for text in report["reasons"]), report["reasons"]
    assert json.loads(report.to_json())["verdict"] == level


def test_a_singular_block_in_strict_json():
    numbers = json.loads(stability_report(Scaled(0.0), data()).to_json())
    assert numbers["reconstruction_error"]["max"] == "inf"
    assert numbers["reconstruction_error"]["nonfinite_share"] == 1.0


def test_a_part_that_cannot_be_rebuilt_is_named_not_hidden():
    block = Additive(1.0)
    block._arguments["slope"] = object()
    report = stability_report(block, data())
    assert report["reconstruction_error_float64"] is None
    assert "cannot be rebuilt" in report["float64_missing"] and "cannot be rebuilt" in str(report)


def test_one_bad_sample_decides():
    x = data(100)
    x[17, 0] = 50.0
    report = stability_report(Shifted(np.ones(4)), x)
    assert report["reconstruction_error"]["nonfinite_share"] == pytest.approx(0.01 * np.sum(x[:, 0] > 3))
    assert report["verdict"] == "broken"


def test_errors_are_judged_against_the_size_of_the_data():
    block, x = Shifted(np.ones(4), miss=0.5), -np.abs(data())
    assert stability_report(block, x)["verdict"] == "broken"
    large = stability_report(block, 1e5 * x)
    assert large["relative_error"]["p99"] < 1e-4 and not any("a sample's norm" in reason for reason in large["reasons"])
    assert large["verdict"] == "broken", "at latents of a standard normal it is as wrong as ever"


def test_judge_thresholds():
    def level(p99, **options):
        return judge(ErrorSummary(p99, p99, p99, 0.0, 10), **options).level

    assert [level(1e-6), level(1e-3), level(0.1)] == ["stable", "fragile", "broken"]
    assert level(1e-6, condition=1e6, rounding=1e-7) == "fragile"
    assert level(1e-6, condition=float("nan"), rounding=1e-7) == "fragile"
    assert level(1e-6, condition=1e6, rounding=1e-16) == "stable"


def test_an_empty_batch():
    with pytest.raises(ValueError, match="no errors"):
        stability_report(Scaled(), np.zeros((0, 3), "float32"))


def test_where_only_local_bounds_exist_the_box_of_the_data_is_taken():
    coupling = AffineCoupling(conditioner=lambda n: MLP((8,), out_channels=n, zero_last=False), scale=SigmoidScale(low=0.5))
    report = stability_report(coupling, data())
    assert report["bounds"]["scope"] == "local" and np.isfinite(report["bounds"]["forward"])
    assert report["bounds"]["forward"] >= report["singular_values"]["largest"]


def test_weights_that_are_all_nan_are_measured_and_not_called_stable():
    flow = real_nvp(event_shape=4, depth=2, hidden=(8,))
    flow.log_prob(tf.ones([2, 4]))
    flow.block.set_weights([np.full_like(w, np.nan) if w.dtype.kind == "f" else w for w in flow.block.get_weights()])
    certify(flow)
    report = stability_report(flow, tf.random.stateless_normal([16, 4], [1, 2]))
    assert report["verdict"] == "broken" and report["reconstruction_error"]["nonfinite_share"] == 1.0
