"""The attributes on which a Keras layer and a TFP bijector collide, pinned.

`Block` inherits from both and resolves each of these by hand. If an upgrade changes the set, look at every new name
before adding it here: which of the two meanings does `Block` show?
"""

import keras
import tensorflow_probability as tfp

PINNED = {
    "__call__",
    "__init__",
    "__repr__",
    "__str__",
    "dtype",
    "variables",
    "trainable_variables",
    "non_trainable_variables",
}
# Defined by machinery that both inherit or that Python makes for every class.
NOT_A_CHOICE = {"__module__", "__doc__", "__dict__", "__weakref__", "__annotations__", "__abstractmethods__", "_abc_impl"}


def _defined_below(cls, root):
    """Attributes that `cls` and its bases define, without those of `root` (object, or a base common to both)."""
    out = {}
    for base in reversed(cls.__mro__):
        if base not in root:
            out.update(vars(base))
    return out


def test_collisions_are_the_known_ones():
    layer, bijector = keras.layers.Layer, tfp.bijectors.Bijector
    common = set(layer.__mro__) & set(bijector.__mro__)
    ours, theirs = _defined_below(layer, common), _defined_below(bijector, common)
    collisions = {name for name in ours.keys() & theirs.keys() if ours[name] is not theirs[name]} - NOT_A_CHOICE
    assert collisions == PINNED
