"""What happens when a batch is not finite, by policy."""

import keras
import numpy as np
import pytest

from inntf.models import DensityModel, real_nvp
from inntf.training import NonFiniteError, NonFiniteGuard

X = np.random.default_rng(0).normal(size=(64, 3)).astype("float32") * 2 + 1
BAD = X.copy()
BAD[40] = np.nan


def model():
    keras.utils.set_random_seed(0)
    made = DensityModel(real_nvp(event_shape=3, depth=2, hidden=(8,)))
    made.compile(keras.optimizers.Adam(1e-2))
    return made


def fit(made, x, guard, epochs=1):
    return made.fit(x, epochs=epochs, batch_size=16, shuffle=False, verbose=0, callbacks=[guard])


def finite(made):
    return all(np.isfinite(w).all() for w in made.get_weights())


def test_stop_names_a_block_and_leaves_the_weights_of_the_last_whole_epoch():
    made, guard = model(), NonFiniteGuard("stop", x=X)
    fit(made, X, guard)
    before = made.get_weights()
    with pytest.raises(NonFiniteError, match=r"epoch 1; .* loses most at the data.* Lipschitz bounds .* forward"):
        fit(made, BAD, guard)
    for a, b in zip(made.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert int(made.optimizer.iterations) == 4
    fit(made, X, guard)  # and it goes on
    assert finite(made) and int(made.optimizer.iterations) == 8


def test_restore_goes_back_and_gives_up_after_its_patience():
    made, guard = model(), NonFiniteGuard("restore", patience=2)
    fit(made, X, guard)
    before = made.get_weights()
    with pytest.warns(UserWarning, match="back to the epoch before"):
        fit(made, BAD, guard, epochs=2)
    assert guard.restored == 2
    for a, b in zip(made.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(NonFiniteError), pytest.warns(UserWarning):
        fit(made, BAD, guard, epochs=3)


def test_skip_trains_on_with_the_other_batches():
    made, guard = model(), NonFiniteGuard("skip")
    fit(made, X, guard)  # which initializes its norms
    start = np.ravel(made.evaluate(X, verbose=0))[0]
    with pytest.warns(UserWarning, match="1 steps were skipped until epoch 1"):
        fit(made, BAD, guard, epochs=20)
    assert guard.skipped == 20 and int(made.optimizer.iterations) == 84 and finite(made)
    assert np.ravel(made.evaluate(X, verbose=0))[0] < start - 0.05


def test_a_whole_training_is_the_same_with_and_without_a_guard():
    weights = []
    for guards in ([], [NonFiniteGuard("skip")], [NonFiniteGuard("stop")]):
        made = model()
        made.fit(X, epochs=2, batch_size=16, shuffle=False, verbose=0, callbacks=guards)
        weights.append(made.get_weights())
    for a, b, c in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)


@pytest.mark.parametrize("bad", [{"policy": "hope"}, {"patience": 0}, {"patience": True}])
def test_what_is_no_policy_is_refused(bad):
    with pytest.raises(ValueError, match="NonFiniteGuard"):
        NonFiniteGuard(**bad)
