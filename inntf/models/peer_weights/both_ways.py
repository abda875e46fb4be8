"""`from_freia`, `to_freia`, `from_nflows`, `to_nflows`: a state dict to a block with the same weights, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from inntf.core import Block
from inntf.models.peer_weights import freia, nflows
from inntf.models.peer_weights.all_in_one import read_all_in_one, write_all_in_one
from inntf.models.peer_weights.layout import Kind, Layout, Library
from inntf.models.peer_weights.nflows_autoregressive import read_masked_affine, write_masked_affine

_FREIA = Library("freia", freia.LAYOUTS | {"AllInOneBlock": Layout(read_all_in_one, write_all_in_one)}, "module_list")
_NFLOWS = Library(
    "nflows",
    {
        "ActNorm": Layout(nflows.read_actnorm, nflows.write_actnorm),
        "AdditiveCouplingTransform": Layout(nflows.read_additive, nflows.write_additive),
        "AffineCouplingTransform": Layout(nflows.read_affine, nflows.write_affine),
        "LULinear": Layout(nflows.read_lu, nflows.write_lu),
        "MaskedAffineAutoregressiveTransform": Layout(read_masked_affine, write_masked_affine),
        "NaiveLinear": Layout(nflows.read_naive, nflows.write_naive),
        "OneByOneConvolution": Layout(nflows.read_conv1x1, nflows.write_conv1x1),
        **dict.fromkeys(
            ("Permutation", "RandomPermutation", "ReversePermutation"),
            Layout(nflows.read_permutation, nflows.write_permutation),
        ),
        "PiecewiseRationalQuadraticCouplingTransform": Layout(nflows.read_spline, nflows.write_spline),
    },
    "_transforms",
    constants=("_distribution._log_z",),
)


def from_freia(
    state_dict: Mapping[str, Any],
    kind: Kind | Sequence[Kind],
    *,
    activation: Any = "relu",
    dtype: str | None = None,
    **options: Any,
) -> Block:
    """A FrEIA module's state dict as a block that computes the same: `block.forward(x) = module([x])[0]`.

    Values, log-determinants and inverses agree to rounding; images change from NCHW to NHWC.  `kind` is the class: `ActNorm`,
    `AffineCouplingOneSided`, `AllInOneBlock`, `Fixed1x1Conv`, `GLOWCouplingBlock`, `NICECouplingBlock`, `PermuteRandom` or
    `RNVPCouplingBlock`; a list of them for a `SequenceINN`, which becomes a `Chain`.

    Args:
        state_dict: `module.state_dict()`: arrays, or tensors on the CPU, by name.
        kind: name of the class, a pair of it and its own options, or a list of such.
        activation: of the subnetworks, which must be `torch.nn.Sequential` of linear layers or of convolutions (stride 1,
            output of the input's size) with this between them.  A Keras name or function; of PyTorch's `LeakyReLU` the slope
            differs from that of Keras, so pass a function with `keras.ops.leaky_relu(x, 0.01)`.
        dtype: of the block; by default that of the arrays.
        options: what the module was made with, where its default was not taken: `clamp` and `clamp_activation` of couplings (or
            `scale`, a `Scale`, for one of your own), `affine_clamping`, `global_affine_type` and `reverse_permutation` of
            `AllInOneBlock`, `kept` (its `split_len1`) of a conditional `AffineCouplingOneSided`.

    Returns:
        A built block, its height and width open for images.  Fixed matrices are not trainable, as in FrEIA.

    Raises:
        ValueError: for weights that are missing, left over or misshapen, and what has no equivalent (GIN, Householder
            reflections, normalization or layers without bias in subnetworks); TypeError: for unknown options.

    Source: FrEIA 0.2, Ardizzone et al.; the blocks are those of Dinh et al., "Real NVP" (2017), Ardizzone et al., "Guided Image
        Generation with Conditional Invertible Neural Networks" (2019).

    Example:
        >>> weights = {"perm": np.array([2, 0, 1]), "perm_inv": np.array([1, 2, 0])}
        >>> from_freia(weights, "PermuteRandom").forward(np.array([[1.0, 2.0, 3.0]])).numpy().tolist()
        [[3.0, 1.0, 2.0]]
    """
    return _FREIA.read(state_dict, kind, activation, dtype, options)


def to_freia(
    block: Block, kind: Kind | Sequence[Kind], *, like: Mapping[str, Any] | None = None, **options: Any
) -> dict[str, np.ndarray]:
    """The state dict for a FrEIA module that computes what the block does: `module([x])[0] = block.forward(x)`.

    In PyTorch: `module.load_state_dict({k: torch.as_tensor(v) for k, v in arrays.items()})`.  The module must have been made
    with the block's clamp, which is no weight.

    Args:
        block: of a composition that `from_freia` makes for the kind, whatever its weights are now.
        kind: as in `from_freia`.
        like: the receiving module's state dict: names are taken from it, shapes compared with it.  By default subnetworks are
            named as a `torch.nn.Sequential` with activations between the layers.
        options: as in `from_freia`; only `global_affine_type` says something of the weights.

    Returns:
        Arrays by name, in the dtype of the block's variables.

    Raises:
        TypeError: for another composition; ValueError: for other shapes than those of `like`, or weights the class cannot hold.

    Source: FrEIA 0.2, Ardizzone et al.

    Example:
        >>> from inntf.blocks import Permutation
        >>> to_freia(Permutation([2, 0, 1]), "PermuteRandom")["perm_inv"].tolist()
        [1, 2, 0]
    """
    return _FREIA.write(block, kind, like, options)


def from_nflows(
    state_dict: Mapping[str, Any],
    kind: Kind | Sequence[Kind],
    *,
    activation: Any = "relu",
    dtype: str | None = None,
    **options: Any,
) -> Block:
    """An nflows transform's state dict as a block that computes the same: `block.forward(x) = transform(x)[0]`.

    Values, log-determinants and inverses agree to rounding; images change from NCHW to NHWC.  `kind` is the class: `ActNorm`,
    `AdditiveCouplingTransform`, `AffineCouplingTransform`, `LULinear`, `MaskedAffineAutoregressiveTransform` (feed-forward,
    without context), `NaiveLinear`, `OneByOneConvolution`, `Permutation`, `RandomPermutation`, `ReversePermutation` or
    `PiecewiseRationalQuadraticCouplingTransform` (linear tails); a list of them for a `CompositeTransform` or the `Flow` around
    one, which becomes a `Chain`.

    Args:
        state_dict: `transform.state_dict()`: arrays, or tensors on the CPU, by name.
        kind: name of the class, a pair of it and its own options, or a list of such.
        activation: as in `from_freia`.  Networks: a `torch.nn.Sequential`, `MLP`, `ResidualNet` and `ConvResidualNet` of
            `nflows.nn.nets` (which become `inntf.nets.ResidualNet`, context included).
        dtype: of the block; by default that of the arrays.
        options: `tail_bound` of splines (1.0 by default, as there), `scale` (a `Scale`) of affine couplings with another
            `scale_activation`, `event_ndims=3` of an `ActNorm` of images.

    Returns:
        A built block, its height and width open for images.

    Raises:
        ValueError: for weights that are missing, left over or misshapen, and what has no equivalent (splines without tails,
            unconditional transforms, batch normalization); TypeError: for unknown options.

    Source: nflows 0.14, Durkan et al. (2020); the blocks are those of Durkan et al., "Neural Spline Flows" (2019).

    Example:
        >>> block = from_nflows({"log_scale": np.zeros(2), "shift": np.ones(2), "initialized": np.array(True)}, "ActNorm")
        >>> block.forward(np.array([[1.0, 2.0]])).numpy().tolist()
        [[2.0, 3.0]]
    """
    return _NFLOWS.read(state_dict, kind, activation, dtype, options)


def to_nflows(
    block: Block, kind: Kind | Sequence[Kind], *, like: Mapping[str, Any] | None = None, **options: Any
) -> dict[str, np.ndarray]:
    """The state dict for an nflows transform that computes what the block does: `transform(x)[0] = block.forward(x)`.

    The transform must have been made with what is no weight: the spline's `tail_bound`, the `scale_activation` of an affine
    coupling.

    Args:
        block: of a composition that `from_nflows` makes for the kind, whatever its weights are now.
        kind: as in `from_nflows`.
        like: the receiving transform's state dict, as in `to_freia`.
        options: as in `from_nflows`; they say nothing of the weights.

    Returns:
        Arrays by name, in the dtype of the block's variables.

    Raises:
        TypeError: for another composition; ValueError: for other shapes than those of `like`, or weights the class cannot hold.

    Source: nflows 0.14, Durkan et al. (2020).

    Example:
        >>> from inntf.blocks import Permutation
        >>> to_nflows(Permutation([2, 0, 1]), "Permutation")["_permutation"].tolist()
        [2, 0, 1]
    """
    return _NFLOWS.write(block, kind, like, options)
