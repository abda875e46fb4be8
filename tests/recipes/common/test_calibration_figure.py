"""The calibration figure shows the curves that it was given, named, with their p-values."""

import numpy as np
import pytest

from inntf.calibration import expected_coverage, sbc_test, tarp
from recipes.common.calibration_figure import calibration_figure


@pytest.fixture(scope="module")
def figure():
    rng = np.random.default_rng(0)
    truth, samples = rng.normal(size=(60, 2)), 2 * rng.normal(size=(60, 30, 2))
    tests = [f(samples, truth, draws=99) for f in (sbc_test, expected_coverage, tarp)]
    named = dict(zip(("sbc", "coverage", "tarp"), tests, strict=True))
    return calibration_figure("A model", **named, names=["height", "angle"]), tests


def test_curves_and_names(figure):
    page, tests = figure
    axes = [a for part in page.subfigs for a in part.axes]
    assert len(axes) == 3
    np.testing.assert_allclose(axes[0].lines[2].get_ydata()[1:-1], tests[0].ecdf[:, 1] - tests[0].points)
    np.testing.assert_allclose(axes[1].lines[1].get_ydata()[1:-1], tests[1].ecdf[:, 0])
    legends = [[text.get_text() for text in a.get_legend().get_texts()] for a in axes]
    assert legends == [["height", "angle"], ["height central", "angle central", "one-sided"], ["a reference point"]]
    for a, test in zip(axes, tests, strict=True):
        assert f"p = {test.p_value:.2g}" in [text.get_text() for text in a.texts]


def test_it_can_be_written(figure, tmp_path):
    figure[0].savefig(tmp_path / "calibration.png", dpi=40)
    assert (tmp_path / "calibration.png").stat().st_size > 5000
