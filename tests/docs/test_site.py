"""The documentation is built strictly: every link and anchor leads somewhere, every public name has its entry."""

from __future__ import annotations

import importlib
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from docs_tools.link_check import broken_links, foreign_loads
from docs_tools.navigation import sections

ROOT = pathlib.Path(__file__).parents[2]
ROOMS = ("blocks", "calibration", "compose", "models", "nets", "numerics", "serving", "stability", "training")
SOURCES = ("inntf", "docs_tools", "recipes", "benchmarks", "CONTRIBUTING.md", "CHANGELOG.md")


def zensical(project):
    """A strict build of the project in a folder, and all that it says."""
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    environment = os.environ | {"PYTHONPATH": str(project), "NO_COLOR": "1"}
    return subprocess.run(command, cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    project = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs", project / "docs")
    shutil.copy(ROOT / "zensical.toml", project)
    for name in SOURCES:
        (project / name).symlink_to(ROOT / name)
    done = zensical(project)
    said = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    assert done.returncode == 0, said[-6000:]
    assert not re.search(r"griffe:|warning", said, re.IGNORECASE), said[-6000:]
    return project / "site"


@pytest.mark.parametrize("link", ["[a](missing.md)", "[a](#missing)", "![a](missing.png)"])
def test_a_broken_link_fails(link, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f"# Title\n\n{link}\n")
    (tmp_path / "zensical.toml").write_text('[project]\nsite_name = "t"\n')
    done = zensical(tmp_path)
    assert done.returncode != 0 or broken_links(tmp_path / "site"), done.stdout


def test_links_and_anchors_of_the_built_pages(site):
    assert broken_links(site) == []


def test_the_reader_of_links_sees_what_is_broken(tmp_path):
    (tmp_path / "a.html").write_text(
        '<p id="here"><a href="b.html#there">x</a><a href="#here">x</a><a href="#gone">x</a><img src="no.png">'
    )
    (tmp_path / "b.html").write_text('<a href="a.html#here"></a><script src="https://example.com/x.js"></script>')
    assert sorted(broken_links(tmp_path)) == ["a.html: #gone", "a.html: b.html#there", "a.html: no.png"]
    assert foreign_loads(tmp_path) == {"https://example.com/x.js"}


def test_nothing_is_loaded_from_another_host(site):
    assert foreign_loads(site) == set()


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_of_a_room_has_its_entry(room, site):
    page = (site / "api" / f"{room}.html").read_text()
    names = importlib.import_module(f"inntf.{room}").__all__
    missing = [name for name in names if f'id="inntf.{room}.{name}"' not in page]
    assert not missing


def test_the_names_of_inntf_have_theirs(site):
    page = (site / "api" / "inntf.html").read_text()
    assert 'id="inntf.Block"' in page and 'id="inntf.LipschitzBounds"' in page


def test_formulas_are_set(site):
    """What stays between dollars was no formula, or was not read as one."""
    for path in site.rglob("*.html"):
        text = re.sub(r"<(pre|code|script|style)\b.*?</\1>|<annotation.*?</annotation>", "", path.read_text(), flags=re.DOTALL)
        assert not re.findall(r"\\(?:mathrm|frac|le|sigma|lambda|log|partial)\b", text), path.name
    assert "<math" in (site / "api" / "nets.html").read_text()


def test_the_page_for_language_models_has_every_page():
    text = (ROOT / "docs" / "llms.txt").read_text()
    listed = re.findall(r"^- \[[^\]]+\]\(([^)]+)\): \S", text, re.MULTILINE)
    pages = [page.removesuffix(".md") + ".html" for _, pages in sections() for page in pages if page != "index.md"]
    assert listed == pages, "run `python -m docs_tools.navigation`"
    assert text.startswith("# inntf\n\n> ")


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "recipes/README.md", "benchmarks/README.md"])
def test_links_to_files_of_the_repository(page):
    text = re.sub(r"^```.*?^```$|`[^`\n]*`", "", (ROOT / page).read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\((?![a-z]+:|#)([^)#]+)", text):
        assert ((ROOT / page).parent / target).exists(), target
