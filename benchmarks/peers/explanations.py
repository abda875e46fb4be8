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


# What is not established says so. Times that come without a measurement here are those of benchmarks/README.md.
_GRAPH = (
    "PyTorch dispatches every operation of the forward and the backward pass from Python, where inntf's step is one graph; by "
    "`torch.compile` FrEIA's step took 0.6 to 0.85 of its own time in an earlier measurement."
)
_NO_COMPILER = (
    "PyTorch traces and compiles nothing, so that its first step is like any other; a `tf.function` is traced once. "
    "By `Repeat` that does not grow with depth."
)
_FUSED = (
    "XLA fuses the operations between two matrix products into one pass, which TensorFlow runs one by one. "
    "With `jit_compile=True` inntf is compiled in the same way, for a longer first step: the row 'inntf, XLA'."
)
_CONVOLUTIONS = "oneDNN's convolutions, forward and backward, are faster than those that XLA writes for a CPU."

EXPLANATIONS: dict[Key, str] = {
    # ---- every table ------------------------------------------------------------------------------------------------
    (_ANY, "PyTorch", "step", "won"): _GRAPH,
    (_ANY, "PyTorch", "log_prob", "won"): "One graph in place of operations that are dispatched from Python one by one.",
    (_ANY, "PyTorch", "first_step", "lost"): _NO_COMPILER,
    (_ANY, "JAX", "first_step", "won"): "Both trace and compile before the first step; XLA's compiler takes the longer.",
    (_ANY, "JAX", "step", "lost"): _FUSED,
    (_ANY, "JAX", "log_prob", "lost"): _FUSED,
    (_ANY, "JAX", "step", "even"): "Matrix products take most of the step, and both hand them to kernels of the same speed.",
    (_ANY, "PyTorch", "mib", "won"): (
        "TensorFlow's executor frees a tensor after its last use; PyTorch's eager pass keeps what autograd may need, and loads "
        "more of its libraries at the first step. Which of the two weighs more was not separated."
    ),
    (_ANY, "JAX", "mib", "won"): "The working memory of XLA's compiler counts: it is the larger part of a small model.",
    (_ANY, _ANY, "inverse_error", "even"): "Both are at the rounding of float32.",
    # ---- vectors ----------------------------------------------------------------------------------------------------
    ("couplings", "PyTorch", "sample", "won"): (
        "100,000 rows at once are 100 MB an activation: eager PyTorch asks the system for each and gives it back, and half of "
        "its time goes into page faults; in chunks of 1,000 its time halves."
    ),
    ("maf", _ANY, "sample", "won"): (
        "inntf computes every unit of a masked network once, as its entries become known; the peer evaluates the whole network "
        "once an entry, 20 times."
    ),
}
