"""Our blocks with the weights of FrEIA's, nflows' and normflows' (see `benchmarks/peer_numbers.py`)."""

from __future__ import annotations

import math

import keras
import numpy as np
import tensorflow as tf

from inntf import blocks
from inntf.compose import Chain
from inntf.nets import MLP, ConvNet
from inntf.numerics.transformers.scales import ExpScale, Scale, SigmoidScale


class InverseSigmoid(Scale):
    """normflows' default: `scale = 1 / sigmoid(raw + 2)`, which lets a sample's scale be at least one."""

    low, high, lipschitz = 1.0, math.inf, math.inf

    def log_scale(self, raw):
        return -tf.math.log_sigmoid(raw + 2.0)


class Beside(keras.layers.Layer):
    """Two networks whose outputs stand side by side, for peers that compute shift and scale apart."""

    def __init__(self, shift, scale, **kwargs):
        super().__init__(**kwargs)
        self.nets = [shift, scale]

    def call(self, x):
        return tf.concat([net(x) for net in self.nets], -1)


def array(values):
    return np.asarray(values, np.float64)


def channels_last(values):
    """`(batch, channels, height, width)` to ours; vectors stay."""
    values = array(values)
    return values.transpose(0, 2, 3, 1) if values.ndim == 4 else values


def network(layers, order=None, factor=1.0, shift=0.0, inputs=None, dtype=None):
    """A conditioner from a peer's layers; the last one's outputs reordered, times `factor`, plus `shift`."""
    kernels = [array(layer["kernel"]) for layer in layers]
    biases = [array(layer["bias"]) for layer in layers]
    kernels = [k.transpose(2, 3, 1, 0) if k.ndim == 4 else k.T for k in kernels]
    if inputs is not None:
        kernels[0] = kernels[0][inputs]
    order = np.arange(len(biases[-1])) if order is None else np.asarray(order)
    kernels[-1], biases[-1] = factor * kernels[-1][..., order], factor * biases[-1][order] + shift
    hidden, out = [len(b) for b in biases[:-1]], len(biases[-1])
    if kernels[0].ndim == 4:
        sizes = [k.shape[0] for k in kernels]
        net = ConvNet(hidden, out_channels=out, kernel_sizes=sizes, dtype=dtype)
        net.build((None, None, None, kernels[0].shape[2]))
    else:
        net = MLP(hidden, out_channels=out, dtype=dtype)
        net.build((None, kernels[0].shape[0]))
    net.set_weights([w for pair in zip(kernels, biases, strict=True) for w in pair])
    return net


