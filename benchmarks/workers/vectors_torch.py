"""PyTorch's flows on vectors for `benchmarks.peers`: `TORCH_PYTHON -m benchmarks.workers.vectors_torch CASE LIBRARY`.

Each model is built as its library's documentation shows, with networks of the same widths.
"""

from __future__ import annotations

import importlib
import warnings
from importlib import metadata

from benchmarks.workers.cases import RATE, case_of, data, parser
from benchmarks.workers.loop import claim_output, libraries_loaded, serve, timed
from benchmarks.workers.pytorch import LOG_2PI, mlp
from benchmarks.workers.tiny_steps import torch_started

warnings.filterwarnings("ignore")
PACKAGES = {"freia-glow": "FrEIA", "freia-all-in-one": "FrEIA", "nflows": "nflows", "zuko": "zuko"}
MODULES = {  # loaded before the clock starts
    "FrEIA": ("framework", "modules"),
    "nflows": ("distributions", "flows", "transforms"),
    "zuko": ("flows",),
}


def freia(torch, name, case, library):
    from FrEIA import framework, modules

    model, all_in_one = framework.SequenceINN(case.dim), library == "freia-all-in-one"
    for _ in range(case.layers if all_in_one else case.layers // 2):  # a GLOWCouplingBlock couples both halves
        block = modules.AllInOneBlock if all_in_one else modules.GLOWCouplingBlock
        model.append(block, subnet_constructor=lambda n_in, n_out: mlp(n_in, n_out, case.hidden))

    def log_prob(x):
        z, log_det = model(x)
        return -0.5 * (z**2).sum(1) - 0.5 * case.dim * LOG_2PI + log_det

    def round_trip(x):
        return model(model(x)[0], rev=True)[0]

    return model, log_prob, lambda: model(torch.randn(case.samples, case.dim), rev=True)[0], round_trip


def nflows(torch, name, case, library):
    from nflows import distributions, flows, transforms
    from torch import nn

    class Net(nn.Module):
        def __init__(self, n_in, n_out):
            super().__init__()
            self.net = mlp(n_in, n_out, case.hidden)

        def forward(self, x, context=None):
            return self.net(x)

    half = [0] * (case.dim - case.dim // 2) + [1] * (case.dim // 2)
    layers = []
    for _ in range(case.layers):
        layers.append(transforms.ReversePermutation(case.dim))
        if name == "maf":  # one block after the first layer: two hidden layers
            sizes = {"hidden_features": case.hidden, "num_blocks": 1, "use_residual_blocks": False}
            layers.append(transforms.MaskedAffineAutoregressiveTransform(case.dim, **sizes))
        elif name == "splines":
            sizes = {"num_bins": case.bins, "tails": "linear", "tail_bound": case.bound}
            layers.append(transforms.PiecewiseRationalQuadraticCouplingTransform(half, Net, **sizes))
        else:
            layers.append(transforms.AffineCouplingTransform(half, Net))
    transform = transforms.CompositeTransform(layers)
    model = flows.Flow(transform, distributions.StandardNormal([case.dim]))
    return model, model.log_prob, lambda: model.sample(case.samples), lambda x: transform.inverse(transform(x)[0])[0]


def zuko(torch, name, case, library):
    from zuko.flows import MAF, NSF, RealNVP

    sizes = {"transforms": case.layers, "hidden_features": (case.hidden, case.hidden)}
    if name == "maf":
        model = MAF(case.dim, 0, **sizes)
    elif name == "splines":  # two passes: a coupling
        model = NSF(case.dim, 0, bins=case.bins, passes=2, **sizes)
    else:
        model = RealNVP(case.dim, 0, **sizes)

    def round_trip(x):
        transform = model().transform
        return transform.inv(transform(x))

    return model, lambda x: model().log_prob(x), lambda: model().sample((case.samples,)), round_trip


MAKERS = {"freia-glow": freia, "freia-all-in-one": freia, "nflows": nflows, "zuko": zuko}


def serve_model(answers, model, log_prob, sample, round_trip, x, threads, start, build, package, **about):
    """Train and ask a model that is made: as `benchmarks.workers.ode_zuko` does, too."""
    import torch

    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, RATE)

    def train():
        optimizer.zero_grad()
        loss = -log_prob(x).mean()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    def quietly(call):
        def run():
            with torch.no_grad():
                return call()

        return run

    seconds, cpu, loss = timed(train)
    serve(
        answers,
        {
            "step": train,
            "log_prob": quietly(lambda: log_prob(x)),
            "sample": quietly(sample),
            "inverse_error": quietly(lambda: float((round_trip(x) - x).abs().max())),
        },
        library=f"{package} {metadata.version(package)}, torch {torch.__version__}",
        parameters=sum(p.numel() for p in parameters),
        start_mib=start,
        build_seconds=build,
        initialize_seconds=0.0,
        first_step_seconds=seconds,
        first_step_cpu=cpu,
        loss=loss,
        **about,
    )


def main():
    args = parser(["couplings", "splines", "maf"], list(MAKERS)).parse_args()
    answers, case = claim_output(), case_of(args.case, args.tiny)
    torch, package = torch_started(args.threads), PACKAGES[args.variant]
    for module in MODULES[package]:
        importlib.import_module(f"{package}.{module}")
    start = libraries_loaded()
    build, _, made = timed(lambda: MAKERS[args.variant](torch, args.case, case, args.variant))
    serve_model(answers, *made, torch.from_numpy(data(case)), args.threads, start, build, package)


if __name__ == "__main__":
    main()
