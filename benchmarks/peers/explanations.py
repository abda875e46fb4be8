"""Why each ratio of `benchmarks.peers` is what it is, by hand: by workload, peer, quantity, and the verdict it holds for."""

from __future__ import annotations

from benchmarks.peers.ratios import Ratio

Key = tuple[str, str, str, str]
_ANY = "*"
_FAMILIES = {"flowjax": "JAX", "diffrax": "JAX", "hand-written JAX": "JAX", "raw TensorFlow": "TensorFlow"}


def key_of(workload: str, ratio: Ratio) -> Key:
    """The most specific key that fits: by workload, then by peer, then by the peer's framework.

    Raises:
        LookupError: where none fits, because a row is new or a figure has turned.
    """
    peers = (ratio.peer, family(ratio.peer), _ANY)
    for where in (workload, _ANY):
        for peer in peers:
            for verdict in (ratio.verdict, _ANY):
                key = (where, peer, ratio.quantity, verdict)
                if key in EXPLANATIONS:
                    return key
    raise LookupError(
        f"no explanation of {workload}, {ratio.peer}, {ratio.quantity} where it is {ratio.verdict} ({ratio.value:.2f}): "
        "find out why, and write it into benchmarks/peers/explanations.py"
    )


def explanation(workload: str, ratio: Ratio) -> str:
    """A sentence."""
    return EXPLANATIONS[key_of(workload, ratio)]


def family(peer: str) -> str:
    """The framework of a row."""
    return _FAMILIES.get(peer.partition(",")[0], "PyTorch")


# What is not established says so.  Earlier measurements are those of benchmarks/README.md or were made once, on such a machine.
_GRAPH = (
    "PyTorch dispatches every operation of the forward and the backward pass from Python, where inntf's step is one graph; by "
    "`torch.compile` FrEIA's step took 0.6 to 0.85 of its own time in an earlier measurement."
)
_NO_COMPILER = (
    "PyTorch traces and compiles nothing, so that its first step is like any other; a `tf.function` is traced once. "
    "By `Repeat` that does not grow with depth."
)
_ROWS = (
    "What runs over a spline's bins runs over whole rows of samples, and the gradient of the look-up is written out; before "
    "that inntf took 1.15 of flowjax' time for a step, 1.31 for `log_prob` and 1.06 for samples."
)
_CONVOLUTIONS = (
    "Both call oneDNN for convolutions. In an earlier measurement a Glow by hand in PyTorch took 1.5 to 2 times raw "
    "TensorFlow's time, of which channels last took 5 to 20 % off; the rest was not separated."
)
_PAGE_FAULTS = (
    "An activation of 100,000 rows is 100 MB: eager PyTorch asks the system for each and gives it back, and half of its time "
    "goes into page faults; in chunks of 1,000 rows its time halves."
)
_SOFTER = (
    "At one tolerance diffrax asks for a mean over the batch, inntf for every number, and the errors of `log_prob` are far "
    "apart: the rows 'error 3e-4' compare at equal error. An evaluation of the velocity costs more where TensorFlow runs its "
    "operations one by one: 0.4 ms, in XLA 0.3 (500 samples, with the trace); the row 'inntf, XLA'."
)
_STEPS = (
    "For this error inntf takes a tolerance of 1e-4 for every number, and 4 steps; diffrax, whose tolerance is of a mean, "
    "needs 1e-6, and took 55 evaluations in an earlier measurement."
)
_BACK = (
    "inntf goes back over the steps that it took, each computed once more together with its gradient, and solves nothing anew."
)

