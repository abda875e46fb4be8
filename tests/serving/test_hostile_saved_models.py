"""SavedModels whose graphs reach beyond the model are refused before anything of them runs."""

from __future__ import annotations

import pathlib

import pytest
import tensorflow as tf

from inntf.blocks import ActNorm, AdditiveCoupling
from inntf.compose import Chain
from inntf.serving import export, load

SPEC = tf.TensorSpec([None, 2], tf.float32, name="x")
KEPT = pathlib.Path(__file__).parents[2] / "saved_models"


def saved(folder, function, **more):
    module = tf.Module()
    for name, value in more.items():
        setattr(module, name, value)
    module.f = tf.function(function, input_signature=[SPEC])
    tf.saved_model.save(module, str(folder), signatures={"forward": module.f})
    return folder


def reads(target):
    return lambda x: {"z": x + tf.strings.to_number(tf.io.read_file(target))}


def writes(target):
    def function(x):
        tf.io.write_file(target, "executed")
        return {"z": x}

    return function


def prints(target):
    def function(x):
        tf.print("executed", output_stream=f"file://{target}")
        return {"z": x}

    return function


def runs_python(target):
    def function(x):
        return {
            "z": tf.ensure_shape(tf.numpy_function(lambda v: pathlib.Path(target).touch() or v, [x], tf.float32), [None, 2])
        }

    return function


def lists(target):
    return lambda x: {"z": x + tf.cast(tf.size(tf.io.matching_files(target + "*")), tf.float32)}


def reads_lines(target):
    return lambda x: {"z": x + tf.data.TextLineDataset(target).reduce(0.0, lambda n, _: n + 1.0)}


def writes_in_a_branch(target):
    def function(x):
        tf.cond(tf.reduce_sum(x) > 1e30, lambda: (tf.io.write_file(target, "executed"), 0)[1], lambda: 0)
        return {"z": x}

    return function


def writes_a_checkpoint(target):
    def function(x):
        tf.raw_ops.SaveV2(prefix=target, tensor_names=["x"], shape_and_slices=[""], tensors=[x])
        return {"z": x}

    return function


HOSTILE = {
    f.__name__: f for f in (reads, writes, prints, runs_python, lists, reads_lines, writes_in_a_branch, writes_a_checkpoint)
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_graphs_that_reach_out_are_refused(kind, tmp_path):
    target = tmp_path / "executed"
    saved(tmp_path / "model", HOSTILE[kind](str(target)))
    with pytest.raises(ValueError, match="Nothing of it was run"):
        load(tmp_path / "model")
    assert not target.exists()


def test_the_operation_is_named_and_trust_can_be_given(tmp_path):
    (tmp_path / "number").write_text("2.5")
    folder = saved(tmp_path / "model", reads(str(tmp_path / "number")))
    with pytest.raises(ValueError, match="ReadFile"):
        load(folder)
    assert load(folder, trusted=True).signatures["forward"](x=tf.ones([1, 2]))["z"].numpy().tolist() == [[3.5, 3.5]]


def test_tables_of_files_and_broken_graphs_are_refused(tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("a\nb\n")
    line = tf.lookup.TextFileIndex
    rows = tf.lookup.TextFileInitializer(str(words), tf.string, line.WHOLE_LINE, tf.int64, line.LINE_NUMBER)
    table = tf.lookup.StaticHashTable(rows, -1)
    folder = saved(tmp_path / "model", lambda x: {"z": x + tf.cast(table.lookup(tf.constant("a")), tf.float32)}, table=table)
    with pytest.raises(ValueError, match="operation|assets"):
        load(folder)
    (folder / "saved_model.pb").write_bytes(b"cposix\nsystem\n.")
    with pytest.raises(ValueError, match=r"saved_model\.pb that is none"):
        load(folder)


def test_what_export_writes_is_loaded(tmp_path):
    block = Chain([ActNorm(), AdditiveCoupling()]).ensure_built((2,))
    assert load(export(block, tmp_path)).forward([[1.0, 2.0]]).shape == (1, 2)


@pytest.mark.parametrize("name", [p.name for p in sorted(KEPT.iterdir()) if (p / "1").is_dir()])
def test_kept_models_only_calculate(name):
    assert load(KEPT / name).signatures
