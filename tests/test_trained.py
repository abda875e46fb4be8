"""Every block and composition after real training: what must hold of any state, and what only training can break."""

from __future__ import annotations

import pytest

from tests.conformance import hosts, mathematics, saving, shapes, trained
from tests.conformance.collection import wanted
from tests.conformance.first_entries import first_entries
from tests.conformance.subject import subject
from tests.registry import CASES
from tests.registry_deep import DEEP


def _of(module) -> dict:
    return {name.removeprefix("check_"): check for name, check in vars(module).items() if name.startswith("check_")}


ANY_STATE = {name: check for module in (mathematics, shapes, hosts, saving) for name, check in _of(module).items()}
TRAINED = _of(trained)
CHECKS = ANY_STATE | TRAINED
# In the default suite: that it trained, that inverses, certificate and report of the trained state hold. The others, hosts,
# files, copies and gradients among them, run with `-m slow`: a quarter of an hour of two processors.
FAST = {
    "training_moved_it",
    "data_come_back_as_well_as_the_conditioning_allows",
    "latents_come_back_as_well_as_the_conditioning_allows",
    "certificate_holds_at_data_and_samples",
    "report_says_what_is_measured",
    "checkpoint",
}
# To train through solvers takes from seconds to minutes; residual-vector stands for the residual ones.
HEAVY = {"bi-lipschitz-image-conditional", "continuous-conditional", "repeat-residual", "residual-image", "chain-mixed"}
# A checkpoint is restored and trained on from, seconds each: in the default suite one of each kind of composition.
RESTORED = {
    "affine-conditional",
    "autoregressive-affine",
    "residual-vector",
    "chain-vector-conditional",
    "repeat-conditional",
    "multiscale",
}
# Rounding differs between the dtypes; what Keras, TFP and files do with the weights does not.
BOTH_DTYPES = {
    "data_come_back_as_well_as_the_conditioning_allows",
    "inverse_log_det_is_that_of_the_jacobian",
    "latents_come_back_as_well_as_the_conditioning_allows",
}
# Look at a shape, a type or a message alone, at a block that is not trained, or are held by `export`.
FRESH_ONLY = {
    "both_faces",
    "builds_lazily_from_the_latent_side",
    "builds_lazily_inside_a_traced_function",
    "saved_model",
    "static_shapes_are_told",
    "unbuilt_configuration_makes_the_same_block",
}
DEEP_CHECKS = {
    "training_moved_it": True,
    "data_come_back_as_well_as_the_conditioning_allows": True,
    "latents_come_back_as_well_as_the_conditioning_allows": True,
    "certificate_holds_at_data_and_samples": True,
    "report_says_what_is_measured": True,
    "checkpoint": False,
    "keras_file": False,
    "frozen_it_stays_as_it_is": False,
    "clone": False,
    "deepcopy": False,
    "resumed_it_is_the_same_training": False,
}  # and whether it is in the default suite


def _exempt(case, check: str) -> list:
    reason = case.exempt.get(check)
    return [pytest.mark.xfail(reason=reason, strict=True)] if reason else []


def _registry():
    for name, case in CASES.items():
        for check in (c for c in CHECKS if c not in FRESH_ONLY):
            for dtype in ("float32", "float64") if check in BOTH_DTYPES else ("float32",):
                marks = _exempt(case, check)
                once = (check == "checkpoint" and name not in RESTORED) or (
                    check == "report_says_what_is_measured" and name not in first_entries()
                )
                if check not in FAST or dtype == "float64" or name in HEAVY or once:
                    marks.append(pytest.mark.slow)
                yield pytest.param(name, dtype, check, id=f"{name}-{dtype}-{check}", marks=marks)


def _deep():
    for name in DEEP:
        kind, family, depth = name.split("-")
        for check in DEEP_CHECKS:
            marks = [pytest.mark.slow] if slow(kind, family, int(depth), check) else []
            yield pytest.param(name, check, id=f"{name}-{check}", marks=marks)


def slow(kind: str, family: str, depth: int, check: str) -> bool:
    """The default suite holds the affine family at 1, 16 and 64 and the residual at 1, scanned; `-m slow` runs the others."""
    deepest = {"affine": 64, "residual": 1}.get(family, 0)
    report = check == "report_says_what_is_measured" and depth > 16  # it is that of any composition
    return kind == "chain" or depth == 8 or depth > deepest or not DEEP_CHECKS[check] or report


def pytest_generate_tests(metafunc):
    if "dtype" in metafunc.fixturenames:
        metafunc.parametrize(("name", "dtype", "check"), wanted(_registry(), metafunc.config))
    elif "check" in metafunc.fixturenames:
        metafunc.parametrize(("name", "check"), wanted(_deep(), metafunc.config))


def test_trained(name, dtype, check):
    s = subject(name, dtype)
    if not s.block.trainable_weights:
        pytest.skip("there is nothing to train: the fresh state is the only one")
    CHECKS[check](subject(name, dtype, "trained"))


def test_trained_deep(name, check):
    CHECKS[check](subject(name, "float32", "trained"))
