"""How the docstrings of inntf are read for the reference: what griffe's Google style does not know is put into its words."""

from __future__ import annotations

import ast
import functools
import pathlib
import re

import griffe

ROOT = pathlib.Path(__file__).parents[1]
_EXAMPLE = re.compile(r"^( *)Example:$", re.MULTILINE)
_NOTHING = re.compile(r"^( *)Raises:\n +nothing\.$", re.MULTILINE)


class HouseStyle(griffe.Extension):
    """`Example:` is the section of examples (else `>>>` would be a quotation); a block's own part of the contract is left out.

    What every block has is described once, with `inntf.Block`: an override whose docstring is one line says nothing new.
    """

    def on_object(self, *, obj: griffe.Object, **kwargs: object) -> None:
        """As griffe calls it for each object that it has read."""
        if not obj.docstring:
            return
        text = _EXAMPLE.sub(r"\1Examples:", obj.docstring.value)
        obj.docstring.value = _NOTHING.sub("", text)
        if obj.name.startswith("_"):
            obj.docstring = None
            return
        overrides = obj.name in _contract() and obj.is_function and not obj.path.startswith("inntf.core.")
        if overrides and len(text.strip().splitlines()) == 1:
            obj.docstring = None


@functools.cache
def _contract() -> frozenset[str]:
    """The methods that the base class of blocks and its parts define."""
    trees = [ast.parse(path.read_text()) for path in (ROOT / "inntf" / "core").glob("*.py")]
    classes = [node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)]
    return frozenset(node.name for cls in classes for node in cls.body if isinstance(node, ast.FunctionDef))
