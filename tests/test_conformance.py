"""Every block and composition of the registry, in float32 and float64, through every check of `tests/conformance`."""

from __future__ import annotations

import pytest

from tests.conformance import errors, hosts, mathematics, saving, shapes
from tests.conformance.collection import wanted
from tests.conformance.first_entries import first_entries
from tests.conformance.subject import subject
from tests.registry import CASES

CHECKS = {
    name.removeprefix("check_"): check
    for module in (mathematics, shapes, hosts, saving, errors)
    for name, check in vars(module).items()
    if name.startswith("check_")
}
# Mathematics is looked at in both dtypes; the rest is the same code in float64, and left to `-m slow` there.
TWICE = {"arrays_are_taken", "both_faces", "log_prob_is_base_plus_log_det"}
ENGINEERING = {name for name in CHECKS if f"check_{name}" not in vars(mathematics)} - TWICE

# Tracing an adaptive solver and its gradient takes seconds each time.
HEAVY = "continuous-conditional"
HEAVY_CHECKS = {
    "vectorized_map_agrees",
    "xla_agrees",
    "saved_model",
    "functional_model_fits",
    "dynamic_batch_traces_once",
    "distribution_samples",
    "empty_batch",
    "log_dets_are_opposite_at_the_recovered_point",
    "stock_bijectors_mix",
    "tfp_methods_agree_with_pairs",
    "two_blocks_share_no_cache",
}


def _is_slow(name: str, dtype: str, check: str) -> bool:
    if check in ENGINEERING and (dtype == "float64" or name not in first_entries()):
        return True
    if check == "slopes_in_balls_are_certified" and (dtype == "float32" or name not in first_entries()):
        return True  # certificates are of a copy in float64
    if name == HEAVY:
        return dtype == "float64" or check in HEAVY_CHECKS or "jacobian" in check  # tests/blocks has a closed form
    return dtype == "float32" and ("jacobian" in check or "finite_differences" in check)  # float64 can tell more


def _parameters():
    for name, case in CASES.items():
        for dtype in ("float32", "float64"):
            for check in CHECKS:
                reason = case.exempt.get(check)
                # Strict: an exemption that is no longer needed fails.
                marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
                if _is_slow(name, dtype, check):
                    marks.append(pytest.mark.slow)
                yield pytest.param(name, dtype, check, id=f"{name}-{dtype}-{check}", marks=marks)


def pytest_generate_tests(metafunc):
    if "check" in metafunc.fixturenames:
        metafunc.parametrize(("name", "dtype", "check"), wanted(_parameters(), metafunc.config))


def test_conformance(name, dtype, check):
    CHECKS[check](subject(name, dtype))


def test_exemptions_name_checks():
    for name, case in CASES.items():
        assert set(case.exempt) <= set(CHECKS), name
