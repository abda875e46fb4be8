"""A posterior flow whose samples are weighted by a flow of the likelihood: two views of the same simulations."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from recipes.inverse_problems.coordinates import Coordinates
from recipes.inverse_problems.methods.method import Method
from recipes.inverse_problems.methods.spline_maf import ConditionalSplineMaf

_ROWS = 40_000  # candidates in memory at once
POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)

LogPrior = Callable[[tf.Tensor], tf.Tensor]


class LikelihoodFlow(keras.Model):
    """`log p(y | x)`: a spline MAF of y given x, or of each of its independent draws.

    Args:
        dim_x, dim_y, weights_wanted: as in `Method`.
        draws: independent draws in y given x.
        depth: of the flow.
    """

    def __init__(self, dim_x: int, dim_y: int, weights_wanted: int, draws: int = 1, depth: int = 3):
        super().__init__()
        self.draws, self.each = draws, dim_y // draws
        self.dim_x = dim_y  # what the loss is divided by
        self.flow = ConditionalSplineMaf(self.each, dim_x, weights_wanted, depth, squash=True)

    def log_prob(self, y: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """`(n,)`."""
        single = self.flow.log_prob(*self._draws(y, x))
        return tf.reduce_sum(tf.reshape(single, [-1, self.draws]), -1)

    def objective(self, x: tf.Tensor, y: tf.Tensor, seed: tf.Tensor, progress: tf.Tensor) -> tf.Tensor:
        """Mean negative log-likelihood, nats per entry of y."""
        return -tf.reduce_mean(self.log_prob(y, x)) / (self.draws * self.each)

    def prepare(self, x: tf.Tensor, y: tf.Tensor) -> None:
        """The regression of y on x."""
        self.flow.prepare(*self._draws(y, x))

    def finish(self) -> None:
        """Nothing."""

    def _draws(self, y: tf.Tensor, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.reshape(y, [-1, self.each]), tf.repeat(x, self.draws, axis=0)


class ResampledFlow(Method):
    r"""Candidates `x_k ~ q(x | y)` of a mixture of posterior flows; one of them by `w_k = (p(x_k) l(y | x_k) / q(x_k | y))^b`.

    q is trained on x given y and l, a mixture of `LikelihoodFlow`s, on y given x, each on all simulations; `p(x)` is the
    prior's density.  Where l were the likelihood and candidates many, `b = 1` gives the posterior whatever q is; `b = 0`
    gives q.  `tune` takes the power that has the largest likelihood on held-out simulations, for l has errors, too.

    Args:
        dim_x, dim_y, weights_wanted: as in `Method`; the weights are shared among the flows.
        log_prior: of x in model coordinates.
        draws: independent draws in y given x.
        members: flows in each mixture.
        candidates: for each sample, a multiple of the members.
        depth: of each flow.

    Source: sampling-importance resampling: Rubin (1988); likelihood surrogates: Papamakarios et al., "Sequential Neural
    Likelihood" (2019); mixtures of trainings: Hermans et al., "A crisis in simulation-based inference?" (2022).
    """

    title = "spline MAF, resampled"
    likelihood = True
    has_density = True

    def __init__(
        self,
        dim_x: int,
        dim_y: int,
        weights_wanted: int,
        *,
        log_prior: LogPrior,
        draws: int = 1,
        members: int = 1,
        candidates: int = 32,
        depth: int = 3,
    ):
        super().__init__(dim_x, dim_y, weights_wanted)
        share = weights_wanted // (2 * members)
        self.posteriors = [ConditionalSplineMaf(dim_x, dim_y, share, depth, draws=draws) for _ in range(members)]
        self.likelihoods = [LikelihoodFlow(dim_x, dim_y, share, draws, depth) for _ in range(members)]
        self.power = self.add_weight(shape=(), initializer="ones", trainable=False, name="power")
        self.candidates, self.log_prior = candidates, log_prior

    @classmethod
    def of(cls, coordinates: Coordinates, weights_wanted: int, **options: int) -> ResampledFlow:
        """With the prior and the draws of a problem."""
        problem = coordinates.problem

        def log_prior(v: tf.Tensor) -> tf.Tensor:
            return problem.log_prior(coordinates.parameters(v, rounded=False)) + coordinates.log_slope(v)

        return cls(problem.dim_x, problem.dim_y, weights_wanted, log_prior=log_prior, draws=problem.draws, **options)

    def parts(self) -> dict[str, keras.Model]:
        """What is trained one after the other."""
        named = {f"posterior {i + 1}": flow for i, flow in enumerate(self.posteriors)}
        return named | {f"likelihood {i + 1}": flow for i, flow in enumerate(self.likelihoods)}

    def prepare(self, x: tf.Tensor, y: tf.Tensor) -> None:
        """Each part's."""
        for part in self.parts().values():
            part.prepare(x, y)

    def objective(self, x: tf.Tensor, y: tf.Tensor, seed: tf.Tensor, progress: tf.Tensor) -> tf.Tensor:
        """The sum of the parts'."""
        return tf.add_n([part.objective(x, y, seed, progress) for part in self.parts().values()])

    def tune(self, x: tf.Tensor, y: tf.Tensor, seed: int, powers: tuple[float, ...] = POWERS) -> dict[float, float]:
        """Set the power by held-out pairs; returns the mean negative log-likelihood of each."""
        both = tf.function(lambda x, y, s: self._candidate_weights(y, s)[1:] + self._weight(x, y), autograph=False)
        # Candidates by the row, so that memory does not grow with the pairs.
        step = max(1, _ROWS // self.candidates)
        parts = [both(x[i : i + step], y[i : i + step], tf.constant([seed, i])) for i in range(0, len(x), step)]
        of_candidates, weight, log_q = (np.concatenate(p) for p in zip(*parts, strict=True))
        found = {}
        for power in powers:
            normalizer = _log_mean_exp(tf.constant(power * of_candidates), -1).numpy()
            found[power] = float(np.mean(normalizer - power * weight - log_q))
        self.power.assign(min(found, key=found.get))
        return found

    def log_prob(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """`log q + log w - log mean_k w_k`: the normalizer is an estimate by as many candidates as a sample has."""
        weight, log_q = self._weight(x, y)
        of_candidates = self._candidate_weights(y, tf.constant([0, 0]))[1]
        return log_q + self.power * weight - _log_mean_exp(self.power * of_candidates, -1)

    def sample_posterior(self, y: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """One of the candidates of each row."""
        rows = max(1, _ROWS // self.candidates)
        n = tf.shape(y)[0]
        turns = (n + rows - 1) // rows
        padded = tf.pad(y, [[0, turns * rows - n], [0, 0]])

        def turn(i: tf.Tensor) -> tf.Tensor:
            seeds = tf.random.split(tf.random.fold_in(seed, i), 2)
            x, weights = self._candidate_weights(padded[i * rows : (i + 1) * rows], seeds[0])
            gumbel = -tf.math.log(-tf.math.log(tf.random.stateless_uniform(tf.shape(weights), seeds[1], 1e-7, 1.0)))
            chosen = tf.argmax(self.power * weights + gumbel, axis=-1)
            return tf.gather(x, chosen, axis=1, batch_dims=1)

        out = tf.map_fn(turn, tf.range(turns), fn_output_signature=tf.TensorSpec([rows, self.dim_x]), parallel_iterations=1)
        return tf.reshape(out, [-1, self.dim_x])[:n]

    def _candidate_weights(self, y: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # (n, k, dim x) and the logarithms of their weights at b = 1, (n, k); each member draws as many.
        each = self.candidates // len(self.posteriors)
        many = tf.repeat(y, each, axis=0)
        seeds = tf.random.split(seed, len(self.posteriors))
        drawn = [q.sample_posterior(many, seeds[i]) for i, q in enumerate(self.posteriors)]
        x = tf.concat([tf.reshape(d, [-1, each, self.dim_x]) for d in drawn], axis=1)
        weight, _ = self._weight(tf.reshape(x, [-1, self.dim_x]), tf.repeat(y, self.candidates, axis=0))
        return x, tf.reshape(weight, [-1, self.candidates])

    def _weight(self, x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        log_q = _log_mean_exp(tf.stack([q.log_prob(x, y) for q in self.posteriors], -1), -1)
        log_l = _log_mean_exp(tf.stack([flow.log_prob(y, x) for flow in self.likelihoods], -1), -1)
        return self.log_prior(x) + log_l - log_q, log_q


def _log_mean_exp(a: tf.Tensor, axis: int) -> tf.Tensor:
    return tf.reduce_logsumexp(a, axis) - tf.math.log(tf.cast(tf.shape(a)[axis], a.dtype))
