"""Small flows with weights that do something, exported once a session."""

from __future__ import annotations

import types

import keras
import numpy as np
import pytest

from inntf.models import glow, real_nvp
from inntf.serving import export, load


def shaken(flow, seed=0):
    # Fresh flows are close to the identity; move every weight.
    rng = np.random.default_rng(seed)
    for v in flow.block.trainable_variables:
        v.assign(v + 0.1 * rng.normal(size=v.shape).astype(v.dtype))
    return flow


@pytest.fixture(scope="session")
def make_flow():
    def make(kind):
        keras.utils.set_random_seed(3)
        if kind == "glow":
            return shaken(glow(event_shape=(4, 4, 2), levels=2, depth=1, hidden=4))
        if kind == "conditioned":
            network = keras.layers.Dense(3, name="embedding")
            return shaken(
                real_nvp(
                    event_shape=4,
                    depth=2,
                    hidden=(8,),
                    condition_shape=(2,),
                    condition_network=network,
                    name="conditioned",
                )
            )
        return shaken(real_nvp(event_shape=4, depth=2, hidden=(8,)))

    return make


@pytest.fixture(scope="session")
def exported(make_flow, tmp_path_factory):
    """Flow, path and loaded model by kind, made at first use."""
    made = {}

    def get(kind):
        if kind not in made:
            flow = make_flow(kind)
            path = export(flow, tmp_path_factory.mktemp("served") / kind, card={"epochs": 3})
            made[kind] = types.SimpleNamespace(flow=flow, path=path, model=load(path.parent))
        return made[kind]

    return get
