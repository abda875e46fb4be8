"""Inverse problems by name; a user's own is a class and an entry here."""

from collections.abc import Callable

from recipes.common.named_classes import class_at
from recipes.inverse_problems.problems.ballistics import Ballistics
from recipes.inverse_problems.problems.bernoulli_glm import BernoulliGlm
from recipes.inverse_problems.problems.gaussian_linear import GaussianLinear
from recipes.inverse_problems.problems.gaussian_mixture import GaussianMixture
from recipes.inverse_problems.problems.kinematics import Kinematics
from recipes.inverse_problems.problems.problem import Problem, simulate
from recipes.inverse_problems.problems.slcp import Slcp
from recipes.inverse_problems.problems.two_moons import TwoMoons

PROBLEMS: dict[str, Callable[[], Problem]] = {
    "kinematics": Kinematics,
    "kinematics_code": lambda: Kinematics("code"),
    "ballistics": Ballistics,
    "ballistics_code": lambda: Ballistics("code"),
    "two_moons": TwoMoons,
    "gaussian_linear": GaussianLinear,
    "gaussian_mixture": GaussianMixture,
    "slcp": Slcp,
    "slcp_ordered": lambda: Slcp(exchangeable=False),
    "bernoulli_glm": BernoulliGlm,
}


def problem_named(name: str) -> Problem:
    """The problem of a name in `PROBLEMS`, or of `module:Class`.

    Raises:
        UserError: if there is none.
    """
    return PROBLEMS[name]() if name in PROBLEMS else class_at(name, Problem, "--problems")()


__all__ = [
    "PROBLEMS",
    "Ballistics",
    "BernoulliGlm",
    "GaussianLinear",
    "GaussianMixture",
    "Kinematics",
    "Problem",
    "Slcp",
    "TwoMoons",
    "problem_named",
    "simulate",
]
