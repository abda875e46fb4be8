"""Models that take regularizers of their block: computed in training steps, added to the loss, reported as metrics."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from inntf.core import Block
from inntf.core.errors import explain
from inntf.core.protocols import Regularizes
from inntf.core.whole_batch import several_replicas


class Regularized:
    """Mixin of a keras.Model around a block: `regularizers=[...]`, objects of `inntf.stability`.

    In training steps each is added to the loss and its mean over the steps at which it applied is reported under its name;
    in `evaluate`, and so in `val_loss`, none is computed.  The step is that of the optimizer; without one, in a loop of your
    own around `model(x, training=True)` and `model.losses`, every step counts.

    A model calls `set_regularizers` in its constructor and `regularize` in its `call`.
    """

    regularizers: Sequence[Regularizes] = ()

    def set_regularizers(self, regularizers: Sequence[Regularizes]) -> None:
        """Keep them, and make their metrics.

        Raises:
            TypeError: for what is no regularizer of a block; ValueError: for two of one name.
        """
        found = [regularizers] if isinstance(regularizers, Regularizes) else list(regularizers)
        for one in found:
            if not isinstance(one, Regularizes):
                raise TypeError(
                    explain(
                        f"{type(self).__name__}, regularizers",
                        received=repr(one),
                        expected="objects of inntf.stability, such as FiniteDifferences(0.03)",
                        remedy="Keras' own regularizers belong to the layers: Dense(kernel_regularizer=...).",
                    )
                )
        names = [one.name for one in found]
        if len(set(names)) < len(names):
            raise ValueError(
                explain(f"{type(self).__name__}, regularizers", received=f"the names {names}", expected="each once: name=")
            )
        self.regularizers = tuple(found)
        self._regularizer_metrics = [keras.metrics.Mean(name=name) for name in names]

    def regularize(
        self, block: Block, x: tf.Tensor, condition: tf.Tensor | None, outputs: tuple[tf.Tensor, tf.Tensor | None]
    ) -> None:
        """Within `call`, in training: add every term to the losses of the model and to its metric."""
        optimizer = getattr(self, "optimizer", None)
        for one, metric in zip(self.regularizers, self._regularizer_metrics, strict=True):
            step = 0 if optimizer is None else tf.convert_to_tensor(optimizer.iterations)
            term, applies = one(block, x, condition, step=step, outputs=outputs), one.applies(step)
            if several_replicas() is None:
                self.add_loss(term)
            else:
                _terms_of(self).append(term)
            metric.update_state(tf.stop_gradient(term), sample_weight=tf.cast(applies, term.dtype))

    def _get_own_losses(self) -> list[Any]:
        return [*super()._get_own_losses(), *_terms_of(self)]

    def _clear_losses(self) -> None:
        super()._clear_losses()
        _terms_of(self).clear()

    @property
    def wants_log_det(self) -> bool:
        """Whether any of them can use the log-determinant of the step's own pass."""
        return any(one.needs_log_det for one in self.regularizers)

    def test_step(self, data: Any) -> Any:
        """Keras' own; means of the regularizers, which were not computed, are no result."""
        found = super().test_step(data)
        return {name: value for name, value in found.items() if name not in {one.name for one in self.regularizers}}

    def regularizers_config(self) -> dict[str, Any]:
        """What `get_config` adds: nothing where there are none."""
        if not self.regularizers:
            return {}
        return {"regularizers": [keras.saving.serialize_keras_object(one) for one in self.regularizers]}

    @staticmethod
    def regularizers_from(config: dict[str, Any]) -> list[Regularizes]:
        """Those of a configuration, which loses them."""
        return [keras.saving.deserialize_keras_object(one) for one in config.pop("regularizers", ())]


# Replicas are traced in turns, each in a thread of its own: one waits wherever all add up, and the list of losses that Keras
# keeps for all of them then holds another's.
_local = threading.local()


def _terms_of(model: Any) -> list[tf.Tensor]:
    """The terms that this replica has added since the last clearing."""
    if not hasattr(_local, "terms"):
        _local.terms = weakref.WeakKeyDictionary()
    return _local.terms.setdefault(model, [])
