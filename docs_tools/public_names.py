"""The public names of inntf and where each is written, read from the source without importing it."""

from __future__ import annotations

import ast
import dataclasses
import functools
import pathlib

ROOT = pathlib.Path(__file__).parents[1]
ROOMS = ("numerics", "nets", "blocks", "compose", "models", "stability", "calibration", "training", "serving")


@dataclasses.dataclass(frozen=True)
class PublicName:
    """One entry of an `__all__`: the name that users write, and the one that the reference has an anchor for."""

    path: str  # inntf.stability.attack
    anchor: str  # inntf.stability.attack.attack, where a module hides the function from readers of the source
    summary: str  # the first line of its docstring
    kind: str  # class, function or constant


@functools.cache
def public_names(room: str = "") -> tuple[PublicName, ...]:
    """What a room exports; of inntf itself (`""`) what it has besides its rooms."""
    package = f"inntf.{room}" if room else "inntf"
    tree = _parsed(package)
    listed = next(ast.literal_eval(n.value) for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == "__all__")
    if not room:
        elsewhere = {name.path.rsplit(".", 1)[1] for other in ROOMS for name in public_names(other)}
        listed = [name for name in listed if name[0].isupper() and name not in elsewhere]
    return tuple(_found(package, name) for name in sorted(listed, key=str.lower))


@functools.cache
def anchors() -> dict[str, str]:
    """What a page may call an object (`certify`, `stability.certify`, `inntf.stability.certify`), and its anchor.

    A short name that two rooms have is that of the first.
    """
    known = {f"inntf.{room}": f"inntf.{room}" for room in ROOMS}
    for room in (*ROOMS, ""):
        for public in public_names(room):
            name = public.path.rsplit(".", 1)[1]
            known[public.path] = public.anchor
            known.setdefault(f"{room}.{name}", public.anchor)
            known.setdefault(name, public.anchor)
    known["inntf.Flow"] = known["Flow"]
    return known


def _found(package: str, name: str) -> PublicName:
    module, node = package, None
    while not (node := _definition(module, name)):  # an import of a room leads to one of a folder, and so on
        imports = (n for n in _parsed(module).body if isinstance(n, ast.ImportFrom))
        module = next(n.module for n in imports if name in [a.asname or a.name for a in n.names])
    hidden = _file(f"{package}.{name}").exists() or _file(f"{package}.{name}", init=True).exists()
    doc = "" if isinstance(node, ast.stmt) and not isinstance(node, ast.ClassDef | ast.FunctionDef) else ast.get_docstring(node)
    kind = {ast.ClassDef: "class", ast.FunctionDef: "function"}.get(type(node), "constant")
    return PublicName(f"{package}.{name}", f"{module if hidden else package}.{name}", (doc or "").partition("\n")[0], kind)


def _definition(module: str, name: str) -> ast.stmt | None:
    for node in _parsed(module).body:
        targets = [node] if isinstance(node, ast.AnnAssign) else []
        names = [getattr(t, "id", "") for t in getattr(node, "targets", None) or [getattr(t, "target", None) for t in targets]]
        if getattr(node, "name", None) == name or name in names:
            return node
    return None


@functools.cache
def _parsed(module: str) -> ast.Module:
    file = _file(module)
    return ast.parse((file if file.exists() else _file(module, init=True)).read_text())


def _file(module: str, init: bool = False) -> pathlib.Path:
    path = ROOT / module.replace(".", "/")
    return path / "__init__.py" if init else path.with_suffix(".py")
