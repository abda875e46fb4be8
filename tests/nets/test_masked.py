"""The masked network: who sees whom, and the same numbers entry by entry."""

import numpy as np
import pytest
import tensorflow as tf

from inntf.nets import MaskedMLP
from inntf.nets.masks import entry_degrees, hidden_degrees

SETTINGS = [
    {},
    {"residual": True, "ordering": "right-to-left"},
    {"ordering": "random", "hidden_degrees": "random", "seed": 3},
    {"direct": True, "hidden": (2,), "ordering": [2, 4, 1, 3]},
    {"direct": True, "angles": [1, 3], "ordering": [2, 4, 1, 3]},
    {"residual": True, "angles": True},
]


def make(condition=None, **settings):
    net = MaskedMLP(3, **{"hidden": (9, 9), "activation": "tanh", "zero_last": False, "dtype": "float64", **settings})
    more = [] if condition is None else [tf.zeros([1, condition], tf.float64)]
    net(tf.zeros([1, 4], tf.float64), *more)
    return net


def jacobian(net, x, *more):
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        out = tf.reduce_sum(net(x, *more), 0)
    return tape.jacobian(out, x, experimental_use_pfor=False).numpy()[:, :, 0]  # (entry, channel, input)


@pytest.mark.parametrize("settings", SETTINGS)
def test_an_entry_sees_those_before_it_and_no_other(settings):
    net = make(**settings)
    seen = np.abs(jacobian(net, tf.random.normal([1, 4], dtype=tf.float64))).max(1)
    before = net.degrees[None, :] < net.degrees[:, None]
    assert np.all(seen[~before] == 0)
    if settings.get("hidden_degrees") != "random":
        assert np.all(seen[before] > 0)


def test_the_condition_is_seen_by_all():
    net = make(condition=2)
    x, c = tf.ones([1, 4], tf.float64), tf.Variable(tf.ones([1, 2], tf.float64))
    with tf.GradientTape(persistent=True) as tape:
        out = net(x, c)[0, :, 0]
    assert np.all(np.abs(tape.jacobian(out, c, experimental_use_pfor=False)).max((1, 2)) > 0)
    with pytest.raises(ValueError, match="condition"):
        net(x)


@pytest.mark.parametrize("settings", SETTINGS)
def test_entry_by_entry_is_the_network_at_its_own_output(settings):
    net = make(condition=2, **settings)
    given, c = tf.random.normal([5, 4], dtype=tf.float64), tf.random.normal([5, 2], dtype=tf.float64)
    entries, extras = net.entry_by_entry(lambda v, raw: (v - raw[:, 0], raw[:, 2]), given, c)
    out = net(entries, c)
    np.testing.assert_allclose(entries, given - out[..., 0], atol=1e-13)
    np.testing.assert_allclose(extras, out[..., 2], atol=1e-13)


def test_a_bad_entry_spoils_only_those_after_it():
    given = tf.constant([[1.0, np.nan, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]], tf.float64)
    entries, _ = make().entry_by_entry(lambda v, raw: (v - raw[:, 0], v), given)
    assert np.isnan(entries.numpy()).tolist() == [[False, True, True, True], [False] * 4]


def test_lipschitz_bound_holds():
    for settings in SETTINGS:
        net = make(**settings)
        norms = [np.linalg.norm(jacobian(net, tf.random.normal([1, 4], dtype=tf.float64)).reshape(12, 4), 2) for _ in range(3)]
        assert 0 < max(norms) <= net.lipschitz_bound()[0]


def test_angles_are_seen_without_a_seam():
    net = make(angles=[0, 2], direct=True)
    x = tf.random.normal([5, 4], dtype=tf.float64)
    np.testing.assert_allclose(net(x + 2 * np.pi * np.array([1.0, 0.0, -3.0, 0.0])), net(x), atol=1e-12)
    assert np.abs(net(x + 2 * np.pi * np.array([0.0, 1.0, 0.0, 0.0])) - net(x)).max() > 1e-3
    again = MaskedMLP.from_config(net.get_config())
    assert again.angles == [0, 2] and MaskedMLP.from_config(make(angles=True).get_config()).angles is True


