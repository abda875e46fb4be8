"""A check that does not apply says so: it is skipped with a reason, and never passes by an early return."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.house.source import files, module_name, tree

CHECKS = ("test_", "check_")


def _silent(function: ast.FunctionDef) -> Iterator[str]:
    """What lets a check pass without having checked: a bare return, or a condition around all that it does."""
    body = [s for s in function.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    if len(body) == 1 and isinstance(body[0], ast.If) and not body[0].orelse:
        yield f"line {body[0].lineno}: all of {function.name} is inside of one `if`"
    for node in _own(function.body):
        if isinstance(node, ast.Return) and (node.value is None or isinstance(node.value, ast.Constant)):
            yield f"line {node.lineno}: {function.name} returns early"


def _own(statements: list[ast.stmt]) -> Iterator[ast.AST]:
    """The nodes of a function without those of the functions inside of it."""
    for node in statements:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            yield node
            yield from _own(list(ast.iter_child_nodes(node)))


def _checks(module: ast.Module) -> Iterator[ast.FunctionDef]:
    return (n for n in ast.walk(module) if isinstance(n, ast.FunctionDef) and n.name.startswith(CHECKS))


@pytest.mark.parametrize("path", files("tests"), ids=module_name)
def test_no_check_passes_by_an_early_return(path):
    found = [text for check in _checks(tree(path)) for text in _silent(check)]
    assert not found, f"{path}: say pytest.skip(reason), or split the test. {found}"


@pytest.mark.parametrize(
    "code",
    [
        "def check_a(s):\n    if s:\n        return\n    assert s",
        "def check_a(s):\n    try:\n        f(s)\n    except ValueError:\n        return None\n",
        "def test_a(s):\n    '''A docstring.'''\n    if s:\n        assert s",
    ],
)
def test_the_rule_sees_what_it_is_for(code):
    assert [text for check in _checks(ast.parse(code)) for text in _silent(check)]


def test_the_rule_leaves_inner_functions_alone():
    code = "def test_a():\n    def f(x):\n        if x:\n            return\n        g(x)\n    assert f(1)"
    assert not [text for check in _checks(ast.parse(code)) for text in _silent(check)]
