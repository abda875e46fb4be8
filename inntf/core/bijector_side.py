"""What a block is to TFP: a bijector whose value and log-determinant come from one evaluation."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow_probability.python.bijectors.bijector import UNSPECIFIED
from tensorflow_probability.python.internal import cache_util

from inntf.core import checks, configuration
from inntf.core.arguments import refuse_unnamed
from inntf.core.errors import explain
from inntf.core.freezing import freeze_alike


class BijectorSide:
    """Mixin of `Block`: the methods that TFP calls."""

    _cache = cache_util.BijectorCacheWithGreedyAttrs("_forward_pair", "_inverse_pair")

    @property
    def name(self) -> str:
        """Name of the layer and of the bijector."""
        return self._name

    @name.setter
    def name(self, value: str) -> None:
        self._name = value

    @property
    def parameters(self) -> dict[str, Any]:
        """The configuration: constructor arguments by name, as given."""
        return {**dict(self._arguments), "name": self.name}

    def copy(self, **overrides: Any) -> Any:
        """A new, independent block with the same configuration, changed by `overrides`, and the same weights.

        Blocks and layers that stand in two places of it (tied weights) are one in the copy too.

        Raises:
            ValueError: if an override changes the shapes of the weights; TypeError: if it is no argument.
        """
        if self._has_unnamed:
            refuse_unnamed(f"{self.name}.copy")
        arguments = configuration.clone(dict(self._arguments), configuration.memo_of_copy())
        new = type(self)(**{**arguments, "name": self.name, **overrides})
        if "trainable" not in overrides:
            freeze_alike(new, self)
        if not self.built:
            return new
        new.ensure_built(self._x_event_shape, self._condition_event_shape)
        mine, theirs = self.get_weights(), new.get_weights()
        if [w.shape for w in mine] != [w.shape for w in theirs]:
            if not set(overrides) - {"name"}:
                raise ValueError(
                    explain(
                        f"{self.name}.copy",
                        received=f"{len(theirs)} weights of a block made of the same arguments, of other shapes or number",
                        expected=f"{len(mine)}, as the original has",
                        remedy="What arguments share inside of them is made for each: let them share one block or layer, "
                        "which is copied once.",
                    )
                )
            raise ValueError(
                f"{self.name}.copy: the overrides {sorted(overrides)} change the shapes of the weights, so the weights "
                "cannot be kept. Make a new block instead."
            )
        new.set_weights(mine)
        if "trainable" not in overrides:
            freeze_alike(new, self)  # what build has made as well
        return new

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """As `copy()`: of its own weights, and no part of a cache."""
        return configuration.copied(self, memo)

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    @classmethod
    def _parameter_properties(cls, dtype: Any = None, num_classes: int | None = None) -> dict[str, Any]:
        return {}

    def forward_dtype(self, dtype: Any = UNSPECIFIED, name: str | None = None, **kwargs: Any) -> Any:
        """The dtype of `forward(x)` is that of `x`; where none is said, that of the weights."""
        return self.variable_dtype if dtype is UNSPECIFIED else dtype

    def inverse_dtype(self, dtype: Any = UNSPECIFIED, name: str | None = None, **kwargs: Any) -> Any:
        """The dtype of `inverse(z)` is that of `z`; where none is said, that of the weights."""
        return self.variable_dtype if dtype is UNSPECIFIED else dtype

    def forward(self, x: Any, condition: Any = None, name: str = "forward", **kwargs: Any) -> tf.Tensor:
        """Data to latent, without the log-determinant.  Cached by TFP: the same tensor gives the same object."""
        return super().forward(checks.as_tensor(self, x), name=name, **_condition(self, condition), **kwargs)

    def inverse(self, z: Any, condition: Any = None, name: str = "inverse", **kwargs: Any) -> tf.Tensor:
        """Latent to data, without the log-determinant.  Cached by TFP: the same tensor gives the same object."""
        return super().inverse(checks.as_tensor(self, z), name=name, **_condition(self, condition), **kwargs)

    def forward_log_det_jacobian(
        self, x: Any, event_ndims: Any = None, name: str = "forward_log_det_jacobian", **kwargs: Any
    ) -> tf.Tensor:
        """`log|det dz/dx|`; TFP's name.  `event_ndims` beyond the block's own sums over the extra dimensions."""
        kwargs |= _condition(self, kwargs.pop("condition", None))
        x = self._prepared(x, event_ndims, kwargs.get("condition"), forward=True)
        return super().forward_log_det_jacobian(x, event_ndims, name=name, **kwargs)

    def inverse_log_det_jacobian(
        self, z: Any, event_ndims: Any = None, name: str = "inverse_log_det_jacobian", **kwargs: Any
    ) -> tf.Tensor:
        """`log|det dx/dz|`; TFP's name.  `event_ndims` beyond the block's own sums over the extra dimensions."""
        kwargs |= _condition(self, kwargs.pop("condition", None))
        z = self._prepared(z, event_ndims, kwargs.get("condition"), forward=False)
        return super().inverse_log_det_jacobian(z, event_ndims, name=name, **kwargs)

    def _prepared(self, value: Any, event_ndims: Any, condition: Any, forward: bool) -> tf.Tensor:
        # TFP reads the event rank before it evaluates, so an unbuilt block must be built first.
        value = checks.as_tensor(self, value)
        if not self.built:
            ndims = tf.get_static_value(event_ndims) if event_ndims is not None else None
            if self._event_ndims is None and ndims is not None:
                self._event_ndims = int(ndims) - (0 if forward else self.inverse_event_ndims_offset)
            self._build_from(value, condition, forward)
        return value

    def _forward_pair(self, x: tf.Tensor, condition: Any = None) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        z, log_det = self.forward_and_log_det(x, condition)
        return z, {"fldj": log_det, "ildj": -log_det}

    def _inverse_pair(self, z: tf.Tensor, condition: Any = None) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        x, log_det = self.inverse_and_log_det(z, condition)
        return x, {"ildj": log_det, "fldj": -log_det}

    def _forward(self, x: tf.Tensor, condition: Any = None) -> tf.Tensor:
        return self._forward_pair(x, condition)[0]

    def _inverse(self, z: tf.Tensor, condition: Any = None) -> tf.Tensor:
        return self._inverse_pair(z, condition)[0]

    def _forward_log_det_jacobian(self, x: tf.Tensor, **kwargs: Any) -> tf.Tensor:
        attributes = self._cache.forward_attributes(x, **kwargs)
        if "fldj" not in attributes:
            attributes.update(self._forward_pair(x, **kwargs)[1])
        return attributes["fldj"]

    def _inverse_log_det_jacobian(self, z: tf.Tensor, **kwargs: Any) -> tf.Tensor:
        attributes = self._cache.inverse_attributes(z, **kwargs)
        if "ildj" not in attributes:
            attributes.update(self._inverse_pair(z, **kwargs)[1])
        return attributes["ildj"]


def _condition(block: Any, condition: Any) -> dict[str, Any]:
    # TFP's cache knows conditions by identity: only a tensor made here and now says what an array or a variable holds.
    if condition is None:
        return {}
    return {"condition": checks.as_tensor(block, condition) if block.uses_condition else condition}
