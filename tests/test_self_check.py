"""`python -m inntf`: it says what is installed, and what fails."""

import pathlib
import re
import subprocess
import sys

import pytest

import inntf
from inntf import __main__ as self_check


def test_what_fails_is_said_with_its_traceback_and_the_rest_is_run(monkeypatch, capsys):
    def broken():
        raise RuntimeError("no good")

    monkeypatch.setattr(self_check, "CHECKS", {"one": broken, "two": lambda: "fine"})
    assert self_check.main() == 1
    out, err = capsys.readouterr()
    assert f"inntf {inntf.__version__}, TensorFlow 2." in out and "CPU 0" in out and "ok      two: fine" in out
    assert "FAILED  one" in err and "RuntimeError: no good" in err and "1 of 2 checks failed" in err


def test_a_number_out_of_its_bound_fails():
    with pytest.raises(AssertionError, match="received error 2"):
        self_check._true(False, "error 2")


@pytest.mark.parametrize("name", ["used as a bijector of TFP", "round trip"])
def test_checks_show_their_numbers(name):
    assert re.search(r"\d", self_check.CHECKS[name]())


@pytest.mark.slow
def test_the_command(tmp_path):
    root = pathlib.Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-m", "inntf"], cwd=root, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("ok      ") == len(self_check.CHECKS)
