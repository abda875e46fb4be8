"""What `benchmarks.peers` measures: workloads, and the rows of their tables."""

from __future__ import annotations

import dataclasses

OURS, VECTORS_OURS, ODE_OURS, RESIDUAL_OURS = (
    f"benchmarks.workers.{name}" for name in ("ours", "vectors_ours", "ode_ours", "residual_ours")
)


@dataclasses.dataclass(frozen=True)
class Row:
    """One process.

    Attributes:
        environment: whose Python: `"inntf"` (this one), `"torch"` or `"jax"`.
        module: the worker.
        arguments: of its command line, after the workload's name.
        against: the row of ours that it is compared with; `None` for rows of ours.
    """

    environment: str
    module: str
    arguments: tuple[str, ...]
    against: str | None = "inntf"


@dataclasses.dataclass(frozen=True)
class Workload:
    """One table.

    Attributes:
        title: its heading.
        setting: a sentence: sizes, and what a row does.
        rows: by name.
        plan: action: (how often a turn, turns).
    """

    title: str
    setting: str
    rows: dict[str, Row]
    plan: dict[str, tuple[int, int]]


def _torch(*arguments: str) -> Row:
    return Row("torch", "benchmarks.workers.vectors_torch", arguments)


def _vectors(case: str) -> dict[str, Row]:
    return {
        "inntf": Row("inntf", VECTORS_OURS, (case, "repeat"), None),
        "inntf, XLA": Row("inntf", VECTORS_OURS, (case, "xla"), None),
        "flowjax": Row("jax", "benchmarks.workers.vectors_flowjax", (case, "flowjax")),
    }


def _ode(variant: str, *more: str, against: str | None = "inntf") -> Row:
    environment, module = {
        "default": ("inntf", ODE_OURS),
        "xla": ("inntf", ODE_OURS),
        "zuko": ("torch", "benchmarks.workers.ode_zuko"),
    }.get(variant, ("jax", "benchmarks.workers.ode_diffrax"))
    return Row(environment, module, ("ode", variant, *more), against)


_MATCHED = ("--error", "3e-4")
WORKLOADS = {
    "couplings": Workload(
        "8 affine couplings",
        "4 dimensions, conditioners of two hidden layers of 256, batch 1000; 100,000 samples.",
        {
            **_vectors("couplings"),
            "FrEIA GLOWCouplingBlock": _torch("couplings", "freia-glow"),
            "FrEIA AllInOneBlock": _torch("couplings", "freia-all-in-one"),
            "nflows": _torch("couplings", "nflows"),
        },
        {"log_prob": (5, 6), "step": (3, 8), "sample": (1, 2)},
    ),
    "splines": Workload(
        "8 rational-quadratic spline couplings",
        "6 dimensions, 8 bins, conditioners of two hidden layers of 128, batch 1000; 10,000 samples. zuko's networks see all "
        "entries, masked, where a coupling's see half.",
        {**_vectors("splines"), "nflows": _torch("splines", "nflows"), "zuko": _torch("splines", "zuko")},
        {"log_prob": (10, 6), "step": (5, 8), "sample": (1, 6)},
    ),
    "maf": Workload(
        "Masked autoregressive flow",
        "5 layers, affine, 20 dimensions, networks of two hidden layers of 128, batch 1000; 1,000 samples.",
        {**_vectors("maf"), "nflows": _torch("maf", "nflows"), "zuko": _torch("maf", "zuko")},
        {"log_prob": (10, 6), "step": (10, 8), "sample": (2, 6)},
    ),
    "ode": Workload(
        "Continuous flow (FFJORD)",
        "2 dimensions, a network of two hidden layers of 64 with the same weights in every row, Dormand-Prince, one step size "
        "a batch, exact divergence, batch 500; 1,000 samples. Tolerances of 1e-5, but in rows of 'error 3e-4': the loosest "
        "of 1e-3, 3e-4, 1e-4, ... at which every log-density is within 3e-4 of one solved to 1e-12 in float64.",
        {
            "inntf": _ode("default", against=None),
            "inntf, error 3e-4": _ode("default", *_MATCHED, against=None),
            "inntf, XLA": _ode("xla", against=None),
            "inntf, XLA, error 3e-4": _ode("xla", *_MATCHED, against=None),
            "diffrax": _ode("autodiff"),
            "diffrax, adjoint equation": _ode("adjoint"),
            "diffrax, error 3e-4": _ode("autodiff", *_MATCHED, against="inntf, error 3e-4"),
            "zuko": _ode("zuko"),
            "zuko, error 3e-4": _ode("zuko", *_MATCHED, against="inntf, error 3e-4"),
        },
        {"log_prob": (5, 6), "sample": (5, 6), "step": (5, 8)},
    ),
    "glow": Workload(
        "Glow",
        "32x32x3 images, 3 levels of 8 steps, 64 hidden channels, batch 32.",
        {
            "inntf": Row("inntf", OURS, ("glow", "repeat"), None),
            "inntf, XLA": Row("inntf", OURS, ("glow", "xla"), None),
            "raw TensorFlow": Row("inntf", "benchmarks.workers.raw_tensorflow", ("glow", "keras-adam")),
            "hand-written JAX": Row("jax", "benchmarks.workers.glow_jax", ("glow", "unrolled")),
            "FrEIA AllInOneBlock": Row("torch", "benchmarks.workers.pytorch", ("glow", "freia")),
            "normflows": Row("torch", "benchmarks.workers.pytorch", ("glow", "normflows")),
        },
        {"step": (2, 6)},
    ),
    "residual": Workload(
        "Residual flow",
        "2 dimensions, 10 blocks of 4 x 128, LipSwish, batch 500, log-dets by Russian roulette with Neumann's gradient.",
        {
            "inntf": Row("inntf", RESIDUAL_OURS, ("roulette", "neumann", "auto", "repeat"), None),
            "inntf, checkpointed": Row("inntf", RESIDUAL_OURS, ("roulette", "neumann", "auto", "checkpointed"), None),
            "normflows": Row("torch", "benchmarks.workers.residual_pytorch", ("roulette", "neumann")),
        },
        {"step": (4, 8)},
    ),
}
# A depth's memory is measured in fresh processes: a first line at depth 0 is taken away from it.
DEPTH, QUICK_DEPTH = 32, 2
MEMORY = {
    "inntf, reversible": Row("inntf", "benchmarks.workers.memory", ("repeat-reversible",), None),
    "inntf, stored": Row("inntf", "benchmarks.workers.memory", ("repeat-stored",), None),
    "memcnn": Row("torch", "benchmarks.workers.torch_memory", ("memcnn",), "inntf, reversible"),
    "torch checkpoint": Row("torch", "benchmarks.workers.torch_memory", ("torch-checkpoint",), "inntf, reversible"),
    "torch, stored": Row("torch", "benchmarks.workers.torch_memory", ("torch-stored",), "inntf, stored"),
}
MEMORY_TITLE = "Memory of a deep chain"
MEMORY_SETTING = (
    "32 affine couplings on 16x16x12 images, 64 hidden channels, batch 64. MiB are those over the same library at depth 0."
)
