"""State dicts of FrEIA's and nflows' modules with what they compute; it runs where they are installed, without TensorFlow.

`PEER_PYTHON benchmarks/peer_weights.py --out FILE.npz` makes modules with random weights, in float64, and records weights, a
batch `x`, its image `z` and `log_det`, and the inverse at another batch `w`.  With `--load FILE.npz` the modules load the state
dicts in there instead: what `inntf.models.to_freia` and `to_nflows` made.  `tests/models/test_peer_weights.py` reads and writes
these.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402

from benchmarks.packed_arrays import pack, unpack  # noqa: E402

BATCH = 2


def mlp(n_in, n_out):
    return nn.Sequential(nn.Linear(n_in, 4), nn.ReLU(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, n_out))


def convnet(n_in, n_out):
    return nn.Sequential(nn.Conv2d(n_in, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, n_out, 1))


class Ignoring(nn.Module):
    """A network that nflows calls with a context."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x, context=None):
        return self.net(x)


def freia_cases():
    """`(kind, options, event, condition, module)` by name."""
    from FrEIA import framework as ff
    from FrEIA import modules as fm

    image = (4, 2, 3)
    both = {"subnet_constructor": mlp}, {"subnet_constructor": convnet}
    rotation, _ = np.linalg.qr(np.random.default_rng(7).normal(size=(4, 4)))
    sequence = ff.SequenceINN(4)
    sequence.append(fm.PermuteRandom)
    sequence.append(fm.ActNorm)
    sequence.append(fm.GLOWCouplingBlock, **both[0], clamp=1.3)
    sequence.append(fm.AllInOneBlock, **both[0])
    kinds = ["PermuteRandom", "ActNorm", ["GLOWCouplingBlock", {"clamp": 1.3}], "AllInOneBlock"]
    return {
        "glow": ("GLOWCouplingBlock", {}, (5,), None, fm.GLOWCouplingBlock([(5,)], **both[0])),
        "glow of images": (
            "GLOWCouplingBlock",
            {"clamp": 1.7, "clamp_activation": "TANH"},
            image,
            None,
            fm.GLOWCouplingBlock([image], **both[1], clamp=1.7, clamp_activation="TANH"),
        ),
        "glow with a condition": (
            "GLOWCouplingBlock",
            {"clamp_activation": "SIGMOID"},
            (5,),
            (2,),
            fm.GLOWCouplingBlock([(5,)], dims_c=[(2,)], **both[0], clamp_activation="SIGMOID", split_len=2),
        ),
        "rnvp": ("RNVPCouplingBlock", {"clamp": 1.3}, (4,), None, fm.RNVPCouplingBlock([(4,)], **both[0], clamp=1.3)),
        "rnvp of images": (
            "RNVPCouplingBlock",
            {},
            image,
            (1, 2, 3),
            fm.RNVPCouplingBlock([image], dims_c=[(1, 2, 3)], **both[1]),
        ),
        "nice": ("NICECouplingBlock", {}, (5,), (2,), fm.NICECouplingBlock([(5,)], dims_c=[(2,)], **both[0])),
        "one-sided": ("AffineCouplingOneSided", {}, (5,), None, fm.AffineCouplingOneSided([(5,)], **both[0])),
        "one-sided with a condition": (
            "AffineCouplingOneSided",
            {"kept": 3},
            (5,),
            (2,),
            fm.AffineCouplingOneSided([(5,)], dims_c=[(2,)], **both[0], split_len=3),
        ),
        "all in one": ("AllInOneBlock", {}, (5,), None, fm.AllInOneBlock([(5,)], **both[0])),
        "all in one of images": (
            "AllInOneBlock",
            {"global_affine_type": "EXP", "affine_clamping": 1.5},
            image,
            None,
            fm.AllInOneBlock([image], **both[1], global_affine_type="EXP", affine_clamping=1.5, permute_soft=True),
        ),
        "all in one, reversed": (
            "AllInOneBlock",
            {"global_affine_type": "SIGMOID", "reverse_permutation": True},
            (4,),
            (1,),
            fm.AllInOneBlock([(4,)], dims_c=[(1,)], **both[0], global_affine_type="SIGMOID", reverse_permutation=True),
        ),
        "permutation": ("PermuteRandom", {}, (5,), None, fm.PermuteRandom([(5,)])),
        "actnorm": ("ActNorm", {}, (3,), None, fm.ActNorm([(3,)])),
        "actnorm of images": ("ActNorm", {}, image, None, fm.ActNorm([image])),
        "1x1": ("Fixed1x1Conv", {}, image, None, fm.Fixed1x1Conv([image], M=torch.tensor(rotation * [[1], [2], [3], [0.5]]))),
        "sequence": (kinds, {}, (4,), None, sequence),
    }


