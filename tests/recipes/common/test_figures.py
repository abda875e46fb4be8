"""Figures: right pixels in the grid, whole pages also with broken numbers, summaries that TensorBoard reads."""

import functools
import warnings

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from recipes.common import figures
from recipes.common.cli import RecipeConfig
from recipes.common.run_folder import RunFolder
from recipes.common.tensorboard import Summaries


def images(n, channels=1):
    return np.broadcast_to(np.arange(n, dtype=np.float32)[:, None, None, None], (n, 4, 4, channels)).copy()


@pytest.mark.parametrize("channels", [1, 3])
def test_mosaic_places_images_row_by_row_with_gaps(channels):
    page = figures.mosaic(images(5, channels) * 51, columns=2)
    assert page.shape == (14, 9, 3)
    assert [round(page[r, c, 0], 6) for r, c in ((0, 0), (0, 5), (5, 0), (5, 5), (10, 0))] == [0, 0.2, 0.4, 0.6, 0.8]
    assert (page[4] == 1).all() and (page[:, 4] == 1).all() and (page[10:, 5:] == 1).all()


def test_mosaic_marks_broken_pixels_and_clips():
    bad = images(2)
    bad[0, 1, 1, 0], bad[0, 2, 2, 0], bad[1] = np.nan, -np.inf, 999
    page = figures.mosaic(bad, columns=2)
    assert tuple(page[1, 1]) == figures.BROKEN == tuple(page[2, 2]) and (page[:, 5:] == 1).all()


def full_page():
    x = np.arange(20.0)
    broken = np.where(x > 10, np.nan, np.exp(x))
    curves = {"fine": (x, x + 1), "broken": (x, broken), "gone": (x, np.full(20, np.inf))}
    return figures.report(
        "A report",
        [
            [
                functools.partial(figures.draw_images, images=images(9), title="Samples"),
                functools.partial(figures.draw_passes, passes=[images(3)] * 10, title="Passes"),
            ],
            [
                functools.partial(figures.draw_curves, curves=curves, title="Curves", log=True),
                functools.partial(figures.draw_curves, curves={}, title="No curve"),
                functools.partial(figures.draw_bars, values={"a": 1.0, "b": np.inf, "c": 1e12}, title="Bars", log=True),
                functools.partial(figures.draw_bars, values={"a": np.nan}, title="Bar", log=True),
            ],
            [functools.partial(figures.draw_table, header=["", "x"], rows=[["a", 1.0], ["b", np.nan]], title="Table")],
        ],
        subtitle="small",
        footer="python -m recipes.toy",
    )


def test_a_page_with_broken_numbers_is_laid_out_and_written_whole(tmp_path):
    folder = RunFolder.open(RecipeConfig(out=tmp_path / "run"), "toy", argv=[])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a layout that gave up warns
        path = folder.write_figure("report.png", full_page(), dpi=40)
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert sorted(p.name for p in folder.path.iterdir()) == [".lock", "config.json", "report.png"]


def test_figures_leave_pyplot_alone():
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    full_page()
    assert pyplot.get_fignums() == before


def test_summaries_can_be_read_by_tensorboard(tmp_path):
    with Summaries(tmp_path) as board:
        board.scalars(3, {"loss": 0.5, "broken": np.inf}, prefix="train")
        board.images(3, "samples", images(4))
        board.figure(3, "page", figures.report("t", [[lambda axes: figures.draw_bars(axes, {"a": 1.0})]]))
    read = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0})
    read.Reload()
    tags = set(read.Tags()["tensors"])
    assert tags == {"train/loss", "train/broken", "samples", "page"}
    (event,) = read.Tensors("train/loss")
    assert event.step == 3 and np.frombuffer(event.tensor_proto.tensor_content, np.float32).tolist() == [0.5]


def test_summaries_that_are_off_write_nothing(tmp_path):
    with Summaries(tmp_path / "logs", enabled=False) as board:
        board.scalars(1, {"loss": 1.0})
    assert not (tmp_path / "logs").exists()
