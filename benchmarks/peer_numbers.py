"""What FrEIA, nflows and normflows compute with given weights, as JSON; it runs where they are installed, without TensorFlow.

`PEER_PYTHON benchmarks/peer_numbers.py --dtype float64 --seed 0 --out FILE`.  A case holds the weights, a batch `x`, what the
peer's map makes of it (`z`, `log_det`, and the gradient by `x` of a weighted sum of both), and its inverse at another batch
`w` (`back`, `back_log_det`).  Arrays are in the peer's own layout.  `tests/blocks/test_peer_numbers.py` builds our blocks from
the same weights.
"""

from __future__ import annotations

import argparse
import json
import warnings
from importlib import metadata
from pathlib import Path

warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402

BATCH = 2


def numbers(tensor, digits=None):
    values = np.asarray(tensor.detach() if isinstance(tensor, torch.Tensor) else tensor, np.float64)
    if digits is not None:
        values = np.vectorize(lambda v: float(f"{v:.{digits}g}"), otypes=[float])(values)
    return values.tolist()


def mlp(n_in, n_out):
    return nn.Sequential(nn.Linear(n_in, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, n_out))


def convnet(n_in, n_out):
    return nn.Sequential(
        nn.Conv2d(n_in, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 1), nn.ReLU(), nn.Conv2d(3, n_out, 3, padding=1)
    )


