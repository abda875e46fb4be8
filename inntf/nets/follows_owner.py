"""Networks that take the dtype of the block that they become part of."""

from __future__ import annotations

from typing import Any


class FollowsOwner:
    """Mixin, named before `keras.layers.Layer`: without a dtype of its own a network takes that of its block.

    That is settled when the block sets `out_channels`; until then the configuration names no dtype either, so that a copy
    waits as well.
    """

    out_channels: int | None

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._follows_owner = kwargs.get("dtype") is None

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, the dtype only once it is known."""
        config = super().get_config()  # type: ignore[misc]
        waits = self._follows_owner and self.out_channels is None
        return config | {"dtype": None} if waits else config
