"""FrEIA's autoencoder: `PEER_PYTHON -m benchmarks.workers.autoencoder_pytorch MODE --threads N`.

The network of the paper for MNIST from FrEIA's own blocks, trained as the paper's code trains it: one loss of both directions.
FrEIA keeps all activations, so `stored` is the only mode.
"""

from __future__ import annotations

import argparse
import warnings
from importlib import metadata

from benchmarks.workers.loop import claim_output, serve_training, timed

warnings.filterwarnings("ignore")


def make_model(torch):
    from FrEIA import framework, modules
    from torch import nn

    def convolutions(n_in, n_out):
        return nn.Sequential(
            nn.Conv2d(n_in, 100, 3, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(100, 100, 3, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(100, n_out, 1),
        )

    def dense(n_in, n_out):
        return nn.Sequential(nn.Linear(n_in, 180), nn.ReLU(), nn.Linear(180, n_out))

    model = framework.SequenceINN(1, 28, 28)
    model.append(modules.HaarDownsampling)
    for _ in range(3):
        model.append(modules.GLOWCouplingBlock, subnet_constructor=convolutions, clamp=1.0)
    model.append(modules.Flatten)
    model.append(modules.RNVPCouplingBlock, subnet_constructor=dense, clamp=1.0)
    model.append(modules.Reshape, output_dims=(4, 14, 14))
    model.append(modules.HaarUpsampling)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = 0.1 * torch.randn_like(parameter)
    for net in (m for m in model.modules() if isinstance(m, nn.Sequential)):
        net[-1].weight.data.zero_()
        net[-1].bias.data.zero_()
    return model


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=("stored",))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=128)
    args = parser.parse_args()
    answers = claim_output()
    import torch

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    build, _, model = timed(lambda: make_model(torch))
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(weights, 1e-3, betas=(0.8, 0.8), eps=1e-4)
    x = torch.rand(args.batch, 1, 28, 28)

    def train():
        optimizer.zero_grad()
        z, _ = model(x, jac=False)
        flat = z.flatten(1)
        kept = torch.cat([flat[:, :12], torch.zeros_like(flat[:, 12:])], 1)
        x_hat, _ = model(kept.reshape(z.shape), rev=True, jac=False)
        loss = (x - x_hat).abs().mean() + (flat[:, 12:] ** 2).mean()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    serve_training(
        answers,
        train,
        library=f"FrEIA {metadata.version('FrEIA')}, torch {torch.__version__}",
        parameters=sum(p.numel() for p in weights),
        build_seconds=build,
    )


if __name__ == "__main__":
    main()
