"""One measurement of `benchmarks.memory` with PyTorch: `PEER_PYTHON -m benchmarks.workers.torch_memory MODE DEPTH`.

Modes: `torch-stored` (a plain affine coupling), `torch-checkpoint` (the same, `torch.utils.checkpoint` around each block),
`memcnn` (the same in `InvertibleModuleWrapper`), `freia` (`AllInOneBlock`, which couples, scales and permutes).
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import warnings

from benchmarks.workers.loop import claim_output, timed
from benchmarks.workers.pytorch import convnet

warnings.filterwarnings("ignore")
MODES = ("torch-stored", "torch-checkpoint", "memcnn", "freia")


def make_block(torch):
    """An affine coupling and a reversal of channels; the running log-determinant goes along."""
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = convnet(6, 12)

        def parameters_at(self, kept):
            shift, raw = self.net(kept).chunk(2, 1)
            return shift, 2 * 2 / torch.pi * torch.atan(raw)

        def forward(self, x, total):
            kept, moved = x.chunk(2, 1)
            shift, log_scale = self.parameters_at(kept)
            z = torch.cat([kept, moved * torch.exp(log_scale) + shift], 1).flip(1)
            return z, total + log_scale.sum((1, 2, 3))

        def inverse(self, z, total):
            kept, moved = z.flip(1).chunk(2, 1)
            shift, log_scale = self.parameters_at(kept)
            x = torch.cat([kept, (moved - shift) * torch.exp(-log_scale)], 1)
            return x, total - log_scale.sum((1, 2, 3))

    return Block()


def make_model(torch, mode, depth):
    """`(modules, function of x and total)`."""
    nn = torch.nn
    if mode == "freia":
        from FrEIA import framework, modules

        model = framework.SequenceINN(12, 16, 16)
        for _ in range(depth):
            model.append(modules.AllInOneBlock, subnet_constructor=convnet)
        return model, lambda x, total: model(x)
    blocks = nn.ModuleList([make_block(torch) for _ in range(depth)])
    if mode == "memcnn":
        import memcnn

        blocks = nn.ModuleList([memcnn.InvertibleModuleWrapper(fn=block) for block in blocks])

    def run(x, total):
        for block in blocks:
            if mode == "torch-checkpoint":
                x, total = torch.utils.checkpoint.checkpoint(block, x, total, use_reentrant=False)
            else:
                x, total = block(x, total)
        return x, total

    return blocks, run


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("depth", type=int)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--shape", type=int, nargs=3, default=[16, 16, 12])
    args = parser.parse_args()
    answers = claim_output()
    import torch
    import torch.utils.checkpoint

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    built, _, (model, run) = timed(lambda: make_model(torch, args.mode, args.depth))
    scale = torch.nn.Parameter(torch.ones(()))
    optimizer = torch.optim.Adam([scale, *(p for p in model.parameters() if p.requires_grad)], 1e-5)
    height, width, channels = args.shape
    data = torch.randn(args.batch, channels, height, width)

    def train():
        optimizer.zero_grad()
        # In memcnn the input of a block is freed: it must not be the data itself.
        z, log_det = (data * scale, torch.zeros(args.batch) * scale) if args.depth == 0 else run(data * scale, zeros() * scale)
        loss = ((z**2).sum((1, 2, 3)) / 2 - log_det).mean()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    def zeros():
        return torch.zeros(args.batch)

    steps = [timed(train) for _ in range(args.steps + 1)]
    result = {
        "mode": args.mode,
        "depth": args.depth,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "build_seconds": built,
        "first_step_seconds": steps[0][0],
        "first_step_cpu": steps[0][1],
        "step_seconds": statistics.median(s[0] for s in steps[1:]),
        "step_cpu": statistics.median(s[1] for s in steps[1:]),
        "loss": steps[-1][2],
    }
    answers.write(json.dumps(result) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
