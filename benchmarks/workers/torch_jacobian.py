"""Dense Jacobians with PyTorch for `benchmarks.spectra`: `PYTHON -m benchmarks.workers.torch_jacobian KIND SIZE HIDDEN BATCH`.

Kinds: `mlp` and `conv`, as in `benchmarks.spectra`; `glow`: 3 levels of 8 steps of [scale and shift, 1x1 convolution, affine
coupling], of which half of the channels leave after a level, with random weights of the size that training gives.
"""

from __future__ import annotations

import argparse

from benchmarks.workers.loop import claim_output, serve


def convnet(nn, n_in, n_out, hidden):
    layers = [nn.Conv2d(n_in, hidden, 3, padding=1), nn.ReLU(), nn.Conv2d(hidden, hidden, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(hidden, n_out, 3, padding=1))


def glow(torch, hidden, levels=3, depth=8):
    """A function of one image."""
    nn = torch.nn
    stages = []
    channels = 3
    for _ in range(levels):
        channels *= 4
        steps = []
        for _ in range(depth):
            mix = torch.linalg.qr(torch.randn(channels, channels)).Q
            steps.append((torch.randn(channels, 1, 1) / 10, mix, convnet(nn, channels // 2, channels, hidden)))
        stages.append(steps)
        channels //= 2

    def forward(x):
        x, left = x[None], []
        for i, steps in enumerate(stages):
            x = nn.functional.pixel_unshuffle(x, 2)
            for log_scale, mix, net in steps:
                x = torch.einsum("ij,bjhw->bihw", mix, x * torch.exp(log_scale))
                kept, moved = x.chunk(2, 1)
                shift, raw = net(kept).chunk(2, 1)
                x = torch.cat([kept, moved * torch.sigmoid(raw + 2) + shift], 1)
            if i < len(stages) - 1:
                x, leaving = x.chunk(2, 1)
                left.append(leaving.flatten())
        return torch.cat([*left, x.flatten()])

    return forward


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("mlp", "conv", "glow"))
    for name in ("size", "hidden", "batch"):
        parser.add_argument(name, type=int)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    answers = claim_output()
    import torch

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    nn, func, size, hidden = torch.nn, torch.func, args.size, args.hidden
    if args.kind == "mlp":
        net = nn.Sequential(nn.Linear(size, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, size))
        x, one = torch.randn(args.batch, size), net
    elif args.kind == "conv":
        net = convnet(nn, 3, 3, hidden)
        x, one = torch.randn(args.batch, 3, size, size), lambda v: net(v[None])[0]
    else:
        x, one = torch.randn(args.batch, 3, size, size), glow(torch, hidden)
    # Chunks keep the memory, and here the time, below that of all rows at once.
    chunk = 64 if args.kind != "mlp" else None

    def jacobian():
        return func.vmap(func.jacrev(one, chunk_size=chunk))(x)

    def spectrum():
        rows = jacobian().detach().reshape(args.batch, -1, 3 * size * size)
        return torch.linalg.svdvals(rows.double())

    serve(answers, {"jacobian": jacobian, "spectrum": spectrum}, library=f"torch {torch.__version__}")


if __name__ == "__main__":
    main()
