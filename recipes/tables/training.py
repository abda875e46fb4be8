"""Train a model of a table, from its newest checkpoint if there is one."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from inntf.models import TableModel, table_flow
from inntf.stability import weakest_block
from recipes.common.errors import as_user_error
from recipes.common.experiment import Run
from recipes.common.keras_fit import fit_in_segments
from recipes.common.schedule import warm_cosine
from recipes.common.tensorboard import Summaries
from recipes.common.watch import Watch
from recipes.tables.data import Split
from recipes.tables.settings import Config


def train(
    name: str, architecture: str, data: Split, config: Config, run: Run, steps: int, kinds: dict[str, Any] | None = None
) -> tuple[TableModel, list[dict[str, float]]]:
    """The trained model and the looks at it: the mean log-density of validation rows, in the table's units."""
    keras.utils.set_random_seed(config.seed)
    table = data.table(data.noisy(data.train, config.seed + 404))
    with run.strategy.scope(), as_user_error():
        model = table_flow(
            table, kinds, architecture=architecture, depth=config.depth, hidden=config.hidden, seed=config.seed, name=name
        )
        model.compile(keras.optimizers.Adam(warm_cosine(config.rate, steps), global_clipnorm=5.0))
        model.optimizer.build(model.trainable_variables)  # else no checkpoint holds its moments
    print(model, flush=True)
    model.initialize(table)
    validation = data.table(data.validation)

    def look(step: int, losses: dict[str, float], board: Summaries) -> dict[str, float]:
        numbers = {**losses, "validation_nats": float(np.mean(model.log_prob(validation)))}
        board.scalars(step, numbers, prefix="tables")
        return numbers

    parts = {"model": model.variables, "optimizer": model.optimizer, "diagnose": lambda: weakest_block(model)}
    options = {"weights": model.weights, "trained": model.trainable_weights, "remedy": "Lower --rate."}
    watch = Watch(run.folder, name, look=look, **options, **parts)
    start = watch.restore()

    def batches(first: int) -> Any:
        return data.batches(config, first).map(lambda rows: encoded(model, rows))

    fit_in_segments(model, name, batches, start, steps, config.log_every, watch)
    return model, watch.finish()


def encoded(model: TableModel, rows: Any) -> Any:
    """Rows of a table without integers and categories as the model takes them: angles within their circle."""
    columns = []
    for i, column in enumerate(model.columns.columns):
        x = rows[:, i]
        columns.append((x - column.low) % column.period if column.period else x)
    return keras.ops.stack(columns, 1)