def nflows_cases():
    """`(kind, options, event, context, module)` by name."""
    from nflows import distributions, flows, transforms
    from nflows.nn import nets

    image, mask = (4, 2, 3), [1, -1, 1, -1, 1]

    def residual(context=None):
        return lambda n, m: nets.ResidualNet(n, m, hidden_features=4, context_features=context, num_blocks=2)

    def of_images(context=None):
        return lambda n, m: nets.ConvResidualNet(n, m, hidden_channels=3, context_channels=context, num_blocks=1)

    def spline(mask, net, bound):
        return transforms.PiecewiseRationalQuadraticCouplingTransform(mask, net, num_bins=3, tails="linear", tail_bound=bound)

    autoregressive = transforms.MaskedAffineAutoregressiveTransform(4, 7, num_blocks=2, use_residual_blocks=False)
    composite = transforms.CompositeTransform(
        [transforms.RandomPermutation(5), transforms.LULinear(5, identity_init=False), spline(mask, residual(), 2.0)]
    )
    flow = flows.Flow(composite, distributions.StandardNormal([5]))
    kinds = ["RandomPermutation", "LULinear", ["PiecewiseRationalQuadraticCouplingTransform", {"tail_bound": 2.0}]]
    return {
        "affine": (
            "AffineCouplingTransform",
            {},
            (5,),
            None,
            transforms.AffineCouplingTransform(mask, lambda n, m: Ignoring(mlp(n, m))),
        ),
        "affine with a context": (
            "AffineCouplingTransform",
            {},
            (5,),
            (2,),
            transforms.AffineCouplingTransform(mask, residual(2)),
        ),
        "additive of images": (
            "AdditiveCouplingTransform",
            {},
            image,
            (2, 2, 3),
            transforms.AdditiveCouplingTransform([-1, 1, 1, -1], of_images(2)),
        ),
        "additive": (
            "AdditiveCouplingTransform",
            {},
            (5,),
            None,
            transforms.AdditiveCouplingTransform(mask, lambda n, m: Ignoring(nets.MLP((n,), (m,), [3, 4]))),
        ),
        "spline": (
            "PiecewiseRationalQuadraticCouplingTransform",
            {"tail_bound": 2.5},
            (5,),
            None,
            spline(mask, residual(), 2.5),
        ),
        "spline of images": (
            "PiecewiseRationalQuadraticCouplingTransform",
            {},
            image,
            None,
            spline([1, -1, -1, 1], of_images(), 1.0),
        ),
        "spline of a plain network": (
            "PiecewiseRationalQuadraticCouplingTransform",
            {},
            (4,),
            None,
            spline([1, 1, -1, -1], lambda n, m: Ignoring(mlp(n, m)), 1.0),
        ),
        "permutation": ("Permutation", {}, (4,), None, transforms.Permutation(torch.tensor([2, 0, 3, 1]))),
        "reversed": ("ReversePermutation", {}, (4,), None, transforms.ReversePermutation(4)),
        "actnorm": ("ActNorm", {}, (3,), None, transforms.ActNorm(3)),
        "actnorm of images": ("ActNorm", {"event_ndims": 3}, image, None, transforms.ActNorm(4)),
        "naive linear": ("NaiveLinear", {}, (4,), None, transforms.NaiveLinear(4)),
        "lu": ("LULinear", {}, (4,), None, transforms.LULinear(4)),
        "1x1": ("OneByOneConvolution", {}, image, None, transforms.OneByOneConvolution(4)),
        "autoregressive": ("MaskedAffineAutoregressiveTransform", {}, (4,), None, autoregressive),
        "flow": (kinds, {}, (5,), None, flow),
    }


