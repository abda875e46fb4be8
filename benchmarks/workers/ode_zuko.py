"""A continuous flow in PyTorch on zuko's transform, for `benchmarks.peers`: `-m benchmarks.workers.ode_zuko ode zuko`.

Dormand-Prince for the whole batch and the exact divergence, as in inntf; the adjoint equation for gradients.
"""

from __future__ import annotations

import math

from benchmarks.workers.cases import case_of, data, velocity_weights
from benchmarks.workers.loop import claim_output, libraries_loaded, timed
from benchmarks.workers.ode_accuracy import choose, ode_parser
from benchmarks.workers.tiny_steps import torch_started
from benchmarks.workers.vectors_torch import serve_model


def main():
    args = ode_parser(["zuko"]).parse_args()
    answers, case = claim_output(), case_of(args.case, args.tiny)
    torch = torch_started(args.threads)
    from torch import nn
    from zuko.transforms import FreeFormJacobianTransform

    x = torch.from_numpy(data(case))

    def network():
        layers = []
        for kernel, bias in velocity_weights(case):
            linear = nn.Linear(*kernel.shape)
            linear.weight.data.copy_(torch.from_numpy(kernel.T.copy()))
            linear.bias.data.copy_(torch.from_numpy(bias))
            layers += [linear, nn.Softplus()]
        return nn.Sequential(*layers[:-1])

    def make(tolerance):
        net = network()

        def velocity(t, y):
            return net(torch.cat([y, t.expand(y.shape[:-1])[..., None]], -1))

        return net, FreeFormJacobianTransform(
            velocity, torch.tensor(0.0), torch.tensor(1.0), phi=net.parameters(), atol=tolerance, rtol=tolerance, exact=True
        )

    def log_prob_by(transform):
        def log_prob(x):
            z, log_det = transform.call_and_ladj(x)
            return -0.5 * (z**2).sum(1) - 0.5 * case.dim * math.log(2 * math.pi) + log_det

        return log_prob

    def density(tolerance):
        with torch.no_grad():
            return log_prob_by(make(tolerance)[1])(x).numpy()

    tolerance, error = choose(density, args)
    start = libraries_loaded()
    build, _, (net, transform) = timed(lambda: make(tolerance))
    sample = lambda: transform.inv(torch.randn(case.samples, case.dim))  # noqa: E731
    round_trip = lambda x: transform.inv(transform(x))  # noqa: E731
    kept = {"tolerance": tolerance, "log_prob_error": error}
    serve_model(answers, net, log_prob_by(transform), sample, round_trip, x, args.threads, start, build, "zuko", **kept)


if __name__ == "__main__":
    main()
