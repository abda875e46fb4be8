"""`python -m recipes.prepare` on small files in the makers' formats, good and bad."""

import gzip
import os
import shutil
import subprocess
import sys
import tarfile

import numpy as np
import pytest

from recipes import prepare
from recipes.common.data import load_images
from recipes.common.errors import UserError
from recipes.common.makers_files import read_makers_files

RNG = np.random.default_rng(0)
COUNTS = {"train": 12, "t10k": 5}


def idx(array):
    return bytes((0, 0, 8, array.ndim)) + np.asarray(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()


@pytest.fixture
def idx_dir(tmp_path):
    """Four IDX files, two of them compressed; returns the folder and the arrays."""
    source = tmp_path / "idx"
    source.mkdir()
    arrays = {}
    for split, n in COUNTS.items():
        arrays[split] = RNG.integers(0, 256, (n, 28, 28)).astype(np.uint8), (np.arange(n) % 10).astype(np.uint8)
        (source / f"{split}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(arrays[split][0])))
        (source / f"{split}-labels-idx1-ubyte").write_bytes(idx(arrays[split][1]))
    return source, arrays


@pytest.fixture
def cifar_dir(tmp_path):
    """Six binary batches of four images each; returns the folder and the training images."""
    source = tmp_path / "cifar" / "cifar-10-batches-bin"
    source.mkdir(parents=True)
    images = []
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        rgb = RNG.integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)
        rows = np.concatenate([np.arange(4, dtype=np.uint8)[:, None], rgb.transpose(0, 3, 1, 2).reshape(4, -1)], 1)
        (source / f"{name}.bin").write_bytes(rows.tobytes())
        images.append(rgb)
    return source.parent, np.concatenate(images[:5])


def pairs(images, labels):
    return sorted((i.tobytes(), int(y)) for i, y in zip(images, labels, strict=True))


def run(name, source, data_dir, *more):
    return prepare.main([name, "--source", str(source), "--data-dir", str(data_dir), *more])


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_idx_files_become_a_data_set(idx_dir, tmp_path, name, capsys):
    source, arrays = idx_dir
    assert run(name, source, tmp_path / "tfds", "--partial") == 0
    assert "12 train and 5 test images" in capsys.readouterr().out
    data = load_images(name, tmp_path / "tfds")
    assert pairs(data.train, data.train_labels) == pairs(*arrays["train"])
    assert pairs(data.test, data.test_labels) == pairs(*arrays["t10k"])
    assert [p.name for p in (tmp_path / "tfds").iterdir()] == [name]  # nothing hidden is left


def test_cifar_batches_and_their_archive_become_the_same_data_set(cifar_dir, tmp_path):
    source, images = cifar_dir
    archives = tmp_path / "archives"
    archives.mkdir()
    with tarfile.open(archives / "cifar-10-binary.tar.gz", "w:gz") as tar:
        tar.add(source / "cifar-10-batches-bin", "cifar-10-batches-bin")
    read = [read_makers_files("cifar10", s, True) for s in (source, archives, archives / "cifar-10-binary.tar.gz")]
    for data in read:
        np.testing.assert_array_equal(data.train, images)
        np.testing.assert_array_equal(data.test_labels, np.arange(4))
    assert run("cifar10", archives, tmp_path / "tfds", "--partial") == 0
    data = load_images("cifar10", tmp_path / "tfds")
    assert pairs(data.train, data.train_labels) == pairs(images, np.tile(np.arange(4), 5))


def test_what_is_there_is_not_overwritten(idx_dir, tmp_path, capsys):
    source, _ = idx_dir
    assert run("mnist", source, tmp_path / "tfds", "--partial") == 0
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "tfds").rglob("*")}
    assert run("mnist", source, tmp_path / "tfds", "--partial") == 2
    assert "there already" in capsys.readouterr().err
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "tfds").rglob("*")} == before


def rewrite(path, change):
    raw = path.read_bytes()
    packed = path.suffix == ".gz"
    raw = change(gzip.decompress(raw) if packed else raw)
    path.write_bytes(gzip.compress(raw) if packed else raw)


IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte"
BAD_IDX = {
    "missing": (lambda d: (d / IMAGES).unlink(), "holds no train-images-idx3-ubyte"),
    "cut short": (lambda d: rewrite(d / IMAGES, lambda raw: raw[:-1]), "cut short"),
    "too long": (lambda d: rewrite(d / LABELS, lambda raw: raw + b"\0"), "13 bytes"),
    "no header": (lambda d: rewrite(d / LABELS, lambda raw: raw[:6]), "whole header"),
    "empty": (lambda d: (d / LABELS).write_bytes(b""), "magic number"),
    "wrong magic": (lambda d: rewrite(d / IMAGES, lambda raw: b"\0\0\x0d\3" + raw[4:]), "expected 0x00000803"),
    "swapped": (lambda d: shutil.copy(d / LABELS, d / IMAGES), "magic number"),
    "broken gzip": (lambda d: (d / IMAGES).write_bytes((d / IMAGES).read_bytes()[:40]), "cannot be read"),
    "sizes beyond 64 bits": (
        lambda d: rewrite(d / IMAGES, lambda raw: raw[:4] + b"\xff" * 12 + raw[16:]),
        "4294967295x4294967295x4294967295",
    ),
    "sizes that overflow to nothing": (
        lambda d: rewrite(d / IMAGES, lambda raw: raw[:4] + (b"\x80\0\0\0" * 2 + b"\0\0\0\4")),
        "2147483648x2147483648x4",
    ),
    "no gzip": (lambda d: (d / IMAGES).write_bytes(b"\x1f\x8b" + bytes(range(100))), "cannot be read"),
    "a folder": (lambda d: ((d / LABELS).unlink(), (d / LABELS).mkdir()), "holds no"),
    "wrong size": (lambda d: rewrite(d / IMAGES, lambda _: idx(np.zeros((12, 27, 28)))), r"\(27, 28\)"),
    "label 10": (lambda d: rewrite(d / LABELS, lambda raw: raw[:-1] + b"\x0a"), "label 10"),
    "one label less": (lambda d: rewrite(d / LABELS, lambda _: idx(np.zeros(11))), "12 images but 11 labels"),
}