def randomize(module, rng):
    """Weights of three digits, so that a file of them is short; what is fixed in the module stays."""
    for parameter in module.parameters():
        if parameter.requires_grad:
            values = np.vectorize(lambda v: float(f"{v:.3g}"), otypes=[float])(0.7 * rng.normal(size=tuple(parameter.shape)))
            parameter.data = torch.tensor(values, dtype=parameter.dtype)


def load(module, arrays):
    """The arrays as the module's state dict, all names matched."""
    module.load_state_dict({k: torch.as_tensor(v) for k, v in arrays.items()}, strict=True)
    return module


def computed(library, module, x, w, c):
    """Image, inverse at `w`, and both log-determinants, as arrays."""
    if library == "FrEIA":
        given = {} if c is None else {"c": [c]}
        sequence = hasattr(module, "module_list")
        wrap = (lambda v: v) if sequence else (lambda v: [v])
        z, log_det = module(wrap(x.clone()), **given)
        back, back_log_det = module(wrap(w.clone()), rev=True, **given)
        z, back = (z, back) if sequence else (z[0], back[0])
    else:
        module = getattr(module, "_transform", module)
        z, log_det = module(x, c)
        back, back_log_det = inverse(module, w, c)
    log_dets = [torch.as_tensor(v, dtype=x.dtype).expand(len(x)) for v in (log_det, back_log_det)]
    parts = {"z": z, "back": back, "log_det": log_dets[0], "back_log_det": log_dets[1]}
    return {k: v.detach().numpy().copy() for k, v in parts.items()}


def inverse(module, w, c):
    """Linear maps of nflows 0.14 call functions that PyTorch has removed: those are put in their places."""
    torch.triangular_solve = lambda b, a, upper=True, unitriangular=False: (
        torch.linalg.solve_triangular(a, b, upper=upper, unitriangular=unitriangular),
        a,
    )
    torch.solve = lambda b, a: (torch.linalg.solve(a, b), torch.linalg.lu_factor(a)[0])
    return module.inverse(w, c)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--load", type=Path, help="state dicts by case, to put into the modules")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    np.random.seed(args.seed)  # noqa: NPY002 -- FrEIA draws its permutations from it
    torch.set_default_dtype(torch.float64)
    rng = np.random.default_rng(args.seed)
    loaded = unpack(args.load) if args.load else {}
    found = {}
    for library, cases in (("FrEIA", freia_cases()), ("nflows", nflows_cases())):
        for name, (kind, options, event, condition, module) in cases.items():
            key = f"{library}: {name}"
            module = module.double().eval()
            randomize(module, rng)
            for part in module.modules():  # weights were given: no batch may set them
                if hasattr(part, "init_on_next_batch"):
                    part.init_on_next_batch = False
                if hasattr(part, "w_perm") and part.w_perm is not None and part.w_perm.dtype == torch.float64:
                    orthogonal(part)
            x, w = (torch.tensor(rng.normal(size=(BATCH, *event)).round(3)) for _ in range(2))
            c = None if condition is None else torch.tensor(rng.normal(size=(BATCH, *condition)).round(3))
            if args.load:
                load(module, loaded[key])
            state = {k: v.detach().numpy().copy() for k, v in module.state_dict().items()}
            case = {"kind": kind, "options": options, "state": state, "x": x.numpy(), "w": w.numpy()}
            case |= {} if c is None else {"condition": c.numpy()}
            found[key] = case | computed(library, module, x, w, c)
    pack(args.out, found)


def orthogonal(block):
    """FrEIA rounds its rotations to float32 and inverts them by transposing, 1e-8 off in float64: made exact here."""
    shape = block.w_perm.shape
    matrix = block.w_perm.data.reshape(shape[0], shape[0])
    q, r = torch.linalg.qr(matrix)
    q = q * torch.sign(torch.diag(r))
    block.w_perm.data, block.w_perm_inv.data = q.reshape(shape).contiguous(), q.T.contiguous().reshape(shape)


if __name__ == "__main__":
    main()
