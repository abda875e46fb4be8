"""The report to look at: files that are whole, a page that stands alone, pictures of what changes most."""

import html
import json
import re

import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import AdditiveCoupling
from inntf.compose import Chain, Repeat
from inntf.stability import stability_report
from inntf.stability.block_errors import block_errors
from inntf.stability.reconstruction import most_changed
from tests.stability.tiny_blocks import Additive, Linear, Scaled, Shifted


def images(n=3):
    return tf.random.stateless_normal([n, 4, 4, 2], [0, 1])


@pytest.mark.parametrize(
    ("block", "x"),
    [
        (Additive(1.0), images()),
        (Scaled(0.0), np.ones((3, 4), "float32")),
        (Shifted([1.0, 2, 3, 4], miss=0.5, name="a_b"), np.ones((3, 4), "float32")),
    ],
)
def test_four_files_and_a_page_that_stands_alone(tmp_path, block, x):
    report = stability_report(block, x, passes=2)
    assert report.save(tmp_path / "new" / "folder") == tmp_path / "new" / "folder"
    files = {path.name: path for path in (tmp_path / "new" / "folder").iterdir()}
    assert set(files) == {"report.json", "report.txt", "report.png", "report.html"}
    assert json.loads(files["report.json"].read_text())["verdict"] == report["verdict"]
    picture = tf.io.decode_png(files["report.png"].read_bytes()).numpy()
    assert picture.std() > 10  # something is drawn
    page = files["report.html"].read_text()
    links = re.findall(r"(?:src|href)\s*=\s*[\"']?([^\"'\s>]+)", page)
    assert links and all(link.startswith(("data:", "#")) for link in links)  # it loads nothing
    assert all(reason in html.unescape(page) for reason in report["reasons"]) and block.name in page
    assert ("<img" in page) == (np.ndim(x) == 4)


def test_names_and_reasons_are_escaped():
    report = stability_report(Linear([1.0, 2.0], name="plain"), np.ones((2, 2), "float32"), passes=1)
    report["reasons"] = ["a < b & c"]
    assert "a &lt; b &amp; c" in report.to_html()


def test_what_cannot_be_written_leaves_the_old_file(tmp_path, monkeypatch):
    report = stability_report(Linear([1.0, 2.0]), np.ones((2, 2), "float32"), passes=1)
    report.save(tmp_path)
    before = (tmp_path / "report.html").read_text()

    def fail(*args, **kwargs):
        raise OSError("the disk is full")

    monkeypatch.setattr("os.replace", fail)
    report["reasons"] = ["another"]
    with pytest.raises(OSError, match="disk is full"):
        report.save(tmp_path)
    assert (tmp_path / "report.html").read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json", "report.png", "report.txt"]


def test_balls_stand_beside_the_measured_values():
    block = AdditiveCoupling(name="shear")
    x = np.random.default_rng(0).normal(size=(4, 4)).astype("float32")
    block(x)
    report = stability_report(block, x, radius=1e-3)
    balls = report["balls"]
    assert balls["certified"] == balls["samples"] == 4
    assert 1 <= balls["forward_at_centre"] <= balls["forward"] <= report["bounds"]["forward"] * (1 + 1e-6)
    assert "Proved within 0.001" in str(report) and "Within 0.001" in report.to_html()


def test_what_changes_most_comes_first():
    errors = tf.constant([[9.0, 9, 9, 9], [1.0, np.nan, 3.0, 2.0]])
    assert most_changed(errors, 3).tolist() == [1, 2, 3]


def test_errors_block_by_block():
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    chain = Chain(
        [Repeat(lambda: Linear([1.0, 2, 3, 4]), 2), Shifted([1.0, 1, 1, 1], miss=0.1, name="bad"), Linear([2.0, 2, 2, 2])]
    )
    found = block_errors(chain, x)
    assert [name[:2] for name in found] == ["00", "01", "02", "03"] and "02_bad" in found
    worst = {name: error.max() for name, error in found.items()}
    assert max(worst, key=worst.get) == "02_bad" and worst["02_bad"] > -2 > -5 > worst["03_" + chain[-1].name]
