"""The report sees what hides: samples that break, errors behind rounding, small columns, densities, refusals, 16 bits."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf import Flow
from inntf.blocks import AffineCoupling, Dequantize, Logit, Permutation, ResidualBlock
from inntf.compose import Chain
from inntf.core.random_states import random_states, same_draws
from inntf.models import i_resnet_classifier, real_nvp
from inntf.nets import MLP, LipschitzMLP
from inntf.numerics import ExpScale, RussianRoulette
from inntf.stability import judge, stability_report, summarize, worst_column
from inntf.stability.density_error import density_error
from inntf.stability.verdict import which_case
from tests.stability.tiny_blocks import Scaled, Shifted


def data(n=16, dim=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, dim)).astype("float32")


def falls_off():
    """A conditioner whose log-scale is 0 in [-1, 1] and falls off steeply outside: data there never see it."""
    first, last = keras.layers.Dense(2, "relu"), keras.layers.Dense(2)
    network = keras.Sequential([first, last])
    network.build((None, 1))
    first.set_weights([np.array([[1.0, -1.0]]), np.array([-1.0, -1.0])])
    last.set_weights([np.array([[0.0, -200.0], [0.0, -200.0]]), np.zeros(2)])
    return network


def test_samples_that_are_not_finite_are_seen_where_data_are_fine():
    flow = Flow(AffineCoupling(conditioner=falls_off(), scale=ExpScale(None)), event_shape=(2,))
    x = np.random.default_rng(0).uniform(-0.9, 0.9, (64, 2)).astype("f4")
    report = stability_report(flow, x)
    assert report["reconstruction_error"]["max"] < 1e-5 and report["reconstruction_error"]["nonfinite_share"] == 0
    assert report["own_samples"]["nonfinite_share"] > 0.05 and report["verdict"] == "broken"
    assert report["case"] == "inverse lost, density right"
    assert "samples are not finite" in report["reasons"][0] and "nothing is proved" in report["scope"]


def test_rounding_in_front_hides_no_error():
    wrong = Chain([Dequantize(levels=4, seed=1), Shifted(np.ones(4), miss=0.01)])
    report = stability_report(wrong, np.random.default_rng(0).integers(0, 4, (32, 4)))
    assert report["reconstruction_error"]["median"] > 5e-3 and report["verdict"] == "broken"
    fine = Chain([Chain([Dequantize(levels=4), Logit()]), Permutation.reverse()])
    assert stability_report(fine, np.random.default_rng(0).integers(0, 4, (32, 4)))["verdict"] == "stable"


def test_a_column_is_judged_by_its_own_spread():
    x = data(200) * [1e8, 1.0, 1.0, 1.0] + [0, 0, 5, 0]
    x[:, 2] = 5.0
    x = tf.constant(x, tf.float32)
    column, errors = worst_column(x, x + np.float32([0, 0.04, 0, 0]))
    assert column == 1 and 0.03 < errors.median < 0.05
    column, errors = worst_column(x, x + np.float32([0, 0, 1e-6, 0]))
    assert errors.p99 < 1e-6, "a constant column counts by its size"
    assert judge(summarize([1e-9]), columns=(1, summarize([0.04]))).level == "broken"
    images = tf.reshape(x[:192], [12, 4, 4, 4])
    assert worst_column(images, images + np.float32([0, 0, 0, 0.5]))[0] == 3


def test_the_four_cases():
    right, wrong = density_error(np.ones(9), np.ones(9), 2), density_error(np.ones(9), 3 + np.ones(9), 2)
    assert not right.wrong and wrong.wrong
    assert density_error(np.array([-np.inf]), np.array([-np.inf]), 2).nats.max == 0
    report = stability_report(Scaled(2.0), data())
    assert report["case"] == "inverse whole, density right" and report["density_error"]["nats"]["max"] < 1e-5
    assert judge(summarize([0.0]), density=wrong).level == "broken"
    assert "density wrong" in which_case(_whole(), None, wrong) and "not known" in which_case(_whole(), None, None)


def _whole():
    from_one = summarize([0.0])
    return type("Side", (), {"nonfinite_share": 0.0, "relative": from_one, "columns": from_one})


def test_an_inverse_that_refuses_is_counted_not_raised():
    network = keras.Sequential([keras.layers.Dense(4, kernel_initializer=keras.initializers.Orthogonal(3.0))])
    report = stability_report(ResidualBlock(network=network).ensure_built((4,)), data())
    assert report["verdict"] == "broken" and report["reconstruction_error"]["nonfinite_share"] == 1.0


def test_weights_that_are_not_numbers_give_a_clear_verdict():
    flow = real_nvp(event_shape=4, depth=2, hidden=(4,))
    for weight in flow.block.trainable_weights:  # what training can spoil; the order of a permutation is fixed
        weight.assign(np.nan * weight)
    report = stability_report(flow, data())
    assert report["verdict"] == "broken" and "not finite" in report["scope"] and str(report) and report.to_json()


def test_networks_of_16_bits_are_judged_in_what_they_compute():
    block = AffineCoupling(conditioner=MLP((8,), zero_last=False, dtype="mixed_bfloat16"))
    report = stability_report(block, 3 * data())
    assert report["computes_in"] == "bfloat16" and report["between_evaluations"] is not None
    assert report["verdict"] != "stable" and report["density_error"]["nats"]["max"] > 1e-4


def test_a_measurement_compares_the_same_draws_and_leaves_the_random_state():
    chain = Chain([ResidualBlock(network=LipschitzMLP((8,)), log_det=RussianRoulette(), tolerance=1e-3)]).ensure_built((4,))
    before = [v.numpy() for v in random_states(chain)]
    assert before and stability_report(chain, data())["density_error"]["nats"]["max"] < 1e-3
    for state, value in zip(random_states(chain), before, strict=True):
        np.testing.assert_array_equal(state.numpy(), value)
    with same_draws(chain) as rewind:
        one = chain.forward_and_log_det(data())[1]
        rewind()
        np.testing.assert_array_equal(one, chain.forward_and_log_det(data())[1])


@pytest.mark.parametrize(("channels", "said"), [(2, "pads"), (1, "A classifier")])
def test_a_classifier_has_no_samples_of_its_own(channels, said):
    model = i_resnet_classifier(event_shape=(4, 4, 1), classes=2, blocks=(1,), hidden=(2,), channels=channels)
    report = stability_report(model, tf.random.stateless_normal([3, 4, 4, 1], [1, 2]), samples=1)
    assert report["own_samples"] is None and report["density_error"] is None and said in report["own_samples_missing"]
    assert report["verdict"] == "stable" and report["singular_values"]["unverified"] == 0
