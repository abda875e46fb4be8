"""The density of tables: what the number is, against sums and integrals; fitting, samples, saving, serving."""

import itertools
import json

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from inntf.models import TableColumns, TableModel, table_flow
from inntf.serving import export, load, read_card
from inntf.stability.block_functions import split_at_rounding


def shaken(model, scale=0.3):
    rng = np.random.default_rng(0)
    for weight in model.trainable_variables:
        weight.assign_add(scale * rng.normal(size=weight.shape).astype(np.float32))
    return model


def rows(n=128, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "length": rng.lognormal(0.0, 0.5, n),
        "angle": np.mod(rng.vonmises(3.0, 2.0, n), 2 * np.pi),
        "count": rng.poisson(3.0, n),
        "sort": np.array(["a", "b", "c"])[rng.integers(0, 3, n)],
    }


@pytest.fixture(scope="module")
def fitted():
    keras.utils.set_random_seed(0)
    model = table_flow(rows(512), depth=2, hidden=(16,))
    model.compile(keras.optimizers.Adam(1e-2))
    model.fit(rows(512), epochs=1, batch_size=256, verbose=0, validation_data=rows(64, 1))
    return model


def test_probabilities_of_integers_and_categories_sum_to_one():
    """The counting measure: over all values of both columns the estimated probabilities add up to 1."""
    given = {"n": np.array([0, 1, 2, 1]), "s": np.array(["a", "b", "a", "a"])}
    model = shaken(table_flow(given, {"n": ("integer", 0, 3)}, depth=1, hidden=(8,)).initialize(given))
    every = list(itertools.product(range(4), "ab"))
    cells = {"n": np.array([n for n, _ in every]), "s": np.array([s for _, s in every])}
    found = model.log_prob(cells, draws=1024)
    assert float(tf.reduce_sum(tf.exp(found))) == pytest.approx(1.0, abs=0.05)
    one = np.mean(model.log_prob({name: np.tile(column, 512) for name, column in cells.items()}))
    assert one < np.mean(found) - 0.05  # the mean of one draw's logarithm is a lower bound


@pytest.mark.parametrize("kind", ["positive", "real", ("bounded", 0, 9), ("angle", 9)])
def test_densities_integrate_to_one_in_the_units_of_the_table(kind):
    given = {"x": np.random.default_rng(0).gamma(3.0, 0.5, 64)}
    model = shaken(table_flow(given, {"x": kind}, depth=2, hidden=(8,)).initialize(given))
    ends = {"positive": (0, 30), "real": (-15, 30)}.get(kind, (0, 9))
    grid = np.linspace(*ends, 8001)
    grid = (grid[1:] + grid[:-1]) / 2
    density = np.exp(model.log_prob({"x": grid}))
    assert np.trapezoid(density, grid) == pytest.approx(1.0, abs=0.03)


def test_samples_are_rows_of_the_table(fitted):
    found, given = fitted.sample(200, seed=1), rows()
    assert list(found) == list(given)
    assert all(found[name].dtype == given[name].dtype and len(found[name]) == 200 for name in given)
    assert (found["angle"] >= 0).all() and (found["angle"] < 2 * np.pi).all() and (found["length"] > 0).all()
    assert np.isfinite(fitted.log_prob(found)).all()


@pytest.mark.slow
def test_fitting_follows_the_data():
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    sort = rng.integers(0, 2, 2000)
    given = {"sort": np.array(["a", "b"])[sort], "x": rng.normal(3.0 * sort, 1.0)}
    model = table_flow(given, depth=2, hidden=(16,))
    model.compile(keras.optimizers.Adam(1e-2))
    model.fit(given, epochs=6, batch_size=250, verbose=0)
    truth = np.log(0.5) + scipy.stats.norm.logpdf(given["x"], 3.0 * sort)
    assert np.mean(model.log_prob(given, draws=4)) == pytest.approx(truth.mean(), abs=0.1)


