"""The peers' environments of `benchmarks.peers`: made by venv and pip, one for PyTorch's libraries and one for JAX'."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PACKAGES = {
    "torch": ("FrEIA", "normflows", "nflows", "zuko", "memcnn"),
    "jax": ("jax[cpu]", "flowjax", "diffrax", "optax"),
}
TORCH_FOR_CPU = "https://download.pytorch.org/whl/cpu"


def python_of(environments: Path, name: str) -> str:
    """The interpreter of `"inntf"` (this one), `"torch"` or `"jax"`."""
    return sys.executable if name == "inntf" else str(Path(environments).absolute() / name / "bin" / "python")


def missing(environments: Path) -> list[str]:
    """Which of them are not there."""
    return [name for name in PACKAGES if not Path(python_of(environments, name)).exists()]


def set_up(environments: Path) -> None:
    """Make those that are not there, and install what they lack.

    Raises:
        subprocess.CalledProcessError: where pip fails.
    """
    for name in PACKAGES:
        python = python_of(environments, name)
        if not Path(python).exists():
            subprocess.run([sys.executable, "-m", "venv", str(Path(environments) / name)], check=True)
        pip = [python, "-m", "pip", "install", "--quiet"]
        if name == "torch" and subprocess.run([python, "-c", "import torch"], capture_output=True).returncode:
            small = [*pip, "--retries", "0", "--timeout", "20", "--index-url", TORCH_FOR_CPU, "torch"]
            if subprocess.run(small, capture_output=True).returncode:
                print("PyTorch's index of CPU wheels is out of reach: torch as the default index has it", flush=True)
                subprocess.run([*pip, "torch"], check=True)
        subprocess.run([*pip, *PACKAGES[name]], check=True)


def variables(name: str, threads: int, onednn: bool = True) -> dict[str, str]:
    """Environment variables of a worker: the number of threads, and which kernels TensorFlow uses."""
    number = str(threads)
    pools = ("OMP", "MKL", "OPENBLAS")
    found = {f"{pool}_NUM_THREADS": number for pool in pools}
    found |= {"NPROC": number, "CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": _path_of_ours()}
    if name == "jax":
        eigen = "true" if threads > 1 else "false"
        flags = f"--xla_cpu_multi_thread_eigen={eigen} intra_op_parallelism_threads={number}"
        found |= {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    if name == "inntf":
        found |= {"TF_NUM_INTRAOP_THREADS": number, "TF_NUM_INTEROP_THREADS": number}
        found |= {"TF_ENABLE_ONEDNN_OPTS": str(int(onednn)), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return found


def _path_of_ours() -> str:
    return os.pathsep.join(p for p in (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")) if p)