class Ignoring(nn.Module):
    """A network that nflows calls with a context."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x, context=None):
        return self.net(x)


def randomize(module, rng, scale=0.7):
    """Weights of three digits, so that a file of them is short and exact."""
    for parameter in module.parameters():
        if parameter.requires_grad:
            parameter.data = torch.tensor(numbers(scale * rng.normal(size=tuple(parameter.shape)), 3), dtype=parameter.dtype)


def net_of(module):
    layers = [m for m in module.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    return [{"kernel": numbers(layer.weight), "bias": numbers(layer.bias)} for layer in layers]


class Book:
    """Collects the cases of one run."""

    def __init__(self, seed, dtype, digits):
        self.rng, self.dtype, self.digits, self.cases = np.random.default_rng(seed), dtype, digits, []

    def batch(self, shape):
        return torch.tensor(numbers(1.2 * self.rng.normal(size=(BATCH, *shape)), 4), dtype=self.dtype)

    def add(self, name, module, shape, forward, inverse, nets, condition=None, **settings):
        """`forward(x)` and `inverse(w)` return value and log-determinant."""
        x, w = self.batch(shape).requires_grad_(), self.batch(shape)
        cotangent = self.batch(shape)
        z, log_det = forward(x)
        (gradient,) = torch.autograd.grad((z * cotangent).sum() + (log_det * torch.arange(1, BATCH + 1)).sum(), x)
        back, back_log_det = inverse(w)
        digits = self.digits
        self.cases.append(
            {
                "name": name,
                "settings": settings,
                "nets": [net_of(net) for net in nets],
                "condition": None if condition is None else numbers(condition),
                "x": numbers(x),
                "w": numbers(w),
                "cotangent": numbers(cotangent),
                "z": numbers(z, digits),
                "log_det": numbers(log_det.expand(BATCH) if log_det.ndim == 0 else log_det, digits),
                "gradient": numbers(gradient, digits),
                "back": numbers(back, digits),
                "back_log_det": numbers(back_log_det.expand(BATCH) if back_log_det.ndim == 0 else back_log_det, digits),
            }
        )

    def ready(self, module, scale=0.7):
        module = module.to(self.dtype)
        randomize(module, self.rng, scale)
        return module


def freia(book):
    from FrEIA import modules as fm

    def add(name, block, shape, nets, condition=None, **settings):
        c = [] if condition is None else [condition]

        def forward(x):
            (z,), log_det = block([x], c=c)
            return z, torch.as_tensor(log_det, dtype=x.dtype)

        def inverse(w):
            (x,), log_det = block([w], c=c, rev=True)
            return x, torch.as_tensor(log_det, dtype=w.dtype)

        book.add(name, block, shape, forward, inverse, nets, condition, **settings)

    for dims, make in (((5,), mlp), ((4, 2, 3), convnet)):
        for activation in ("ATAN", "TANH"):
            block = book.ready(
                fm.GLOWCouplingBlock([dims], subnet_constructor=make, clamp=1.7, clamp_activation=activation, split_len=0.5)
            )
            settings = {"clamp": 1.7, "activation": activation, "split": block.split_len1}
            add("FrEIA.GLOWCouplingBlock", block, dims, [block.subnet1, block.subnet2], **settings)
    block = book.ready(fm.GLOWCouplingBlock([(5,)], dims_c=[(2,)], subnet_constructor=mlp, clamp=2.0))
    settings = {"clamp": 2.0, "activation": "ATAN", "split": block.split_len1}
    add("FrEIA.GLOWCouplingBlock", block, (5,), [block.subnet1, block.subnet2], book.batch((2,)), **settings)
    block = book.ready(fm.RNVPCouplingBlock([(4,)], subnet_constructor=mlp, clamp=1.3))
    nets = [block.subnet_s1, block.subnet_t1, block.subnet_s2, block.subnet_t2]
    add("FrEIA.RNVPCouplingBlock", block, (4,), nets, clamp=1.3, activation="ATAN", split=block.split_len1)
    block = book.ready(fm.NICECouplingBlock([(4,)], subnet_constructor=mlp))
    add("FrEIA.NICECouplingBlock", block, (4,), [block.F, block.G], split=block.split_len1)
    for dims, make in (((5,), mlp), ((4, 2, 3), convnet)):
        for kind in ("SOFTPLUS", "EXP"):
            block = fm.AllInOneBlock([dims], subnet_constructor=make, permute_soft=kind == "EXP", global_affine_type=kind)
            block = book.ready(block, 1.5)
            if kind == "EXP":  # FrEIA rounds the rotation to float32 and inverts it by transposing: off by 1e-8 in float64
                rotation = torch.linalg.qr(block.w_perm.data.reshape(dims[0], dims[0])).Q
                block.w_perm.data = rotation.reshape(block.w_perm.shape)
                block.w_perm_inv.data = rotation.T.contiguous().reshape(block.w_perm.shape)
            add(
                "FrEIA.AllInOneBlock",
                block,
                dims,
                [block.subnet],
                clamp=block.clamp,
                split=block.splits[0],
                scale=numbers(block.global_scale_activation(block.global_scale).reshape(-1)),
                offset=numbers(block.global_offset.reshape(-1)),
                matrix=numbers(block.w_perm.reshape(dims[0], dims[0])),
            )


def nflows(book):
    from nflows.transforms import coupling

    masks = ([-1, 1, -1, 1, 1], (5,), mlp), ([1, -1, 1, -1], (4, 2, 3), convnet)
    for mask, dims, make in masks:
        for kind in ("AffineCouplingTransform", "AdditiveCouplingTransform"):
            block = book.ready(getattr(coupling, kind)(mask, lambda n, m, make=make: Ignoring(make(n, m))))
            kept = [i for i, m in enumerate(mask) if m <= 0]
            book.add(f"nflows.{kind}", block, dims, block, block.inverse, [block.transform_net], kept=kept)
        block = coupling.PiecewiseRationalQuadraticCouplingTransform(
            mask, lambda n, m, make=make: Ignoring(make(n, m)), num_bins=4, tails="linear", tail_bound=2.5
        )
        block = book.ready(block)
        book.add(
            "nflows.PiecewiseRationalQuadraticCouplingTransform",
            block,
            dims,
            block,
            block.inverse,
            [block.transform_net],
            kept=kept,
            num_bins=4,
            bound=2.5,
        )


def normflows(book):
    import normflows.flows as nf

    for dims, make in (((4,), mlp), ((4, 2, 3), convnet)):
        for scale_map in ("exp", "sigmoid", "sigmoid_inv"):
            block = book.ready(nf.AffineCouplingBlock(make(2, 4), scale_map=scale_map), 0.5)
            net = block.flows[1].param_map
            book.add("normflows.AffineCouplingBlock", block, dims, block, block.inverse, [net], scale_map=scale_map)
    mask = torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0], dtype=book.dtype)
    block = book.ready(nf.MaskedAffineFlow(mask, t=mlp(5, 5), s=mlp(5, 5)), 0.5)
    kept = [0, 3]
    book.add("normflows.MaskedAffineFlow", block, (5,), block, block.inverse, [block.s, block.t], kept=kept)
    for use_lu in (True, False):
        block = nf.Invertible1x1Conv(4, use_lu).to(book.dtype)
        weights = {k: numbers(v) for k, v in block.state_dict().items()}
        # Their direction of densities, data to latent, is `inverse`.
        book.add("normflows.Invertible1x1Conv", block, (4, 2, 3), block.inverse, block, [], **weights)
    block = book.ready(nf.ActNorm((4, 1, 1)))
    block.data_dep_init_done = torch.tensor(1.0)
    s, t = numbers(block.s.reshape(-1)), numbers(block.t.reshape(-1))
    book.add("normflows.ActNorm", block, (4, 2, 3), block, block.inverse, [], s=s, t=t)
    block = nf.GlowBlock(4, 4, init_zeros=False).to(book.dtype)
    randomize(block.flows[0], book.rng)
    randomize(block.flows[2], book.rng)
    block.flows[2].data_dep_init_done = torch.tensor(1.0)
    weights = {k: numbers(v) for k, v in block.flows[1].state_dict().items()}
    s, t = numbers(block.flows[2].s.reshape(-1)), numbers(block.flows[2].t.reshape(-1))
    net = block.flows[0].flows[1].param_map
    book.add("normflows.GlowBlock", block, (4, 2, 3), block.inverse, block, [net], s=s, t=t, **weights)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float64")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--digits", type=int, default=10, help="of what the peers compute")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    np.random.seed(args.seed)  # noqa: NPY002 -- FrEIA draws its permutations from it
    torch.set_num_threads(1)
    book = Book(args.seed, getattr(torch, args.dtype), args.digits)
    for library in (freia, nflows, normflows):
        library(book)
    versions = {name: metadata.version(name) for name in ("torch", "FrEIA", "nflows", "normflows")}
    args.out.write_text(json.dumps({"versions": versions, "dtype": args.dtype, "cases": book.cases}, separators=(",", ":")))


if __name__ == "__main__":
    main()