def test_identity_entries_get_zeros_and_are_seen():
    net = make(identity=[0, 3], direct=True, ordering=[1, 3, 4, 2])
    for bias in net.biases:
        bias.assign(tf.ones_like(bias))
    x, c = tf.random.normal([1, 4], dtype=tf.float64), np.abs
    assert (c(net(x))[:, [0, 3]] == 0).all() and (c(net(x))[:, [1, 2]] > 0).all()
    assert (c(jacobian(net, x)).max(1)[[1, 2]][:, [0, 3]] > 0).all()
    entries, _ = net.entry_by_entry(lambda v, raw: (v - raw[:, 0], raw[:, 2]), x)
    np.testing.assert_array_equal(entries.numpy()[:, [0, 3]], x.numpy()[:, [0, 3]])
    assert MaskedMLP.from_config(net.get_config()).identity == [0, 3]


def test_degrees():
    assert hidden_degrees(7, 1, 4, "sequential", np.random.default_rng(0)).tolist() == [1, 1, 2, 2, 3, 3, 3]
    assert hidden_degrees(1, 1, 9, "sequential", np.random.default_rng(0)).tolist() == [8]
    assert sorted(entry_degrees(5, "random", 1)) == [1, 2, 3, 4, 5]
    assert entry_degrees(5, "random", 1).tolist() == entry_degrees(5, "random", 1).tolist()


@pytest.mark.parametrize(
    "wrong", [{"hidden": ()}, {"hidden": (3, 4), "residual": True}, {"ordering": "up"}, {"hidden_degrees": "some"}]
)
def test_wrong_settings(wrong):
    with pytest.raises(ValueError, match="received"):
        MaskedMLP(2, **wrong)


@pytest.mark.parametrize("wrong", [{"angles": [4]}, {"angles": [1, 1]}, {"identity": [4]}, {"identity": [0, 1, 2, 3]}])
def test_entries_that_there_are_not(wrong):
    with pytest.raises(ValueError, match="received"):
        make(**wrong)


def test_wrong_places():
    with pytest.raises(ValueError, match="each of 1 to 4 once"):
        make(ordering=[1, 2, 3, 3])


def test_degrees_that_somebody_gives():
    net = MaskedMLP(1, hidden=(4, 3), hidden_degrees=[[2, 1, 2, 1], [1, 2, 1]], zero_last=False, dtype="float64")
    x = tf.constant([[0.3, -0.7, 1.1]], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = net(x)[..., 0]
    jacobian = tape.jacobian(y, x)[0, :, 0]
    assert np.array_equal(np.triu(jacobian), np.zeros((3, 3)))
    assert [degrees.tolist() for degrees in net.unit_degrees] == [[2, 1, 2, 1], [1, 2, 1]]
    assert MaskedMLP.from_config(net.get_config()).hidden_degrees == net.hidden_degrees
    for wrong in ([[1, 2]], [[1, 2, 1, 3], [1, 2, 1]], 3.7):
        with pytest.raises((ValueError, TypeError)):
            MaskedMLP(1, hidden=(4, 3), hidden_degrees=wrong)(x)


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("options", [{}, {"residual": True, "direct": True}, {"identity": [0]}, {"input_bound": 1.0}])
def test_channels_apart_are_those_of_the_output(channels, options):
    net = MaskedMLP(channels, hidden=(16, 16), zero_last=False, dtype="float64", seed=3, **options)
    x, condition = tf.random.normal([7, 4], dtype=tf.float64), tf.random.normal([7, 3], dtype=tf.float64)
    net(x, condition)
    for bias in net.biases:
        bias.assign(tf.random.normal(bias.shape, dtype=tf.float64))
    out, apart = net(x, condition), net.channel_by_channel(x, condition)
    assert len(apart) == channels
    for i, one in enumerate(apart):
        np.testing.assert_allclose(one, out[..., i], rtol=1e-12, atol=1e-12)