def swapped(layers):
    """`[scale, shift]` to our `[shift, scale]`."""
    n = len(layers[-1]["bias"])
    return [*range(n // 2, n), *range(n // 2)]


def soft_clamp(settings):
    # FrEIA writes 0.636 for 2 / pi.
    if settings["activation"] == "TANH":
        return ExpScale(settings["clamp"], "tanh")
    return ExpScale(0.636 * settings["clamp"] * math.pi / 2)


def linear(block, matrix, dtype):
    block.ensure_built((2, 3, len(matrix)) if isinstance(block, blocks.InvertibleConv1x1) else (len(matrix),))
    block.matrix.assign(tf.cast(matrix, dtype))
    return block


def actnorm(shift, log_scale, image, dtype):
    block = blocks.ActNorm(event_ndims=3 if image else 1, dtype=dtype)
    block.ensure_built((2, 3, len(shift)) if image else (len(shift),))
    block.set_weights([shift, log_scale])
    return block


def build(case, dtype):
    """`(block, forward_is_inverse)`: our block for a case, and whether the peer's map is our inverse."""
    name, settings, nets = case["name"].split("."), case["settings"], case["nets"]
    image = array(case["x"]).ndim == 4
    return {"FrEIA": _freia, "nflows": _nflows, "normflows": _normflows}[name[0]](name[1], settings, nets, image, dtype)


def _freia(kind, settings, nets, image, dtype):
    at, common = settings["split"], {"dtype": dtype}
    if kind == "GLOWCouplingBlock":
        sides = [network(nets[i], swapped(nets[i]), dtype=dtype) for i in (1, 0)]
        return blocks.TwoSidedCoupling(conditioner=sides, scale=soft_clamp(settings), at=at, **common), False
    if kind == "RNVPCouplingBlock":
        s1, t1, s2, t2 = (network(net, dtype=dtype) for net in nets)
        sides = [Beside(t2, s2, dtype=dtype), Beside(t1, s1, dtype=dtype)]
        return blocks.TwoSidedCoupling(conditioner=sides, scale=soft_clamp(settings), at=at, **common), False
    if kind == "NICECouplingBlock":
        splits = [blocks.ChannelSplit(at, swap=True), blocks.ChannelSplit(at)]
        sides = [
            blocks.AdditiveCoupling(conditioner=network(net, dtype=dtype), split=split, **common)
            for net, split in zip(nets, splits, strict=True)
        ]
        return Chain(sides), False
    net = network(nets[0], swapped(nets[0]), factor=0.1, dtype=dtype)
    coupling = blocks.AffineCoupling(
        conditioner=net, split=blocks.ChannelSplit(at), scale=ExpScale(settings["clamp"], "tanh"), **common
    )
    scale, offset = array(settings["scale"]), array(settings["offset"])
    make = blocks.InvertibleConv1x1 if image else blocks.InvertibleLinear
    mix = linear(make(parametrization="dense", **common), array(settings["matrix"]), dtype)
    return Chain([coupling, actnorm(offset / scale, np.log(scale), image, dtype), mix]), False


def _nflows(kind, settings, nets, image, dtype):
    common = {"split": settings["kept"], "dtype": dtype}
    if kind == "AffineCouplingTransform":
        return blocks.AffineCoupling(
            conditioner=network(nets[0], dtype=dtype), scale=SigmoidScale(low=1e-3, high=1.001), **common
        ), False
    if kind == "AdditiveCouplingTransform":
        return blocks.AdditiveCoupling(conditioner=network(nets[0], dtype=dtype), **common), False
    bins = settings["num_bins"]
    moved = len(nets[0][-1]["bias"]) // (3 * bins - 1)
    shift = np.tile([0.0] * (2 * bins) + [-math.log(math.expm1(0.999))] * (bins - 1), moved)
    net = network(nets[0], shift=shift, dtype=dtype)
    return blocks.SplineCoupling(conditioner=net, num_bins=bins, bound=settings["bound"], **common), False


def _normflows(kind, settings, nets, image, dtype):
    common = {"dtype": dtype}
    if kind == "AffineCouplingBlock":
        scale = {"exp": ExpScale(None), "sigmoid": InverseSigmoid(), "sigmoid_inv": SigmoidScale()}[settings["scale_map"]]
        net = network(nets[0], [0, 2, 1, 3], dtype=dtype)
        return blocks.AffineCoupling(conditioner=net, split=blocks.ChannelSplit(2), scale=scale, **common), False
    if kind == "MaskedAffineFlow":
        kept = settings["kept"]
        moved = np.setdiff1d(np.arange(5), kept)
        scale, shift = (network(net, order=moved, inputs=kept, dtype=dtype) for net in nets)
        net = Beside(shift, scale, dtype=dtype)
        return blocks.AffineCoupling(conditioner=net, split=kept, scale=ExpScale(None), **common), False
    if kind == "ActNorm":
        s, t = array(settings["s"]), array(settings["t"])
        return actnorm(t * np.exp(-s), s, image, dtype), False
    if kind == "Invertible1x1Conv":
        if "W" in settings:
            block = blocks.InvertibleConv1x1(parametrization="dense", **common)
            return linear(block, array(settings["W"]), dtype), False
        return _plu(blocks.InvertibleConv1x1(**common), settings, dtype), False
    # GlowBlock: their inverse is the direction of densities; their 1x1 matrix acts there, ours in forward.
    s, t = array(settings["s"]), array(settings["t"])
    matrix = _plu(blocks.InvertibleConv1x1(**common), settings, dtype).inverse_kernel("float64").numpy()
    mix = linear(blocks.InvertibleConv1x1(parametrization="dense", **common), matrix, dtype)
    net = network(nets[0], [0, 2, 1, 3], dtype=dtype)
    coupling = blocks.AffineCoupling(conditioner=net, split=blocks.ChannelSplit(2), scale=InverseSigmoid(), **common)
    return Chain([coupling, mix, actnorm(t * np.exp(-s), s, True, dtype)]), True


def _plu(block, settings, dtype):
    block.ensure_built((2, 3, len(settings["P"])))
    triangles = {"permutation": "P", "sign": "sign_S", "lower": "L", "upper": "U", "log_diagonal": "log_S"}
    for ours, theirs in triangles.items():
        getattr(block, ours).assign(tf.cast(array(settings[theirs]), dtype))
    return block