EXPLANATIONS: dict[Key, str] = {
    # ---- every table ------------------------------------------------------------------------------------------------
    (_ANY, "PyTorch", "step", "won"): _GRAPH,
    (_ANY, "PyTorch", "log_prob", "won"): "One graph in place of operations that are dispatched from Python one by one.",
    (_ANY, "PyTorch", "sample", "won"): "One graph in place of operations that are dispatched from Python one by one.",
    (_ANY, "PyTorch", "first_step", "lost"): _NO_COMPILER,
    (_ANY, "JAX", "first_step", "won"): "Both trace and compile before the first step; XLA's compiler takes the longer.",
    (_ANY, "JAX", "mib", "won"): "The working memory of XLA's compiler counts: it is the larger part of a small model.",
    (_ANY, _ANY, "inverse_error", "even"): "Both are at the rounding of float32.",
    (_ANY, "PyTorch", "mib", "won"): (
        "Autograd holds what the backward pass may need until it has run, where a graph frees each tensor after its last use; "
        "not separated from what the allocators keep."
    ),
    (
        _ANY,
        "PyTorch",
        "mib",
        "lost",
    ): "TensorFlow's graph and executor stay in memory; an eager pass leaves nothing.",
    # ---- vectors ----------------------------------------------------------------------------------------------------
    ("couplings", "JAX", "step", "won"): (
        "Matrix products take most of the step, and both hand them to kernels of the same speed; runs differ by as much."
    ),
    ("couplings", "JAX", "log_prob", "lost"): (
        "The matrix products take 5.1 of some 6 ms by TensorFlow's profiler; the rest are some forty small operations a "
        "coupling, which XLA fuses. `jit_compile=True` closes about half of the gap (the row 'inntf, XLA'); the other half was "
        "not found out."
    ),
    ("couplings", "JAX", "sample", "won"): "Not looked into; with 100,000 rows both move more memory than they compute.",
    ("couplings", "PyTorch", "sample", "won"): _PAGE_FAULTS,
    ("splines", "JAX", "step", "won"): _ROWS,
    ("splines", "JAX", "log_prob", "won"): _ROWS,
    ("splines", "JAX", "sample", "won"): _ROWS,
    ("maf", "JAX", "step", "won"): (
        "Shift and scale come apart by the order of the last weights, not by slices of the output; before that the two were "
        "even."
    ),
    ("maf", "JAX", "log_prob", "lost"): (
        "Fifteen small matrix products, with bias and relu, take 1.5 of inntf's 1.75 ms by TensorFlow's profiler; why XLA's "
        "take less in JAX was not found out. `jit_compile=True` does not close the gap: the row 'inntf, XLA'."
    ),
    ("maf", "PyTorch", "mib", "even"): "Runs differ: the peer took 71 MiB in an earlier one, and ours 48 in both.",
    ("maf", _ANY, "sample", "won"): (
        "inntf computes every unit of a masked network once, as its entries become known; the peer evaluates the whole network "
        "once an entry, 20 times."
    ),
    # ---- Glow -------------------------------------------------------------------------------------------------------
    ("glow", "raw TensorFlow", "step", "even"): "The same kernels on the same graph: the library costs nothing that is seen.",
    ("glow", "raw TensorFlow", "first_step", "won"): "24 steps written out are traced one by one; `Repeat` traces one a level.",
    ("glow", "raw TensorFlow", "mib", "won"): "The graph of 24 steps that are written out takes memory of its own.",
    (
        "glow",
        "JAX",
        "step",
        "won",
    ): "oneDNN's convolutions and their gradients are faster than those that XLA writes for a CPU.",
    ("glow", "PyTorch", "step", "won"): _CONVOLUTIONS,
    # ---- continuous -------------------------------------------------------------------------------------------------
    ("ode", "JAX", "log_prob", "lost"): _SOFTER,
    ("ode", "JAX", "sample", "lost"): _SOFTER,
    ("ode", "JAX", "step", "even"): _SOFTER,
    ("ode", "JAX", "sample", "even"): _SOFTER,
    ("ode", "JAX", "step", "won"): _BACK,
    ("ode", "diffrax, error 3e-4", "step", "won"): f"{_BACK} {_STEPS}",
    ("ode", "diffrax, error 3e-4", "log_prob", _ANY): _STEPS,
    ("ode", "diffrax, error 3e-4", "sample", _ANY): _STEPS,
    ("ode", "diffrax, error 3e-4", "inverse_error", "won"): "Not looked into; both are below the error that was asked for.",
    ("ode", "JAX", "inverse_error", "won"): (
        "At one tolerance diffrax asks for a mean over the batch, inntf for every number: so is the error of `log_prob`."
    ),
    ("ode", "PyTorch", "inverse_error", "won"): (
        "Both ask it of every number. zuko's last step is what is left, inntf divides that evenly; not separated from the rest."
    ),
    (
        "ode",
        "PyTorch",
        "inverse_error",
        "lost",
    ): "For the same error of `log_prob` zuko takes a tolerance a hundred times as fine.",
    # ---- residual ---------------------------------------------------------------------------------------------------
    ("residual", "PyTorch", "step", "won"): (
        "inntf forms a block's 2x2 Jacobian from two products and takes all terms of the series from it; normflows takes a "
        "product a term."
    ),
    ("residual", "PyTorch", "inverse_error", "won"): (
        "normflows' iteration stops where the square of a step is small, inntf's where a bound on the remaining error is small."
    ),
    ("residual", "PyTorch", "mib", "lost"): (
        "TensorFlow's graph and executor alone take some 110 MiB here, whatever the batch; from about a thousand samples on "
        "'inntf, checkpointed' is the smaller (benchmarks/README.md)."
    ),
    # ---- deep chain -------------------------------------------------------------------------------------------------
    ("memory", "memcnn", "step", "won"): (
        "Backward, inntf evaluates a network once for the inverse and the gradient together, memcnn once for each; and memcnn "
        "frees and asks for the memory of its inputs, which the system pays in page faults."
    ),
    ("memory", "memcnn", "first_step", "won"): "Its first step is like any other, but three times as long as ours.",
    ("memory", "memcnn", "mib", "lost"): (
        "Most of ours is a workspace that does not grow: inntf takes 0.36 MiB a block, memcnn 0.74 (benchmarks/README.md), so "
        "that at 128 blocks it is 122 MiB against 148."
    ),
    ("memory", "torch checkpoint", "step", "won"): "Both evaluate every network once more; the rest is as where all is stored.",
    ("memory", "torch checkpoint", "mib", "won"): "It keeps the input of every block, a reversible chain none.",
    ("memory", "torch, stored", "step", "won"): _CONVOLUTIONS,
    ("memory", "torch, stored", "mib", "won"): "Both keep what the gradient needs; the difference was not looked into.",
}
