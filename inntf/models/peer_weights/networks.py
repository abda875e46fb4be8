"""A peer's conditioner networks as Keras layers, and back."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from inntf.core.errors import explain
from inntf.models.peer_weights.state_dict import StateDict
from inntf.nets import MLP, ConvNet, ResidualNet

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Outputs:
    """How the outputs of a peer's network become ours: `ours[i] = factor[i] * theirs[order[i]] + shift[i]`.

    It is put into the last layer.  Empty arrays: as they are.
    """

    order: Any = ()
    factor: Any = 1.0
    shift: Any = 0.0

    def read(self, kernel: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The last layer's weights, outputs along the last axis."""
        order = self._order(bias)
        return kernel[..., order] * self.factor, bias[order] * self.factor + self.shift

    def write(self, kernel: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Undo `read`."""
        back = np.argsort(self._order(bias))
        return (kernel / self.factor)[..., back], ((bias - self.shift) / self.factor)[back]

    def _order(self, bias: np.ndarray) -> np.ndarray:
        return np.asarray(self.order, int) if len(self.order) else np.arange(len(bias))


Reorder = Callable[[int], Outputs]  # for a number of outputs


def as_they_are(n: int) -> Outputs:
    """Outputs in our order already."""
    return Outputs()


def halves_swapped(n: int) -> Outputs:
    """`[scale, shift]` to `[shift, scale]`."""
    return Outputs([*range(n // 2, n), *range(n // 2)])


def network_sizes(weights: StateDict) -> tuple[int, int, bool]:
    """`(inputs, outputs, of images)` of a network, from its first and last layer."""
    stems = _stems(weights)
    first, last = (weights.take(f"{stems[i]}.weight") for i in (0, -1))
    return first.shape[1], last.shape[0], first.ndim == 4


def read_network(weights: StateDict, activation: Any, dtype: str, outputs: Reorder = as_they_are) -> keras.layers.Layer:
    """A built `MLP`, `ConvNet` or `ResidualNet` with the weights below the prefix.

    Raises:
        ValueError: for layers that are neither linear nor convolutions, or do not fit one another.
    """
    stems = _stems(weights)
    residual = _is_residual(stems)
    pairs = [_layer(weights, stem) for stem in stems]
    kernels = [kernel for kernel, _ in pairs]
    images = kernels[0].ndim == 4
    if any((kernel.ndim == 4) != images for kernel in kernels):
        raise weights.refuse(f"linear layers and convolutions in one network below {weights.prefix!r}", "Build it by hand.")
    widths = [len(bias) for _, bias in pairs]
    inputs = (None, *((None, None) if images else ()), kernels[0].shape[-2])
    common = {"out_channels": widths[-1], "activation": activation, "dtype": dtype}
    if residual:
        gates = [k.shape[-2] for k, stem in zip(kernels, stems, strict=True) if "context" in stem]
        depth = sum("_layers.0" in stem for stem in stems)
        net = ResidualNet(widths[0], depth, gate_channels=gates[0] if gates else 0, **common)
    else:
        for stem, kernel, width in zip(stems[1:], kernels[1:], widths, strict=False):
            if kernel.shape[-2] != width:
                received = f"{weights.prefix + stem}.weight for {kernel.shape[-2]} inputs after a layer of {width}"
                expected = "layers in the order of application, each for what the one before it returns"
                raise ValueError(explain(weights.owner, received=received, expected=expected))
        if images:
            net = ConvNet(widths[:-1], kernel_sizes=[k.shape[0] for k in kernels], **common)
        else:
            net = MLP(widths[:-1], **common)
    net.build(inputs)
    for stem, layer, (kernel, bias), last in zip(stems, layers_of(net), pairs, _is_last(stems), strict=True):
        kernel, bias = outputs(len(bias)).read(kernel, bias) if last else (kernel, bias)
        if kernel.shape != tuple(layer.kernel.shape):
            received = f"{weights.prefix + stem}.weight with a kernel of shape {kernel.shape} here"
            raise ValueError(explain(weights.owner, received=received, expected=f"shape {tuple(layer.kernel.shape)}"))
        layer.set_weights([kernel, bias])
    return net


def write_network(owner: str, net: Any, prefix: str, like: StateDict | None, outputs: Reorder = as_they_are) -> Arrays:
    """The network's weights by the peer's names: those of `like`, or of a `torch.nn.Sequential` with activations between.

    Raises:
        TypeError: for another network; ValueError: if `like` has other layers or shapes.
    """
    if not isinstance(net, MLP | ConvNet | ResidualNet):
        received, expected = f"a conditioner of type {type(net).__name__}", "an MLP, a ConvNet or a ResidualNet"
        raise TypeError(explain(owner, received=received, expected=expected))
    layers = layers_of(net)
    if not all(type(layer) in (keras.layers.Dense, keras.layers.Conv2D) for layer in layers) or getattr(net, "norms", None):
        expected = "plain dense layers and convolutions"
        raise TypeError(explain(owner, received=f"a conditioner {net.name} with other layers", expected=expected))
    if like is not None:
        stems = _stems(like.below(prefix))
    elif isinstance(net, ResidualNet):
        stems = _residual_stems(net)
    else:
        stems = [str(2 * i) for i in range(len(layers))]
    if len(stems) != len(layers):
        raise ValueError(explain(owner, received=f"a network of {len(layers)} layers", expected=f"{len(stems)}, as in like"))
    found: Arrays = {}
    for stem, layer, last in zip(stems, layers, _is_last(stems), strict=True):
        kernel, bias = (np.asarray(w, np.float64) for w in (layer.kernel, layer.bias))
        kernel, bias = outputs(len(bias)).write(kernel, bias) if last else (kernel, bias)
        found[f"{prefix}{stem}.weight"] = kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T
        found[f"{prefix}{stem}.bias"] = bias
    return found


def layers_of(net: Any) -> list[keras.layers.Layer]:
    """The dense layers or convolutions of one of our networks, in the order of the peers' names."""
    return list(net.convolutions if isinstance(net, ConvNet) else net.layers)


def _is_last(stems: list[str]) -> list[bool]:
    return [i == len(stems) - 1 for i in range(len(stems))]


def _relative(stems: list[str]) -> list[str]:
    """Without the module that holds them all, such as `net.` of a wrapper."""
    levels = zip(*(stem.split(".")[:-1] for stem in stems), strict=False)
    common = sum(1 for _ in itertools.takewhile(lambda parts: len(set(parts)) == 1, levels))
    return [".".join(stem.split(".")[common:]) for stem in stems]


def _is_residual(stems: list[str]) -> bool:
    return "initial_layer" in _relative(stems)


def _residual_stems(net: ResidualNet) -> list[str]:
    inner = "conv_layers" if net.layers[0].kernel.ndim == 4 else "linear_layers"
    gate = ["context_layer"] if net.gate_channels else []
    steps = [f"blocks.{i}.{part}" for i in range(net.depth) for part in (f"{inner}.0", f"{inner}.1", *gate)]
    return ["initial_layer", *steps, "final_layer"]


def _stems(weights: StateDict) -> list[str]:
    """Names of the layers in the order of application."""
    stems = list(dict.fromkeys(name.rpartition(".")[0] for name in weights.names()))
    other = [name for name in weights.names() if name.rpartition(".")[2] not in ("weight", "bias")]
    if other or any("norm" in stem.lower() for stem in stems):
        found = (other or [stem for stem in stems if "norm" in stem.lower()])[0]
        raise weights.refuse(
            f"{weights.prefix + found!r}, which no linear layer has",
            "Networks of linear layers or of convolutions can be imported, without normalization; build others by hand.",
        )
    if not stems:
        weights.take("0.weight")  # which says what is missing
    places = [_place(stem) for stem in _relative(stems)]
    if None in places:
        raise weights.refuse(
            f"{weights.prefix + stems[places.index(None)]!r}, from which the network cannot be told",
            "A torch.nn.Sequential, and MLP, ResidualNet and ConvResidualNet of nflows.nn.nets can be imported.",
        )
    return [stem for _, stem in sorted(zip(places, stems, strict=True))]


def _place(stem: str) -> tuple | None:
    """Where a layer comes in its network; a block's gate is registered before its layers and applied after them."""
    parts = stem.split(".")
    if stem.isdecimal():
        return (1, int(stem))
    if stem in ("initial_layer", "_input_layer"):
        return (0,)
    if stem in ("final_layer", "_output_layer"):
        return (2,)
    if len(parts) == 2 and parts[0] == "_hidden_layers":
        return (1, int(parts[1]))
    if parts[0] == "blocks" and parts[2:] == ["context_layer"]:
        return (1, int(parts[1]), 1, 0)
    if parts[0] == "blocks" and len(parts) == 4 and parts[2] in ("linear_layers", "conv_layers"):
        return (1, int(parts[1]), 0, int(parts[3]))
    return None


def _layer(weights: StateDict, stem: str) -> tuple[np.ndarray, np.ndarray]:
    kernel = weights.take(f"{stem}.weight")
    if kernel.ndim not in (2, 4):
        remedy = "Networks of linear layers or of two-dimensional convolutions can be imported."
        raise weights.refuse(f"{weights.prefix + stem}.weight of shape {kernel.shape}", remedy)
    if f"{stem}.bias" not in weights:
        raise weights.refuse(f"a layer {weights.prefix + stem!r} without bias", "Add a bias of zeros to the state dict.")
    if kernel.ndim == 4 and (kernel.shape[2] != kernel.shape[3] or kernel.shape[2] % 2 == 0):
        remedy = "Square ones of odd size can be imported."
        raise weights.refuse(f"a convolution {weights.prefix + stem!r} of size {kernel.shape[2:]}", remedy)
    bias = weights.take(f"{stem}.bias", (kernel.shape[0],))
    return (kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel.T), bias
