"""The source files of the house, and what they import, read without running them."""

from __future__ import annotations

import ast
import pathlib
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[2]
ROOMS = ("core", "numerics", "nets", "blocks", "compose", "models", "stability", "calibration", "training", "serving")


def files(package: str) -> list[pathlib.Path]:
    """All Python files below a top-level folder."""
    return sorted((ROOT / package).rglob("*.py"))


def tree(path: pathlib.Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(), str(path))


def module_name(path: pathlib.Path) -> str:
    """The dotted name of a file: `inntf/core/block.py` is `inntf.core.block`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for package in ("inntf", "recipes") for path in files(package)}


def imports(path: pathlib.Path) -> Iterator[tuple[str, bool]]:
    """`(module of this repository, whether at the top level)` for each import.

    Those for type checking count, too, and strings that name a module (`"recipes.flowgan.experiment:run"`).
    """
    yield from _walk(tree(path).body, top=True)
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            named = node.value.partition(":")[0]
            if named in MODULES and "." in named:
                yield named, True


def _walk(statements: list[ast.stmt], top: bool) -> Iterator[tuple[str, bool]]:
    for node in statements:
        if isinstance(node, ast.Import):
            yield from ((alias.name, top) for alias in node.names if _ours(alias.name))
        elif isinstance(node, ast.ImportFrom) and node.module and _ours(node.module):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield (full if full in MODULES else node.module), top
        else:
            inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            bodies = [getattr(node, field, []) for field in ("body", "orelse", "finalbody")]
            bodies += [handler.body for handler in getattr(node, "handlers", [])]
            for body in bodies:
                if isinstance(body, list):
                    yield from _walk(body, top and not inside)


def _ours(name: str) -> bool:
    return name.split(".")[0] in ("inntf", "recipes", "benchmarks", "tests")
