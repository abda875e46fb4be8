"""Columns of a table: what they are taken for, encoded and decoded as, and refused for."""

import json
import math
import types

import numpy as np
import pytest
import tensorflow as tf

from inntf.models import TableColumns
from inntf.models.tables.column import Column


def table(n=200, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "height": rng.normal(0.0, 2.0, n),
        "price": rng.lognormal(1.0, 0.5, n).astype(np.float32),
        "share": rng.uniform(0.0, 1.0, n),
        "wind_direction": np.mod(rng.normal(0.0, 40.0, n), 360.0),
        "visits": rng.poisson(2.0, n).astype(np.int32),
        "change": rng.integers(-5, 6, n),
        "sort": np.array(["red", "green", "blue"])[rng.integers(0, 3, n)],
        "member": rng.uniform(size=n) < 0.3,
        "mixed": [("a", 1, None)[i % 2] for i in range(n)],
    }


def test_kinds_are_told_from_the_values():
    columns = TableColumns.propose(table())
    assert {c.name: c.kind for c in columns.columns} == {
        "height": "real", "price": "positive", "share": "bounded", "wind_direction": "angle", "visits": "integer",
        "change": "integer", "sort": "categorical", "member": "categorical", "mixed": "categorical",
    }  # fmt: skip
    assert columns["visits"].low == 0 and columns["visits"].high >= 2 * table()["visits"].max()
    assert columns["change"].low <= -10 and columns["sort"].labels == ("blue", "green", "red")
    text = str(columns)
    assert "wind_direction: angle [0, 360); its name and its range say so" in text and "price: positive from 0 on" in text


def test_a_table_comes_back_as_it_was():
    given = table()
    columns = TableColumns.from_config(json.loads(json.dumps(TableColumns.propose(given).get_config())))
    again = columns.decode(columns.encode(given))
    for name, values in given.items():
        values = np.asarray(values)
        assert again[name].dtype == values.dtype, name
        if values.dtype.kind == "f":
            np.testing.assert_allclose(again[name], values, atol=1e-6)
        else:
            assert again[name].tolist() == values.tolist(), name


def test_data_frames_and_structured_arrays_are_tables():
    given = {"a": np.array([1.5, 2.5, 0.5]), "b": np.array(["x", "y", "x"])}
    columns = TableColumns.propose(given)
    structured = np.array(list(zip(*given.values(), strict=True)), dtype=[("a", "f8"), ("b", "U1")])

    class Frame(types.SimpleNamespace):  # what a data frame has
        columns = ("a", "b")

        def __getitem__(self, name):
            return given[name]

    for other in (structured, Frame()):
        np.testing.assert_array_equal(columns.encode(other), columns.encode(given))


def test_an_angle_is_within_its_circle():
    wind = np.mod(np.random.default_rng(0).normal(0.0, 30.0, 500), 360.0)
    columns = TableColumns.propose({"wind": wind}, {"wind": "angle"})
    assert columns.angles == [0] and columns["wind"].period == 360.0
    x = columns.encode({"wind": wind})[:, 0]
    np.testing.assert_array_equal(x, wind)
    np.testing.assert_allclose(columns.encode({"wind": wind - 720.0})[:, 0], x, atol=1e-9)
    turned = columns.preprocessing(dtype="float64").forward(np.array([[0.0], [90.0], [360.0]]))
    np.testing.assert_allclose(turned[:, 0], [-math.pi, -math.pi / 2, math.pi])
    for values in (np.array([-1e-20, 360.0, 400.0, -3.0]), np.linspace(-1000, 1000, 101)):
        found = columns.decode(values[:, None])["wind"]
        assert ((found >= 0) & (found < 360)).all()
    half = TableColumns.propose({"t": np.array([-3.0, 0.1, 3.0], np.float32)}, {"t": "angle"})
    edge = half.decode(np.array([[half["t"].period - 1e-12]]) + 2 * math.pi)["t"]
    assert edge.dtype == np.float32 and -math.pi - 1e-6 <= edge[0] < math.pi


def test_kinds_that_are_asked_for():
    given = {"a": np.array([1.0, 2.0, 3.0]), "b": np.array([0.2, 0.4, 0.9]), "c": np.array([1, 2, 1]), "d": np.array([1, 5, 7])}
    kinds = {"a": "real", "b": ("bounded", -1, 1), "c": ("categorical", [2, 1, 0]), "d": ("integer", 1, 7)}
    columns = TableColumns.propose(given, kinds)
    assert [c.kind for c in columns.columns] == ["real", "bounded", "categorical", "integer"]
    assert columns["b"].low == -1 and columns["c"].labels == (2, 1, 0) and columns["d"].levels == 7
    assert TableColumns.propose({"t": np.array([1.0, 23.0])}, {"t": ("angle", 24)})["t"].high == 24


def test_ends_that_are_reached_get_half_a_step_of_room():
    columns = TableColumns.propose({"p": np.array([0.0, 0.1, 0.4, 0.5])})
    assert columns["p"].margin == pytest.approx(0.05)
    found = columns.decode(np.array([[-0.04], [0.3]]))["p"]
    assert found.tolist() == [0.0, 0.3]
    z = columns.preprocessing().forward_and_log_det(columns.encode({"p": np.array([0.0, 0.1])}).astype(np.float32))[0]
    assert float(tf.reduce_max(tf.abs(z))) < 4


