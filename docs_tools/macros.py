"""What pages of docs/ may write between double braces."""

from __future__ import annotations

import os.path
import re
from typing import Any

from docs_tools import notebooks
from docs_tools.public_names import ROOT, public_names

# Files of the repository that are pages, too.
_PAGES = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "recipes/README.md": "recipes.md",
    "benchmarks/README.md": "benchmarks.md",
}
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")


def reference(room: str = "") -> str:
    """The public names of a room: a list of them, then each from its docstring."""
    names = public_names(room)
    parts = ["\n".join(f"- [`{n.path.rsplit('.', 1)[1]}`][{n.anchor}]: {n.summary}" for n in names)]
    for n in names:
        anchor = "" if n.anchor == n.path else f'<span id="{n.path}"></span>\n\n'
        parts.append(f"{anchor}::: {n.anchor}")
    return "\n\n".join(parts)


def repository_page(path: str) -> str:
    """A Markdown file of the repository, its links leading to pages of the site."""

    def on_the_site(link: re.Match) -> str:
        target = os.path.normpath(os.path.join(os.path.dirname(path), link[1]))
        if target in _PAGES:
            return _PAGES[target]
        if target.startswith("docs/"):
            return target.removeprefix("docs/")
        raise ValueError(f"{path} links to {link[1]}, which is no page of the site: name it in docs_tools/macros.py")

    fences = re.split(r"(^```.*?^```$)", (ROOT / path).read_text(), flags=re.DOTALL | re.MULTILINE)
    return "".join(part if part.startswith("```") else _LINK.sub(on_the_site, part) for part in fences)


MACROS = {"reference": reference, "repository_page": repository_page, "notebook": notebooks.page}


def expand(text: str) -> str:
    """A page with its macros filled in, as the site has it."""
    if "render_macros: true" not in text:
        return text
    called = re.compile(r'\{\{ (\w+)\((?:"([^"]*)")?\) \}\}')
    return called.sub(lambda m: MACROS[m[1]](*([m[2]] if m[2] else [])), text)


def define_env(env: Any) -> None:
    """As the macros plugin calls it."""
    for name, macro in MACROS.items():
        env.macro(macro, name)
