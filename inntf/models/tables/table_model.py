"""A density of the rows of a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.core import Block
from inntf.core.arguments import checked_count
from inntf.core.errors import explain
from inntf.models import argument_checks as check
from inntf.models.density_model import DensityModel
from inntf.models.flow import Flow
from inntf.models.tables.architectures import ARCHITECTURES, TableFlow
from inntf.models.tables.columns import TableColumns
from inntf.models.tables.read_table import is_table

_ROWS_AT_ONCE = 8192


@keras.saving.register_keras_serializable("inntf")
class TableModel(DensityModel):
    r"""A `DensityModel` that takes and gives tables: `fit(table)`, `log_prob(table)`, `sample(n)`.

    `log_prob` is the logarithm, in nats, of a density per unit of the real, positive, bounded and angular columns, in the
    table's own units, and of a probability of the integer and categorical ones:

    $$ p(a, k) = \int_{[0, 1)^m} q(a, k + u)\, du \approx \frac1S \sum_{s=1}^S q(a, k + u_s), \quad u_s \sim U[0, 1)^m $$

    with `S = draws`.  Without integers and categories it is exact.  With them it is an estimate whose mean is a lower bound of
    `log p`, and comes closer with more draws.  Where data lie on a bound, the model's range goes half a step of theirs beyond
    it, and a share of its mass may lie there.

    Args:
        flow: over encoded rows, `(columns,)`.
        columns: `TableColumns`, or their configuration.
        event_shape, condition_shape, condition_network, data_init, regularizers, name: as in `DensityModel`.

    Source: inntf; Theis et al., "A note on the evaluation of generative models" (2016), section 3.1, for the bound; Burda et
    al., "Importance Weighted Autoencoders" (2016), for the draws.

    Example:
        >>> table = {"height": np.random.default_rng(0).normal(170, 10, 256), "sort": ["a", "b"] * 128}
        >>> model = table_flow(table, depth=2, hidden=(16,), seed=0)
        >>> model.initialize(table).log_prob(table).shape, sorted(set(model.sample(50, seed=1)["sort"].tolist()))
        (TensorShape([256]), ['a', 'b'])
    """

    def __init__(self, flow: Flow | Block, *, columns: TableColumns | Mapping[str, Any], **kwargs: Any):
        super().__init__(flow, **kwargs)
        if not isinstance(columns, TableColumns):
            columns = TableColumns.from_config(columns)
        if tuple(self.flow.event_shape) != (len(columns),):
            received = f"a flow on events of shape {tuple(self.flow.event_shape)}"
            raise ValueError(explain("TableModel", received=received, expected=f"({len(columns)},), a number a column"))
        object.__setattr__(self, "columns", columns)  # plain data: nothing for Keras to track

    def encoded(self, table: Any) -> Any:
        """The rows of a table as an array of the flow's dtype; anything else as it is."""
        return self.columns.encode(table).astype(self.flow.dtype.as_numpy_dtype) if is_table(table) else table

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:  # type: ignore[override]
        """Keras' `fit`, of a table; `validation_data` may be a table, too."""
        held = kwargs.get("validation_data")
        if is_table(held):
            kwargs["validation_data"] = (self.encoded(held),)
        elif isinstance(held, tuple | list) and held:  # Keras' own form
            kwargs["validation_data"] = (self.encoded(held[0]), *held[1:])
        return super().fit(self.encoded(x), *args, **kwargs)

    def evaluate(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Keras' `evaluate`, of a table."""
        return super().evaluate(self.encoded(x), *args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """`log_prob` of a table as an array, batch by batch, with one draw."""
        return super().predict(self.encoded(x), *args, **kwargs)

    def initialize(self, inputs: Any) -> TableModel:
        """Data-dependent initialization on a table."""
        return super().initialize(self.encoded(inputs))

    def log_prob(self, x: Any, condition: Any = None, *, draws: int = 1) -> tf.Tensor:
        """`log p` of each row of a table (or of encoded rows), `(n,)`; see the class for what the number is.

        Args:
            x: the table.
            condition: of the flow, if it has one.
            draws: of the noise within the levels of integers and categories.

        Raises:
            ValueError: for rows that do not fit the columns, or less than one draw.
        """
        checked_count("log_prob", draws=draws)
        x = self._cast(self.encoded(x))
        several = draws if self.columns.discrete else 1
        if condition is not None or x.shape.rank != 2 or not x.shape[0]:
            found = tf.stack([super(TableModel, self).log_prob(x, condition) for _ in range(several)])
        else:  # all draws are rows of one batch, as far as memory goes
            every = tf.tile(x, [several, 1])
            parts = [every[i : i + _ROWS_AT_ONCE] for i in range(0, several * x.shape[0], _ROWS_AT_ONCE)]
            found = tf.reshape(tf.concat([super(TableModel, self).log_prob(part) for part in parts], 0), [several, -1])
        return tf.reduce_logsumexp(found, 0) - math.log(several)

    def sample(self, n: int = 1, condition: Any = None, seed: Any = None, temperature: float = 1.0) -> dict[str, np.ndarray]:
        """A table of `n` rows: columns by name, with the kinds, labels and dtypes of the table that was described."""
        checked_count("sample", n=n)
        rows = super().sample(n, condition=condition, seed=seed, temperature=temperature)
        return self.columns.decode(tf.reshape(rows, [-1, len(self.columns)]).numpy())

    def get_config(self) -> dict[str, Any]:
        """That of the `DensityModel`, and the columns."""
        return {**super().get_config(), "columns": self.columns.get_config()}

    def __str__(self) -> str:
        return f"{self.name}: {self.proposal}\n{self.columns}"

    @property
    def proposal(self) -> str:
        """What the model is, in a line."""
        weights = sum(int(np.prod(w.shape)) for w in self.trainable_weights)
        loose = f"; {len(self.columns.discrete)} of them of levels, with noise within" if self.columns.discrete else ""
        return f"{weights:,} weights for {len(self.columns)} columns{loose}"


def table_flow(
    table: Any,
    kinds: Mapping[str, Any] | None = None,
    *,
    architecture: str = "spline_maf",
    depth: int = 4,
    hidden: Sequence[int] = (128, 128),
    bins: int = 16,
    bound: float = 5.0,
    seed: int = 0,
    dtype: Any = None,
    name: str = "table_flow",
) -> TableModel:
    """A model of the rows of a table, proposed from the table; `print` it to see what each column was taken for.

    Its flow: what `TableColumns.preprocessing` does, then `depth` steps, those of `spline_flow` or of [ActNorm, reversed order,
    affine MAF, ActNorm, SoftTails, spline MAF], then tails as those of `Asinh`: rows off a ridge are unlikely, not impossible.

    Angles stay on their circle: in each step couplings turn them by circular splines given all other columns (MAFs do, where
    all columns are angles), and the other columns see them by cosine and sine, so that the density closes where the circle
    does.

    Args:
        table: a mapping of names to columns, a data frame or a structured array: what the kinds and ranges are read from.
        kinds: of some columns, see `TableColumns.propose`.
        architecture: `"spline_maf"` (a masked autoregressive flow: better densities, samples column by column) or
            `"spline_coupling"` (`spline_flow`: both in one pass; two columns or more).
        depth: number of steps.
        hidden: widths of their networks.
        bins: of the splines.
        bound: half-width of the splines, in spreads of a column; the identity beyond.
        seed: of permutations and noise.
        dtype: dtype or policy of the blocks.
        name: of the model.

    Returns:
        A `TableModel`, built, to be compiled and fitted.

    Raises:
        TypeError: for something else than a table; ValueError: for columns as in `TableColumns.propose`, or arguments out of
            range.

    Source: Durkan et al., "Neural Spline Flows" (2019); Papamakarios et al., "Masked Autoregressive Flow" (2017).

    Example:
        >>> model = table_flow({"wind": [350.0, 10.0, 20.0]}, kinds={"wind": ("angle", 360)}, depth=1, hidden=(8,))
        >>> print(model.columns)
        wind: angle [0, 360); as asked for
    """
    who = "table_flow"
    check.choice(who, "architecture", architecture, ARCHITECTURES)
    check.count(who, "depth", depth, remedy="A flow needs a step.")
    hidden = check.widths(who, "hidden", hidden)
    check.count(who, "bins", bins, remedy="8 are usual.")
    check.number(who, "bound", bound, 0.0)
    check.seed(who, seed)
    columns = TableColumns.propose(table, kinds)
    first = columns.preprocessing(seed=seed, dtype=dtype)
    made = TableFlow(len(columns), columns.angles, depth, hidden, bins, bound, seed, dtype)
    return TableModel(made.flow(architecture, first), columns=columns, name=name)