@pytest.mark.parametrize(
    ("given", "kinds", "words"),
    [
        ({"a": [1.0, np.nan, 2.0]}, {}, "1 of 3 values that are NaN.*row 1.*Leave those rows out"),
        ({"a": [1.0, np.inf]}, {}, "NaN or infinite"),
        ({"a": [2.0, 2.0]}, {}, "the same value in all 2 rows.*Leave the column out"),
        ({"a": ["x", None]}, {}, "missing, the first in row 1"),
        ({"a": [1.0, 2.0]}, {"b": "real"}, r"kinds of \['b'\]"),
        ({"a": [1.0, 2.0]}, {"a": "cyclic"}, "one of real, positive"),
        ({"a": [1.0, 2.0]}, {"a": ("bounded", 1)}, "'bounded', low, high"),
        ({"a": [1.0, 3.0]}, {"a": ("bounded", 0, 2)}, "1 values from 3 to 3.*make|1 values from 3 to 3.*Make the range wider"),
        ({"a": [-1.0, 3.0]}, {"a": "positive"}, "values from -1 to -1.*from 0 to inf"),
        ({"a": [0.5, 3.0]}, {"a": "integer"}, "expected whole numbers"),
        ({"a": ["x", "y"]}, {"a": "real"}, "ask for 'categorical'"),
        ({"a": [0.0, 1e6]}, {"a": "integer"}, "at most 131072 levels"),
        ({"a": [0.0, 1e6]}, {"a": "angle"}, "Give the period"),
        ({"a": [str(i) for i in range(30)]}, {}, "30 different values in 30 rows.*identifiers"),
        ({}, {}, "at least one"),
        ({"a": [1.0, 2.0], "b": [1.0]}, {}, "the same length"),
        ({"a": [[1.0], [2.0]]}, {}, "of one dimension"),
        ({3: [1.0, 2.0]}, {}, "a name of its own"),
    ],
)
def test_what_cannot_be_described(given, kinds, words):
    with pytest.raises(ValueError, match=f"(?s){words}"):
        TableColumns.propose(given, kinds)


def test_what_cannot_be_encoded():
    columns = TableColumns.propose({"n": np.array([1, 2, 3]), "s": np.array(["a", "b", "a"])})
    with pytest.raises(ValueError, match="(?s)'z'.*one of \\['a', 'b'\\].*that has all categories"):
        columns.encode({"n": [1], "s": ["z"]})
    with pytest.raises(ValueError, match=r"no column \['s'\] and also \['t'\]"):
        columns.encode({"n": [1], "t": ["a"]})
    with pytest.raises(ValueError, match="values from 1000 to 1000.*from 0 to"):
        columns.encode({"n": [1000], "s": ["a"]})
    with pytest.raises(ValueError, match="NaN"):
        columns.encode({"n": [np.nan], "s": ["a"]})
    with pytest.raises(TypeError, match="a mapping of names"):
        columns.encode(np.zeros([2, 2]))
    with pytest.raises(ValueError, match=r"expected \(n, 2\)"):
        columns.decode(np.zeros([2, 3]))
    with pytest.raises(ValueError, match="NaN"):
        columns.decode(np.full([2, 2], np.nan))
    with pytest.raises(ValueError, match="a name of its own"):
        TableColumns([Column("a", "real", "<f8")] * 2)


def test_the_blocks_in_front_go_there_and_back():
    given = table()
    columns = TableColumns.propose(given)
    block = columns.preprocessing(seed=0, dtype="float64")
    x = columns.encode(given)
    z, log_det = block.forward_and_log_det(x)
    assert np.isfinite(z).all() and np.isfinite(log_det).all() and not block.trainable_variables
    assert float(np.abs(z).max()) < 12
    again = columns.decode(block.inverse_and_log_det(tf.identity(z))[0].numpy())
    for name, values in given.items():
        values = np.asarray(values)
        if values.dtype.kind == "f":
            np.testing.assert_allclose(again[name], values, atol=1e-5)
        else:
            assert again[name].tolist() == values.tolist(), name
    z = tf.random.stateless_normal([300, 9], [1, 2], 0, 3, tf.float64)
    anything = columns.decode(block.inverse_and_log_det(z)[0].numpy())
    assert anything["visits"].min() >= 0 and set(anything["sort"]) == {"red", "green", "blue"}
    assert (anything["wind_direction"] >= 0).all() and (anything["wind_direction"] < 360).all()
    assert (anything["share"] >= 0).all() and (anything["share"] <= 1).all() and (anything["price"] >= 0).all()


def test_columns_of_earlier_files_are_read_and_a_cut_angle_is_refused():
    config = TableColumns([Column("a", "real", "float64")]).get_config()
    old = {"columns": [{**one, "cut": 0.0} for one in config["columns"]]}
    assert TableColumns.from_config(old).get_config() == config
    old["columns"][0]["cut"] = 1.5
    with pytest.raises(ValueError, match="Fit the table anew"):
        TableColumns.from_config(old)
