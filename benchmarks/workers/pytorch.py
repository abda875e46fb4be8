"""PyTorch libraries for `benchmarks.speed`: `PEER_PYTHON -m benchmarks.workers.pytorch WORKLOAD LIBRARY --threads N`.

Each model is built as its library's documentation shows: FrEIA's `AllInOneBlock` with a random rotation, normflows' Glow
from `GlowBlock` and `MultiscaleFlow`, nflows' `AffineCouplingTransform` with reversed entries between.
"""

from __future__ import annotations

import argparse
import math
import warnings
from importlib import metadata

from benchmarks.workers.loop import claim_output, libraries_loaded, serve, timed
from benchmarks.workers.tiny_steps import torch_started

warnings.filterwarnings("ignore")
LOG_2PI = math.log(2 * math.pi)


def mlp(n_in, n_out, hidden=256):
    from torch import nn

    return zero_last(
        nn.Sequential(nn.Linear(n_in, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, n_out))
    )


def convnet(n_in, n_out, hidden=64):
    from torch import nn

    return zero_last(
        nn.Sequential(
            nn.Conv2d(n_in, hidden, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, n_out, 3, padding=1),
        )
    )


def zero_last(net):
    net[-1].weight.data.zero_()
    net[-1].bias.data.zero_()
    return net


def freia_glow(torch, depth):
    from FrEIA import framework, modules
    from torch import nn

    levels, shape = [], (3, 32, 32)
    for _ in range(3):
        shape = (4 * shape[0], shape[1] // 2, shape[2] // 2)
        level = framework.SequenceINN(shape[0] // 4, 2 * shape[1], 2 * shape[2])
        level.append(modules.IRevNetDownsampling)
        for _ in range(depth):
            level.append(modules.AllInOneBlock, subnet_constructor=convnet, permute_soft=True)
        levels.append(level)
        shape = (shape[0] // 2, *shape[1:])
    model = nn.ModuleList(levels)

    def log_prob(x):
        total, last = -0.5 * 3072 * LOG_2PI, len(levels) - 1
        for i, level in enumerate(levels):
            x, log_det = level(x)
            if i < last:
                x, left = x.chunk(2, 1)
                total = total - 0.5 * (left**2).sum((1, 2, 3))
            total = total + log_det
        return total - 0.5 * (x**2).sum((1, 2, 3))

    def round_trip(x):
        kept = []
        for i, level in enumerate(levels):
            x, _ = level(x)
            if i < len(levels) - 1:
                x, left = x.chunk(2, 1)
                kept.append(left)
        for i, level in reversed(list(enumerate(levels))):
            x = torch.cat([x, kept[i]], 1) if i < len(levels) - 1 else x
            x, _ = level(x, rev=True)
        return x

    return model, log_prob, None, round_trip


def normflows_glow(torch, depth):
    import normflows

    bases, flows, merges = [], [], []
    for i in range(3):  # from the latent: the last level first
        channels = 48 // 2**i
        level = [normflows.flows.GlowBlock(channels, 64, init_zeros=True) for _ in range(depth)]
        flows.append([*level, normflows.flows.Squeeze()])
        size = 4 * 2**i
        if i > 0:
            merges.append(normflows.flows.Merge())
            bases.append(normflows.distributions.DiagGaussian((channels // 2, size, size), trainable=False))
        else:
            bases.append(normflows.distributions.DiagGaussian((channels, size, size), trainable=False))
    model = normflows.MultiscaleFlow(bases, flows, merges, class_cond=False)
    return (
        model,
        lambda x: model.log_prob(x, None),
        None,
        lambda x: model.forward_and_log_det(model.inverse_and_log_det(x)[0])[0],
    )


def freia_couplings(torch, depth, all_in_one=False):
    from FrEIA import framework, modules

    model = framework.SequenceINN(4)
    for _ in range(depth if all_in_one else depth // 2):
        model.append(modules.AllInOneBlock if all_in_one else modules.GLOWCouplingBlock, subnet_constructor=mlp)

    def log_prob(x):
        z, log_det = model(x)
        return -0.5 * (z**2).sum(1) - 2 * LOG_2PI + log_det

    return model, log_prob, lambda n: model(torch.randn(n, 4), rev=True)[0], lambda x: model(model(x)[0], rev=True)[0]


def nflows_couplings(torch, depth):
    from nflows import distributions, flows, transforms
    from torch import nn

    class Net(nn.Module):
        def __init__(self, n_in, n_out):
            super().__init__()
            self.net = mlp(n_in, n_out)

        def forward(self, x, context=None):
            return self.net(x)

    layers = []
    for _ in range(depth):
        layers += [transforms.ReversePermutation(4), transforms.AffineCouplingTransform([0, 0, 1, 1], Net)]
    transform = transforms.CompositeTransform(layers)
    model = flows.Flow(transform, distributions.StandardNormal([4]))
    return model, model.log_prob, model.sample, lambda x: transform.inverse(transform(x)[0])[0]


MODELS = {
    ("glow", "freia"): freia_glow,
    ("glow", "normflows"): normflows_glow,
    ("couplings", "freia-glow"): freia_couplings,
    ("couplings", "freia-all-in-one"): lambda torch, depth: freia_couplings(torch, depth, all_in_one=True),
    ("couplings", "nflows"): nflows_couplings,
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("workload")
    parser.add_argument("library")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--depth", type=int, default=8)
    args = parser.parse_args()
    answers = claim_output()
    torch = torch_started(args.threads)
    image = args.workload == "glow"
    x = torch.rand(32, 3, 32, 32) - 0.5 if image else torch.randn(1000, 4)
    __import__({"freia": "FrEIA"}.get(args.library.split("-")[0], args.library))
    start = libraries_loaded()
    build, _, (model, log_prob, draw, round_trip) = timed(lambda: MODELS[args.workload, args.library](torch, args.depth))
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, 1e-4)

    def train():
        optimizer.zero_grad()
        loss = -log_prob(x).mean()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    def density():
        with torch.no_grad():
            return log_prob(x)

    def sample():
        with torch.no_grad():
            return draw(100_000)

    def inverse_error():
        with torch.no_grad():
            return float((round_trip(x) - x).abs().max())

    first_seconds, first_cpu, loss = timed(train)
    name = args.library.split("-")[0]
    serve(
        answers,
        {"step": train, "log_prob": density, "sample": sample, "inverse_error": inverse_error},
        start_mib=start,
        library=f"{name} {metadata.version(name)}, torch {torch.__version__}",
        parameters=sum(p.numel() for p in parameters),
        build_seconds=build,
        initialize_seconds=0.0,
        first_step_seconds=first_seconds,
        first_step_cpu=first_cpu,
        loss=loss,
    )


if __name__ == "__main__":
    main()
