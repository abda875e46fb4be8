"""The package: what it is called and needs, what is in its wheel, and that the wheel works without the repository."""

from __future__ import annotations

import ast
import configparser
import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

from tests.house.source import ROOT, files, module_name, tree

SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")
# What comes along with a requirement: numbers and files of TensorFlow and Keras.
WITH_THEM = {"ml_dtypes": "tensorflow", "google": "tensorflow", "h5py": "keras"}


def version():
    scope = {}
    exec((ROOT / "inntf/_version.py").read_text(), scope)
    return scope["__version__"]


def requirements(text):
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    return {re.split(r"[\[<>=!~; ]", line)[0].lower().replace("-", "_") for line in lines if line}


def imported(path):
    """Third-party packages that a file imports as it is imported: not in functions, a `try`, or for type checkers."""
    for node in tree(path).body:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        else:
            continue
        yield from {name.split(".")[0] for name in names} - {"inntf"} - set(sys.stdlib_module_names)


def test_the_version_is_one():
    assert SETUP["metadata"]["version"] == "attr: inntf._version.__version__"
    cited = dict(re.findall(r"(?m)^([\w-]+): (.+)$", (ROOT / "CITATION.cff").read_text()))
    assert cited["version"] == version() and cited["license"] == SETUP["metadata"]["license"] and cited["cff-version"]
    assert re.search(rf"(?m)^## .*\b{re.escape(version())}\b", (ROOT / "CHANGELOG.md").read_text()), "a heading of this version"


def test_files_that_are_named_are_there():
    metadata = SETUP["metadata"]
    manifest = [
        name
        for line in (ROOT / "MANIFEST.in").read_text().splitlines()
        if line.startswith("include")
        for name in line.split()[1:]
    ]
    for name in (metadata["long_description"].removeprefix("file: "), metadata["license_files"], "inntf/py.typed", *manifest):
        assert (ROOT / name).is_file(), name
    assert SETUP["options.package_data"]["inntf"] == "py.typed"


def test_pythons_are_those_of_the_classifiers():
    named = [int(minor) for minor in re.findall(r"Python :: 3\.(\d+)", SETUP["metadata"]["classifiers"])]
    assert SETUP["options"]["python_requires"] == f">=3.{min(named)},<3.{max(named) + 1}"
    assert named == list(range(min(named), max(named) + 1))


def test_what_is_imported_is_required():
    required = requirements(SETUP["options"]["install_requires"])
    missing = {
        (module_name(path), name)
        for path in files("inntf")
        for name in imported(path)
        if WITH_THEM.get(name, name) not in required
    }
    assert not missing, f"{missing}: no requirements; import them where they are used, and say what is missing"


def test_packages_are_the_library_alone():
    find = pytest.importorskip("setuptools").find_packages
    include = SETUP["options.packages.find"]["include"].split()
    found = set(find(str(ROOT), include=include))
    assert found == {module_name(path) for path in files("inntf") if path.name == "__init__.py"}


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The unpacked wheel, built offline from a copy, so that nothing of an earlier build gets in."""
    if importlib.util.find_spec("setuptools") is None or importlib.util.find_spec("pip") is None:
        pytest.skip("pip and setuptools are not installed")
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT / "inntf", source / "inntf", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in", "CHANGELOG.md", "CITATION.cff"):
        shutil.copy(ROOT / name, source)
    for name in ("recipes", "benchmarks", "tests"):  # as in a clone
        (source / name).mkdir()
        (source / name / "__init__.py").touch()
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*command, "--wheel-dir", str(folder), str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    assert wheel.name == f"inntf-{version()}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


@pytest.mark.slow
def test_the_wheel_holds_the_library_alone(unpacked):
    assert {path.name for path in unpacked.iterdir()} == {"inntf", f"inntf-{version()}.dist-info"}
    there = {path.relative_to(unpacked).as_posix() for path in (unpacked / "inntf").rglob("*") if path.is_file()}
    assert there == {"inntf/py.typed", *(path.relative_to(ROOT).as_posix() for path in files("inntf"))}


@pytest.mark.slow
def test_the_wheel_works_without_the_repository(unpacked, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(unpacked), "TF_CPP_MIN_LOG_LEVEL": "3"}
    where = [sys.executable, "-c", "import inntf; print(inntf.__file__)"]
    found = subprocess.run(where, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    assert pathlib.Path(found.strip()).is_relative_to(unpacked)
    done = subprocess.run([sys.executable, "-m", "inntf"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert f"inntf {version()}" in done.stdout and "FAILED" not in done.stdout + done.stderr


def python_of(page):
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


CALLED_WITHOUT_INNTF = """
import sys
import tensorflow as tf

answer = tf.saved_model.load("served/mine/1").signatures["log_prob"](x=tf.zeros([2, 3]))
assert answer["log_prob"].shape == (2,) and "inntf" not in sys.modules
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "words", "afterwards"),
    [
        ("README.md", ["DensityModel(", "condition_shape=", "stability_report("], ""),
        (
            "docs/guides/extending.md",
            ["(Block):", "(Transformer):", "serving.export(", "served.log_prob("],
            CALLED_WITHOUT_INNTF,
        ),
    ],
)
def test_a_newcomer_needs_the_pages_and_the_wheel_alone(page, words, afterwards, unpacked, tmp_path):
    """What a page shows runs in an empty folder, in a process that knows nothing of the repository."""
    assert page == "README.md" or f"]({page})" in (ROOT / "README.md").read_text(), "nobody finds it"
    shown = "\n".join(python_of(page))
    assert all(word in shown for word in words)
    here = f"import inntf\nassert inntf.__file__.startswith({str(unpacked)!r})\n"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    for code, path in ((here + shown, {"PYTHONPATH": str(unpacked)}), (afterwards, {})):
        (tmp_path / "mine.py").write_text(code)
        done = subprocess.run(
            [sys.executable, "mine.py"], cwd=tmp_path, env=environment | path, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
