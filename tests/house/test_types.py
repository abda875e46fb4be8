"""mypy has nothing to say about `inntf`, and sees in it what users are to see."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys

import pytest

from tests.house.source import ROOT

USERS = """
from inntf import Block
from inntf.models import real_nvp
from inntf.stability import certify

flow = real_nvp(event_shape=2, depth=2)
reveal_type(flow)
reveal_type(flow.block)
reveal_type(Block.event_shape)
reveal_type(certify(flow))
reveal_type(certify(flow, at=[[0.0, 1.0]], radius=0.1))
certify(flow, at=[[0.0, 1.0]])
real_nvp(event_shape="2")
certify(flow).no_such_thing
"""
SEEN = [
    "inntf.models.flow.Flow",
    "inntf.core.block.Block",
    "def (self: inntf.core.block.Block) -> tuple[int | None, ...] | None",
    "inntf.stability.certificate.Certificate",
    "inntf.stability.ball_certificate.BallCertificate",
]


def test_mypy(tmp_path):
    """One run for both: the library is clean, and a user's mistakes are found, each by its name."""
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed; the extra 'test' has it")
    users = tmp_path / "users.py"
    users.write_text(USERS)
    command = [sys.executable, "-m", "mypy", "--cache-dir", os.devnull, "inntf", str(users)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert not [line for line in lines if "error:" in line and "users.py" not in line], done.stdout[-4000:]
    assert [re.search(r'Revealed type is "(.*)"', line)[1] for line in lines if "Revealed" in line] == SEEN, (
        done.stdout + done.stderr
    )
    assert re.findall(r"users\.py:\d+: error: .*\[([\w-]+)\]", done.stdout) == ["call-overload", "arg-type", "attr-defined"]
