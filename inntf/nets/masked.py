"""The masked network: parameters of each entry from the entries before it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.core.arguments import typed
from inntf.core.checkpointing import Checkpointed
from inntf.core.errors import explain
from inntf.core.shapes import last_size
from inntf.core.weights import read
from inntf.nets.angle_features import AngleFeatures, checked_angles, checked_entries
from inntf.nets.clip import Clip, checked_input_bound
from inntf.nets.entry_by_entry import Choose, run_entry_by_entry
from inntf.nets.follows_owner import FollowsOwner
from inntf.nets.lipschitz import NO_WEIGHTS, Bound, product, unbounded, with_activation
from inntf.nets.make_conditioner import width_of
from inntf.nets.masks import check_settings, connections, entry_degrees, given_degrees, hidden_degrees, moved_entries
from inntf.nets.remembered import remembered
from inntf.nets.slope_ranges import global_slopes
from inntf.numerics.norms.power_iteration import spectral_norm
from inntf.numerics.norms.slope_restricted import slope_restricted_norm

Shape = tuple[int | None, ...]


@keras.saving.register_keras_serializable("inntf")
class MaskedMLP(FollowsOwner, Checkpointed, keras.layers.Layer):
    r"""`out_channels` numbers for each entry of a vector, computed from the entries before it and from the condition.

    $h_1 = a(x (W_1 \circ M_1) + c V + b_1)$, $h_{l+1} = a(h_l (W_{l+1} \circ M_{l+1}) + b_{l+1})$, and the output of entry
    $i$ is $h_L (W \circ M) + b$, where the masks cut every path from an entry to itself and to entries before it in the order.
    The first entry in the order gets biases and, if there is one, what the condition makes; the condition is seen by
    all.  With a last layer of zeros an autoregressive block starts as the identity.

    Angles among the entries are seen by their cosine and sine, as functions on the circle are (`angles`).  Entries that a
    block is to leave where they are, seen by the others like the identity part of a coupling, get zeros (`identity`).

    Any width works.  A layer narrower than the number of entries cannot keep them all apart, so some entries do not see
    their nearest predecessors; `direct=True` adds a masked linear path that lets each see all.

    The network computes in its variable dtype under a mixed policy too: entry by entry the sums are taken in another order,
    and a difference of 16 bits between the two ways would part the inverse from the forward map.

    Args:
        out_channels: numbers for each entry; `None` lets the block set it (and the dtype, where none is given).
        hidden: widths of the hidden layers, at least one.
        activation: Keras activation of the hidden layers.
        residual: each hidden layer after the first adds its input; needs equal widths.
        direct: a masked linear path from the entries to the outputs.
        ordering: `"left-to-right"`, `"right-to-left"`, `"random"`, or the place of each entry, from 1 on.
        hidden_degrees: `"sequential"` (spread evenly), `"random"`, or those of each layer, from 0 to `dim - 1`.
        seed: of random orders and degrees.
        zero_last: whether the last layer (and the direct path) starts at zero; otherwise Glorot uniform.
        angles: which entries are angles in radians, seen by their cosine and sine (`AngleFeatures`); `True` for all.
        input_bound: half-width of the interval that entries are clipped to where others see them (`Clip`); not the condition.
        identity: which entries get zeros, at which splines and affine maps are the identity (not those by `SigmoidScale`).

    Call arguments: `x` `(batch, dim)`, and `condition` `(batch, width)` if it was built with one.  Returns
    `(batch, dim, out_channels)`.

    Raises:
        ValueError: for widths, orders or degrees that make no such network, angles or identity entries that are none of the
            entries, a bound that is none, or if built before `out_channels` is known.

    Source: Germain et al., "MADE: Masked Autoencoder for Distribution Estimation" (2015); residual layers: Nash & Durkan,
        "Autoregressive Energy Machines" (2019); angles: Rezende et al., "Normalizing Flows on Tori and Spheres" (2020), 2.2.

    Example:
        >>> net = MaskedMLP(2, hidden=(8,), zero_last=False)
        >>> same = net(tf.constant([[1.0, 2.0, 3.0]]))[:, :2] == net(tf.constant([[1.0, 5.0, 6.0]]))[:, :2]
        >>> bool(tf.reduce_all(same))  # the second entry does not see itself, nor the third
        True
    """

    @typed
    def __init__(
        self,
        out_channels: int | None = None,
        *,
        hidden: Sequence[int] = (128, 128),
        activation: Any = "relu",
        residual: bool = False,
        direct: bool = False,
        ordering: str | Sequence[int] = "left-to-right",
        hidden_degrees: str | Sequence[Sequence[int]] = "sequential",
        seed: int | None = 0,
        zero_last: bool = True,
        angles: Any = False,
        identity: Sequence[int] = (),
        input_bound: float | None = None,
        **kwargs: Any,
    ):
        hidden = tuple(int(n) for n in hidden)
        check_settings(hidden, residual, ordering, hidden_degrees)
        super().__init__(**{**kwargs, "autocast": False})
        self.out_channels = out_channels
        self.hidden = hidden
        self.activation = keras.activations.get(activation)
        self.residual, self.direct, self.zero_last = bool(residual), bool(direct), bool(zero_last)
        self.ordering = ordering if isinstance(ordering, str) else [int(i) for i in ordering]
        named = isinstance(hidden_degrees, str)
        self.hidden_degrees = hidden_degrees if named else [[int(i) for i in degrees] for degrees in hidden_degrees]
        self.seed = seed
        self.angles = angles if isinstance(angles, bool) else checked_angles(self.name, angles)
        self.identity = checked_entries(self.name, "identity", identity)
        self.input_bound = checked_input_bound(self.name, input_bound, self.angles)

    def build(self, x_shape: Shape, condition_shape: Shape | None = None) -> None:
        """Make the masks and the weights."""
        numbers, dim = width_of(self), last_size(x_shape)
        self.dim = dim
        self.degrees = entry_degrees(dim, self.ordering, self.seed)
        self.features = None
        if self.angles is not False:
            self.features = AngleFeatures(None if self.angles is True else self.angles, dtype=self.variable_dtype)
            self.features.build((None, dim))
        self.clip = None if self.input_bound is None else Clip(self.input_bound, dtype=self.variable_dtype)
        if self.clip is not None:
            self.clip.build((None, dim))
        inputs = self.degrees if self.features is None else self.features.of_features(self.degrees)
        rng = np.random.default_rng(None if self.seed is None else [1, self.seed])
        lowest = 0 if condition_shape is not None or dim == 1 else 1  # without a condition a unit of degree 0 is a constant
        self.unit_degrees: list[np.ndarray] = []
        for i, width in enumerate(self.hidden):
            if i and self.residual:
                self.unit_degrees.append(self.unit_degrees[0])
                continue
            if not isinstance(self.hidden_degrees, str):
                self.unit_degrees.append(given_degrees(self.hidden_degrees[i], dim))
                continue
            floor = int(self.unit_degrees[-1].min()) if i else lowest
            self.unit_degrees.append(hidden_degrees(width, floor, dim, self.hidden_degrees, rng))
        ends = np.repeat(self.degrees, numbers)
        moved = np.repeat(moved_entries(self.name, self.identity, dim), numbers)
        layers = [inputs, *self.unit_degrees]
        self.masks = [connections(a, b) for a, b in itertools.pairwise(layers)]
        self.masks.append(connections(layers[-1], ends, strict=True) * moved)
        self.last_bias_mask = None if moved.all() else moved
        last = "zeros" if self.zero_last else "glorot_uniform"
        starts = ["glorot_uniform"] * len(self.hidden) + [last]
        self.kernels = [
            self._weight(f"kernel_{i}", m.shape, s) for i, (m, s) in enumerate(zip(self.masks, starts, strict=True))
        ]
        self.biases = [self._weight(f"bias_{i}", m.shape[1:], "zeros") for i, m in enumerate(self.masks)]
        self.condition_kernel = self.direct_kernel = None
        if condition_shape is not None:
            self.condition_kernel = self._weight(
                "condition_kernel", (last_size(condition_shape), self.hidden[0]), "glorot_uniform"
            )
        if self.direct:
            self.direct_mask = connections(inputs, ends, strict=True) * moved
            self.direct_kernel = self._weight("direct_kernel", self.direct_mask.shape, last)

    def _weight(self, name: str, shape: tuple[int, ...], initializer: str) -> keras.Variable:
        return self.add_weight(shape=shape, initializer=initializer, autocast=False, name=name)

    def masked_kernels(self) -> list[tf.Tensor]:
        """The kernels with zeros where the mask is zero."""
        return [_masked(k, m) for m, k in zip(self.masks, self.kernels, strict=True)]

    def masked_direct_kernel(self) -> tf.Tensor | None:
        """The same of the direct path, `None` without one."""
        if self.direct_kernel is None:
            return None
        return _masked(self.direct_kernel, self.direct_mask)

    def masked_biases(self) -> list[tf.Tensor]:
        """The biases, the last one with zeros for entries that are to stay."""
        *first, last = (read(bias) for bias in self.biases)
        mask = self.last_bias_mask
        return [*first, last if mask is None else last * tf.constant(mask, last.dtype)]

    def seen(self, x: tf.Tensor) -> tf.Tensor:
        """What the first layer and the direct path multiply: the entries, clipped or not, or their features."""
        x = x if self.clip is None else self.clip(x)
        return x if self.features is None else self.features(x)

    def first_inputs(self, condition: Any) -> tf.Tensor:
        """What the first hidden layer gets besides the entries: bias and condition, `(hidden,)` or `(batch, hidden)`."""
        bias = read(self.biases[0])
        if (condition is None) != (self.condition_kernel is None):
            raise ValueError(
                explain(
                    self.name,
                    received="no condition" if condition is None else "a condition",
                    expected="none" if self.condition_kernel is None else "the condition it was built with",
                    remedy="Pass the condition at the first call and at all later ones, or at none.",
                )
            )
        if condition is None:
            return bias
        return bias + tf.cast(condition, bias.dtype) @ read(self.condition_kernel)

    def call(self, x: Any, condition: Any = None) -> tf.Tensor:
        """All entries at once."""
        return tf.reshape(self._run(x, condition, lambda weight: weight), [-1, self.dim, self.out_channels])

    def channel_by_channel(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, ...]:
        """As `call`, each of the `out_channels` numbers of all entries by itself, `(batch, dim)`.

        The last weights are put into that order rather than the output, of which there are more.
        """

        def ordered(weight: tf.Tensor) -> tf.Tensor:
            apart = tf.reshape(weight, [*weight.shape[:-1], self.dim, self.out_channels])
            return tf.reshape(tf.linalg.matrix_transpose(apart), weight.shape)

        return tuple(tf.split(self._run(x, condition, ordered), self.out_channels, -1))

    def _run(self, x: Any, condition: Any, ordered: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
        x = h = self.seen(tf.cast(x, self.variable_dtype))
        *kernels, last = self.masked_kernels()
        biases = self.masked_biases()
        for i, kernel in enumerate(kernels):
            out = self.activation(h @ kernel + (biases[i] if i else self.first_inputs(condition)))
            h = h + out if i and self.residual else out
        out = h @ ordered(last) + ordered(biases[-1])
        return out + x @ ordered(self.masked_direct_kernel()) if self.direct else out

    def entry_by_entry(self, choose: Choose, given: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Let a function choose one entry after the other, each from the output that the entries before it determine.

        Every unit is computed once, so all entries together cost about one evaluation of the network.

        Args:
            choose: `(given[i], output[i]) -> (entry, extra)`, of `(batch,)` and `(batch, out_channels)`; both it returns are
                `(batch,)`.
            given: `(batch, dim)`, handed over entry by entry.
            condition: `(batch, width)`, if built with one.

        Returns:
            The entries and the extras, `(batch, dim)` each.
        """
        return run_entry_by_entry(self, choose, tf.cast(given, self.variable_dtype), condition)

    def lipschitz_bound(self) -> Bound:
        """Certified `(bound, reason)` with respect to `x`, for any fixed condition."""
        if not self.built:
            return unbounded(self, NO_WEIGHTS)
        kernels = [np.asarray(k, np.float64) for k in self.masked_kernels()]
        norms = [spectral_norm(kernel) for kernel in kernels]
        parts = []
        for i, norm in enumerate(norms[:-1]):
            bound, reason = with_activation(self, norm, self.activation)
            parts.append((bound + 1 if i and self.residual else bound, reason))
        bound, reason = product([*parts, with_activation(self, norms[-1], None)])
        slopes = global_slopes(self.activation)
        if slopes is not None and math.isfinite(bound) and not self.residual:
            bound = min(bound, remembered(slope_restricted_norm, kernels, [slopes] * len(self.hidden)))
        if self.direct:
            bound += spectral_norm(np.asarray(self.masked_direct_kernel(), np.float64))
        return bound, reason  # in radians features move no farther than angles

    def compute_output_shape(self, x_shape: Shape, condition_shape: Shape | None = None) -> Shape:
        """`(batch, dim, out_channels)`."""
        return (*x_shape, self.out_channels)

    def compute_output_spec(self, x: Any, condition: Any = None, **kwargs: Any) -> keras.KerasTensor:
        """The output's shape, in the dtype of the weights also under a policy of mixed precision: `call` computes in it."""
        return keras.KerasTensor(self.compute_output_shape(x.shape), dtype=self.variable_dtype)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        config = super().get_config()
        config.pop("autocast", None)
        shape = ("out_channels", "residual", "direct", "ordering", "hidden_degrees", "seed", "zero_last")
        names = (*shape, "angles", "identity", "input_bound")
        own: dict[str, Any] = {name: getattr(self, name) for name in names}
        activation: Callable = self.activation
        return {**config, **own, "hidden": list(self.hidden), "activation": keras.activations.serialize(activation)}


def _masked(kernel: keras.Variable, mask: np.ndarray) -> tf.Tensor:
    # A mask of booleans is a quarter of the bytes in an exported graph.
    return read(kernel) * tf.cast(tf.constant(mask.astype(bool)), kernel.dtype)
