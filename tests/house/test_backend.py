"""Another Keras backend is refused at import, with what to do."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("backend", ["numpy", "no_such_backend"])
def test_other_backend_is_refused(backend):
    done = subprocess.run(
        [sys.executable, "-c", "import inntf"],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: inntf:"), done.stderr[-2000:]
    assert "KERAS_BACKEND=tensorflow" in last