def test_it_is_saved_with_its_columns(fitted, tmp_path):
    fitted.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(again, TableModel) and again.columns.names == fitted.columns.names
    assert str(again) == str(fitted) and "weights for 4 columns; 2 of them of levels" in str(fitted)
    x = fitted.columns.encode(rows(16, 2)).astype(np.float32)
    z, _ = fitted.block.forward_and_log_det(x)
    expected = fitted.block.inverse_and_log_det(tf.identity(z))[0]
    np.testing.assert_allclose(again.block.inverse_and_log_det(z)[0], expected, rtol=1e-5)
    json.dumps(fitted.columns.get_config())


def test_what_rounds_is_left_out_where_errors_are_measured(fitted):
    leading, rest = split_at_rounding(fitted.block)
    assert len(leading) == 1 and leading[0].tags.stochastic and not rest.tags.stochastic


@pytest.mark.slow
def test_it_is_served(fitted, tmp_path):
    export(fitted, tmp_path / "model")
    served = load(tmp_path / "model")
    x = fitted.columns.encode(rows(16, 2)).astype(np.float32)
    assert np.isfinite(served.log_prob(x)).all()


def test_a_served_sample_is_read_by_the_card_alone(tmp_path):
    given = {"height": np.array([170.0, 180.0, 165.0]), "n": np.array([3, 9, 5]), "sort": np.array(["a", "b", "c"])}
    model = table_flow(given, depth=1, hidden=(4,), seed=0).initialize(given)
    card = read_card(path := export(model, tmp_path, batch=given))
    assert card["rehearsal"]["rows"] == 3 and card["stability"]["samples"] == 3  # of the table
    assert [(one["name"], one["kind"]) for one in card["columns"]][2] == ("sort", "categorical")
    assert card["columns"][2]["labels"] == ["a", "b", "c"]
    columns = TableColumns(card["columns"])
    assert str(columns) == str(model.columns)
    found, wanted = columns.decode(load(path).sample(5, seed=1)), model.sample(5, seed=1)
    for name in given:
        assert found[name].dtype == wanted[name].dtype
        np.testing.assert_array_equal(found[name], wanted[name])


def test_validation_tables_in_the_form_of_keras(fitted):
    for given in (rows(32, 1), (rows(32, 1),), [rows(32, 1)]):
        history = fitted.fit(rows(64), epochs=1, verbose=0, validation_data=given).history
        assert np.isfinite(history["val_loss"]).all()


def test_one_pass_both_ways_by_couplings():
    given = rows(64)
    model = table_flow(given, architecture="spline_coupling", depth=2, hidden=(8,)).initialize(given)
    assert np.isfinite(model.log_prob(given)).all() and model.sample(3, seed=0)["sort"].shape == (3,)


def test_outliers_are_not_all_but_impossible():
    rng = np.random.default_rng(0)
    given = {"x": rng.normal(size=500), "y": rng.lognormal(size=500)}
    model = table_flow(given, depth=2, hidden=(8,)).initialize(given)
    far = {"x": np.array([60.0, -60.0, 0.0, 0.0]), "y": np.array([1.0, 1.0, 1e5, 1e-6])}
    assert (model.log_prob(far) > -100).numpy().all()


def test_what_is_refused(fitted):
    with pytest.raises(ValueError, match="at least two: a coupling"):
        table_flow({"x": np.arange(5.0)}, architecture="spline_coupling")
    with pytest.raises(ValueError, match="architecture"):
        table_flow(rows(), architecture="glow")
    with pytest.raises(ValueError, match="draws"):
        fitted.log_prob(rows(4), draws=0)
    with pytest.raises(ValueError, match="n="):
        fitted.sample(0)
    with pytest.raises(ValueError, match="a number a column"):
        TableModel(fitted.flow, columns={"columns": fitted.columns.get_config()["columns"][:2]})
    with pytest.raises(ValueError, match="no column"):
        fitted.fit({"length": [1.0]})
