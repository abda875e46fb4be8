"""normflows' copy of residual-flows: `PEER_PYTHON -m benchmarks.workers.residual_pytorch ESTIMATOR GRADIENT`."""

from __future__ import annotations

import argparse
import warnings
from importlib import metadata

from benchmarks.workers.loop import claim_output, libraries_loaded, serve_training, timed
from benchmarks.workers.tiny_steps import torch_started

warnings.filterwarnings("ignore")
WIDTHS, BATCH, COEFFICIENT = [2, 128, 128, 128, 128, 2], 500, 0.9 ** (1 / 5)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("estimator", choices=("series", "roulette", "exact"))
    parser.add_argument("gradient", choices=("autodiff", "neumann"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--blocks", type=int, default=10)
    parser.add_argument("--batch", type=int, default=BATCH)
    args = parser.parse_args()
    answers = claim_output()
    import normflows

    torch = torch_started(args.threads)

    def block():
        return normflows.flows.Residual(
            normflows.nets.LipschitzMLP(WIDTHS, lipschitz_const=COEFFICIENT, max_lipschitz_iter=5, init_zeros=False),
            reduce_memory=args.gradient == "neumann",  # Neumann gradient, computed in the forward pass
            n_power_series=10 if args.estimator == "series" else None,
            brute_force=args.estimator == "exact",
        )

    libraries_loaded()
    build, _, model = timed(
        lambda: normflows.NormalizingFlow(
            normflows.distributions.DiagGaussian(2, trainable=False), [block() for _ in range(args.blocks)]
        )
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    x = torch.randn(args.batch, 2)

    def step():
        optimizer.zero_grad()
        loss = model.forward_kld(x)
        loss.backward()
        optimizer.step()
        normflows.utils.update_lipschitz(model, 5)
        return float(loss.detach())

    def inverse_error():
        with torch.no_grad():
            return float((model.forward(model.inverse(x)) - x).abs().max())

    networks = (p for flow in model.flows for p in flow.iresblock.nnet.parameters())
    serve_training(
        answers,
        step,
        {"inverse_error": inverse_error},
        library=f"normflows {metadata.version('normflows')}, torch {torch.__version__}",
        size=f"{args.blocks} blocks, batch {args.batch}",
        parameters=sum(p.numel() for p in networks),
        build_seconds=build,
    )


if __name__ == "__main__":
    main()