@pytest.mark.parametrize("fault", BAD_IDX)
def test_bad_idx_files_are_refused(idx_dir, fault):
    source, _ = idx_dir
    spoil, said = BAD_IDX[fault]
    spoil(source)
    with pytest.raises(UserError, match=said):
        read_makers_files("mnist", source, True)


BAD_CIFAR = {
    "missing": (lambda d: (d / "data_batch_3.bin").unlink(), r"lacks data_batch_3\.bin"),
    "none": (lambda d: shutil.rmtree(d), "neither"),
    "cut short": (lambda d: rewrite(d / "test_batch.bin", lambda raw: raw[:-1]), r"test_batch\.bin.*multiple of 3073"),
    "empty": (lambda d: (d / "test_batch.bin").write_bytes(b""), "0 bytes"),
    "label 200": (lambda d: rewrite(d / "data_batch_1.bin", lambda raw: b"\xc8" + raw[1:]), "label 200"),
}


@pytest.mark.parametrize("fault", BAD_CIFAR)
def test_bad_cifar_files_are_refused(cifar_dir, fault):
    source, _ = cifar_dir
    spoil, said = BAD_CIFAR[fault]
    spoil(source / "cifar-10-batches-bin")
    with pytest.raises(UserError, match=said):
        read_makers_files("cifar10", source, True)


def test_a_bad_archive_is_refused(tmp_path):
    archive = tmp_path / "cifar-10-binary.tar.gz"
    archive.write_bytes(gzip.compress(b"no archive" * 1000)[:-9])
    with pytest.raises(UserError, match="cannot be read"):
        read_makers_files("cifar10", archive)
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(__file__, "readme.txt")
    with pytest.raises(UserError, match=r"lacks data_batch_1\.bin"):
        read_makers_files("cifar10", archive)


def test_a_part_of_the_images_wants_to_be_asked_for(idx_dir):
    with pytest.raises(UserError, match="--partial"):
        read_makers_files("mnist", idx_dir[0])


@pytest.mark.parametrize(("name", "labels"), [("mnist", np.arange(60_000) % 10), ("fashion_mnist", np.arange(60_000) % 9)])
def test_mnist_and_fashion_mnist_are_not_mistaken_for_each_other(tmp_path, name, labels):
    for split, n in (("train", 60_000), ("t10k", 10_000)):
        (tmp_path / f"{split}-images-idx3-ubyte").write_bytes(idx(np.zeros((n, 28, 28), np.uint8)))
        (tmp_path / f"{split}-labels-idx1-ubyte").write_bytes(idx(labels[:n]))
    with pytest.raises(UserError, match="files are those of"):
        read_makers_files(name, tmp_path)


def test_a_failed_preparation_leaves_nothing(idx_dir, tmp_path, monkeypatch, capsys):
    from recipes.common import tfds_store

    rename = os.rename

    def full(source, target):
        if ".preparing" not in str(target):
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(tfds_store.os, "rename", full)
    assert run("mnist", idx_dir[0], tmp_path / "tfds", "--partial") == 2
    assert "No space left" in capsys.readouterr().err
    assert not any((tmp_path / "tfds" / "mnist").iterdir()) and not list((tmp_path / "tfds").glob(".*"))


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "required"),
        (["svhn", "--source", "."], "svhn"),
        (["mnist"], "--source"),
        (["mnist", "--source", "/no/such/folder"], "does not exist"),
        (["mnist", "--source", ".", "--speed", "9"], "--speed"),
    ],
)
def test_a_bad_command_ends_in_code_2(argv, said, capsys):
    assert prepare.main(argv) == 2
    err = capsys.readouterr().err
    assert said in err and "Traceback" not in err


def test_as_a_process_stderr_holds_one_line(idx_dir, tmp_path):
    """The exit code and the silence, TensorFlow's included, are those of a fresh process."""
    taken = tmp_path / "d" / "mnist" / "3.0.1"
    taken.mkdir(parents=True)
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    argv = [sys.executable, "-m", "recipes.prepare", "mnist", "--source", str(idx_dir[0]), "--partial"]
    argv += ["--data-dir", str(tmp_path / "d")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2 and done.stdout == "" and not any(taken.iterdir())
    assert done.stderr.startswith(f"error: {taken} is there already") and done.stderr.count("\n") == 1
