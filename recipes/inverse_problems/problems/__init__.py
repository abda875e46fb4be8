"""Inverse problems by name; a user's own is a class and an entry here."""

from collections.abc import Callable

from recipes.inverse_problems.problems.ballistics import Ballistics
from recipes.inverse_problems.problems.kinematics import Kinematics
from recipes.inverse_problems.problems.problem import Problem, simulate

PROBLEMS: dict[str, Callable[[], Problem]] = {
    "kinematics": Kinematics,
    "kinematics_code": lambda: Kinematics("code"),
    "ballistics": Ballistics,
    "ballistics_code": lambda: Ballistics("code"),
}

__all__ = ["PROBLEMS", "Ballistics", "Kinematics", "Problem", "simulate"]
