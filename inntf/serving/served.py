"""What of a model is served: the block, and what is around it."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import tensorflow as tf

from inntf.compose.chain import Chain
from inntf.compose.runs import runs_as_loops
from inntf.core import Block
from inntf.core.errors import explain
from inntf.core.random_states import random_states
from inntf.core.shapes import Shape, built_shape
from inntf.models.flow import Flow
from inntf.models.invertible_autoencoder import InnAutoencoder
from inntf.models.invertible_classifier import IResNetClassifier
from inntf.models.tables import TableColumns, TableModel
from inntf.stability.find_block import find_subject


@dataclasses.dataclass(frozen=True)
class Served:
    """What of a model is served: the block, and what is around it, if anything.

    Attributes:
        block: the block, built.
        computed: what is traced in its place: the same map, off replicas, blocks that iterate and are alike as loops, whose
            graph is smaller.
        flow: the flow, of what is computed; `None` where the model has a block without a density.
        classifier: the classifier around the block, if it is one.
        autoencoder: the autoencoder around the block, if it is one.
        condition_shape: shape of one condition as the caller passes it, before a condition network.
        kind: name of the model's class.
        name: the model's own name.
        columns: of a table, where that is what the model knows the density of.
        steps: how many steps the model's optimizer has made; `None` where there is no optimizer to ask.
    """

    block: Block
    computed: Block
    flow: Flow | None
    classifier: IResNetClassifier | None
    autoencoder: InnAutoencoder | None
    condition_shape: Shape | None
    kind: str
    name: str
    columns: TableColumns | None
    steps: int | None

    @classmethod
    def of(cls, model: Any, *, loops: bool = True) -> Served:
        """Look into a `Flow`, a `Block`, or whatever holds one, see `inntf.stability.find_block`.

        Args:
            model: see above.
            loops: whether blocks that are alike may become loops, through which a loaded model has no gradients.

        Raises:
            TypeError: for anything else; ValueError: for a block that is not built, several blocks, or a flow that cannot be
            served.
        """
        subject = find_subject(model)
        flow = subject if isinstance(subject, Flow) else None
        block = subject if flow is None else flow.block
        if not block.built:
            raise ValueError(
                explain(
                    "export",
                    received=f"{block.name}, which is not built",
                    expected="a model that knows its event shape",
                    remedy="Call it once on data, or ensure_built(event_shape).",
                )
            )
        if flow is not None and flow.base.batch_shape.rank != 0:
            raise ValueError(
                explain(
                    "export",
                    received=f"{flow.name}, a batch of distributions of shape {flow.base.batch_shape}",
                    expected="one distribution",
                    remedy="Wrap the base in tfd.Independent, or make one flow of each.",
                )
            )
        alone = _on_one_device(block)
        computed = runs_as_loops(alone) if loops and isinstance(alone, Chain) and alone.iterates else alone
        return cls(
            block,
            computed,
            flow if flow is None or computed is block else flow.copy(block=computed),
            model if isinstance(model, IResNetClassifier) else None,
            model if isinstance(model, InnAutoencoder) else None,
            _condition_shape(block, flow),
            type(model).__name__,
            str(getattr(model, "name", None) or type(model).__name__),
            model.columns if isinstance(model, TableModel) else None,
            _steps(model),
        )

    @property
    def dtype(self) -> str:
        """Dtype of values."""
        return self.block.variable_dtype

    @property
    def x_shape(self) -> Shape:
        """Shape of one `x`."""
        return built_shape(self.block.event_shape)

    @property
    def z_shape(self) -> Shape:
        """Shape of one `z`."""
        return built_shape(self.block._z_event_shape)

    def embed(self, condition: tf.Tensor | None) -> tf.Tensor | None:
        """What the block gets for a condition."""
        return condition if self.flow is None else self.flow.embed(condition)

    @property
    def default(self) -> str:
        """The signature that answers where none is named."""
        holders = {"log_prob": self.flow, "classify": self.classifier, "reconstruct": self.autoencoder}
        return next((name for name, holder in holders.items() if holder is not None), "forward")

    @property
    def subject(self) -> Block | Flow | InnAutoencoder:
        """What knows where the model's own samples come from: the flow or the autoencoder, or the block alone."""
        return next((holder for holder in (self.flow, self.autoencoder) if holder is not None), self.block)


def _on_one_device(block: Block) -> Block:
    """The block, or a copy where replicas hold the states by which it draws: TensorFlow saves no graph that assigns those."""
    states = random_states(block)
    if not any(isinstance(state.value, tf.distribute.DistributedValues) for state in states):
        return block
    copy = block.copy()
    for own, state in zip(random_states(copy), states, strict=True):
        own.assign(state.numpy())
    return copy


def _condition_shape(block: Block, flow: Flow | None) -> Shape | None:
    if flow is None or flow.condition_network is None:
        return block.condition_shape
    shape = flow.conditions.shape
    if shape is None:
        shape = _built_for(flow.condition_network)
    if shape is None:
        raise ValueError(
            explain(
                "export",
                received=f"{flow.name}, with a condition network and no condition_shape",
                expected="to know the shape of conditions before the network",
                remedy="Make the Flow with condition_shape=..., or call it once.",
            )
        )
    return tuple(shape)


def _built_for(network: keras.layers.Layer) -> Shape | None:
    """Shape of one input of a layer, from the shape that Keras built it with."""
    if not network.built:
        return None
    given = (network.get_build_config() or {}).get("input_shape") or getattr(network, "input_shape", None)
    if not isinstance(given, list | tuple) or any(isinstance(size, list | tuple) for size in given):
        return None  # a network of several inputs
    return tuple(given[1:])


def _steps(model: Any) -> int | None:
    optimizer = getattr(model, "optimizer", None)
    return None if optimizer is None else int(keras.ops.convert_to_numpy(optimizer.iterations))
