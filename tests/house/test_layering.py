"""A room imports only rooms before it; there are no import cycles and no imports hidden in functions."""

from __future__ import annotations

import ast

import pytest

from tests.house.source import MODULES, ROOMS, files, imports, module_name, tree

IN_ROOMS = [path for path in files("inntf") if module_name(path).count(".") >= 1 and module_name(path).split(".")[1] in ROOMS]


def _room(module: str) -> int:
    return ROOMS.index(module.split(".")[1])


@pytest.mark.parametrize("path", IN_ROOMS, ids=module_name)
def test_a_room_imports_only_rooms_before_it(path):
    own = module_name(path)
    for module, _ in imports(path):
        assert module.startswith("inntf."), f"{own} imports {module}; inside inntf import from the room that holds the name"
        if module == "inntf._version":  # a constant, which imports nothing
            continue
        assert module.split(".")[1] in ROOMS, f"{own} imports {module}"
        assert _room(module) <= _room(own), f"{own} imports {module}, which comes after it: {' < '.join(ROOMS)}"


def test_every_folder_is_a_room():
    folders = {module_name(path).split(".")[1] for path in files("inntf") if path.parent.name != "inntf"}
    assert folders <= set(ROOMS), "a new room needs its place in the order"


@pytest.mark.parametrize("path", files("inntf"), ids=module_name)
def test_no_import_hides_in_a_function(path):
    hidden = [module for module, top in imports(path) if not top]
    assert not hidden, f"{module_name(path)} imports {hidden} inside a function"


@pytest.mark.parametrize("path", files("inntf"), ids=module_name)
def test_no_relative_imports(path):
    assert not [node for node in ast.walk(tree(path)) if isinstance(node, ast.ImportFrom) and node.level]


def test_no_import_cycles():
    graph = {name: {m for m, top in imports(path) if top and m in MODULES} for name, path in MODULES.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, "import cycle: " + " -> ".join([*trail[trail.index(name) :], name])
        if name in done:
            return
        for other in sorted(graph[name]):
            visit(other, (*trail, name))
        done.add(name)

    for name in graph:
        visit(name, ())


def test_recipes_import_no_tests_and_inntf_no_recipes():
    for path in files("inntf") + files("recipes"):
        for module, _ in imports(path):
            assert module.split(".")[0] not in ("tests", "benchmarks"), f"{module_name(path)} imports {module}"
            assert module_name(path).startswith("recipes") or not module.startswith("recipes"), module_name(path)
