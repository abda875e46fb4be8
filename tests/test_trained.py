"""Every block and composition after real training: what must hold of any state, and what only training can break."""

from __future__ import annotations

import pytest

from tests.conformance import hosts, mathematics, saving, shapes, trained
from tests.conformance.subject import subject
from tests.registry import CASES
from tests.registry_deep import DEEP

pytestmark = pytest.mark.slow  # sixteen processor minutes and more: `python -m pytest -m slow tests/test_trained.py -n 2`


def _of(module) -> dict:
    return {name.removeprefix("check_"): check for name, check in vars(module).items() if name.startswith("check_")}


ANY_STATE = {name: check for module in (mathematics, shapes, hosts, saving) for name, check in _of(module).items()}
TRAINED = _of(trained)
CHECKS = ANY_STATE | TRAINED
# What depends on the weights and no check of `trained` holds already. The others run with `-m slow`.
FAST = set(TRAINED) | {
    "any_leading_dimensions",
    "checkpoint",
    "checkpoint_restored_before_building",
    "copy_has_the_same_weights_and_shares_none",
    "distribution_samples",
    "every_trainable_weight_gets_a_gradient",
    "gradients_of_forward_agree_with_finite_differences",
    "gradients_of_inverse_agree_with_finite_differences",
    "inverse_log_det_is_that_of_the_jacobian",
    "keras_file",
    "log_prob_is_base_plus_log_det",
    "mixed_precision_keeps_values_wide",
    "stock_bijectors_mix",
    "trainable_variables_are_complete_everywhere",
    "weights_file",
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
}  # and whether it is fast of a `Chain` with the weights of a `Repeat`
# Tracing an adaptive solver and its adjoint takes seconds each time, and so does compiling.
HEAVY = {"continuous-conditional": {"export", "gradients_of_inverse_agree_with_finite_differences"}}


def _exempt(case, check: str) -> list:
    reason = case.exempt.get(check)
    return [pytest.mark.xfail(reason=reason, strict=True)] if reason else []


def _registry():
    for name, case in CASES.items():
        for check in (c for c in CHECKS if c not in FRESH_ONLY):
            for dtype in ("float32", "float64") if check in BOTH_DTYPES else ("float32",):
                marks = [pytest.mark.xdist_group(name), *_exempt(case, check)]
                if check not in FAST or check in HEAVY.get(name, ()):
                    marks.append(pytest.mark.slow)
                yield pytest.param(name, dtype, check, id=f"{name}-{dtype}-{check}", marks=marks)


def _deep():
    for name, case in DEEP.items():
        kind, family, depth = name.split("-")
        for check in DEEP_CHECKS:
            marks = [pytest.mark.xdist_group(case.train_as or name)]
            if slow(kind, family, int(depth), check):
                marks.append(pytest.mark.slow)
            yield pytest.param(name, check, id=f"{name}-{check}", marks=marks)


def slow(kind: str, family: str, depth: int, check: str) -> bool:
    """The fast suite holds every depth of the affine and residual families, and every family at depths 1 and 8."""
    if depth >= 16 and (family not in ("affine", "residual") or check in ("resumed_it_is_the_same_training", "keras_file")):
        return True
    return kind == "chain" and not DEEP_CHECKS[check]


@pytest.mark.parametrize(("name", "dtype", "check"), _registry())
def test_trained(name, dtype, check):
    s = subject(name, dtype)
    if not s.block.trainable_weights:
        pytest.skip("there is nothing to train: the fresh state is the only one")
    CHECKS[check](subject(name, dtype, "trained"))


@pytest.mark.parametrize(("name", "check"), _deep())
def test_trained_deep(name, check):
    CHECKS[check](subject(name, "float32", "trained"))
