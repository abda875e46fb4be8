"""Pictures of repeated reconstruction."""

import numpy as np
import pytest

from inntf.stability import passes_picture


@pytest.mark.parametrize(
    ("event", "size"),
    [
        ((5, 6, 1), (17, 27)),
        ((5, 6, 3), (17, 27)),
        ((5, 6, 12), (17, 27)),
        ((5, 6), (17, 27)),
        ((4,), (26, 131)),
        ((30,), (26, 123)),
    ],
)
def test_grid_of_passes_and_samples(event, size):
    picture = passes_picture(np.random.default_rng(0).uniform(size=(3, 6, *event)), most=4).numpy()
    assert picture.shape == (*size, 3) and picture.dtype == np.uint8


def test_pixels_stand_where_they_should():
    samples = np.zeros((2, 2, 2, 2, 1))
    samples[0, 0, 0, 0] = 1.0  # the data span 0 to 1
    samples[1, 1, 1, 0] = 7.0  # clipped
    samples[1, 0, 0, 1] = np.nan
    picture = passes_picture(samples).numpy()
    assert list(picture[0, 0]) == [255] * 3 and list(picture[0, 1]) == [0] * 3
    assert list(picture[4, 3]) == [255] * 3
    assert list(picture[3, 1]) == [255, 0, 255]
    assert np.all(picture[2] == 255) and np.all(picture[:, 2] == 255)


def test_nothing_finite():
    assert np.all(passes_picture(np.full((1, 1, 2, 2, 3), np.nan)).numpy() == [255, 0, 255])
