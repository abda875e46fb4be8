"""Formulas between dollar signs become MathML while the site is built: no script, no font and no other host at reading time."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from latex2mathml.converter import convert
from markdown import Extension, Markdown
from markdown.inlinepatterns import InlineProcessor
from markdown.preprocessors import Preprocessor

_INLINE = r"(?<![\\$\w])\$(?=[^\s$])([^$]*?[^\s$\\])\$(?![\w$])"
_BLOCK = re.compile(r"^( *)\$\$(.+?)\$\$ *$", re.DOTALL | re.MULTILINE)
_FENCED = re.compile(r"^ *(```+|~~~+).*?^ *\1 *$", re.DOTALL | re.MULTILINE)


class _Inline(InlineProcessor):
    """`$x^2$` within a line of text; code is not looked at."""

    def handleMatch(self, m: re.Match, data: str) -> tuple[ElementTree.Element | str, int, int]:  # noqa: N802
        """As Markdown asks for it."""
        return self.md.htmlStash.store(convert(m[1])), m.start(0), m.end(0)


class _Blocks(Preprocessor):
    """`$$ ... $$` in lines of its own."""

    def run(self, lines: list[str]) -> list[str]:
        """As Markdown asks for it."""
        text, parts, at = "\n".join(lines), [], 0
        for fence in _FENCED.finditer(text):
            parts += [_BLOCK.sub(self._formula, text[at : fence.start()]), fence[0]]
            at = fence.end()
        return "".join([*parts, _BLOCK.sub(self._formula, text[at:])]).split("\n")

    def _formula(self, found: re.Match) -> str:
        return found[1] + self.md.htmlStash.store(f"<div class='formula'>{convert(found[2].strip(), display='block')}</div>")


class MathML(Extension):
    """The Markdown extension `docs_tools.mathml`."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802
        """Register both."""
        md.inlinePatterns.register(_Inline(_INLINE, md), "inline-formula", 186)  # after code, before escapes
        md.preprocessors.register(_Blocks(md), "block-formula", 26)


def makeExtension(**kwargs: object) -> MathML:  # noqa: N802
    """The name that Markdown looks for."""
    return MathML(**kwargs)
