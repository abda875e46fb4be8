"""Code that names something public, like `certify(model, at=x)`, becomes a link to the reference; in docstrings, too."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from markdown import Extension, Markdown
from markdown.inlinepatterns import InlineProcessor
from markdown.preprocessors import Preprocessor
from markdown.treeprocessors import Treeprocessor
from markdown.util import AtomicString

from docs_tools.public_names import anchors

_CODE = r"(?<![`\\])`(?P<text>(?P<name>[A-Za-z_][\w.]*)(?P<call>\([^`]*\))?)`(?!`)"
_LABEL = re.compile(r"^(Source|Shapes|Cost|Note):(?= \S)", re.MULTILINE)


class _Names(InlineProcessor):
    """A link where the name is known."""

    ANCESTOR_EXCLUDES = ("h1", "h2", "h3", "h4", "h5", "h6")

    def handleMatch(self, m: re.Match, data: str) -> tuple[ElementTree.Element | None, int | None, int | None]:  # noqa: N802
        """As Markdown asks for it."""
        identifier = anchors().get(m["name"])
        if identifier is None:
            return None, None, None
        link = ElementTree.Element("autoref", identifier=identifier)
        ElementTree.SubElement(link, "code").text = AtomicString(m["text"])
        return link, m.start(0), m.end(0)


class _NoLinkInLinks(Treeprocessor):
    """The text of another link keeps the code alone."""

    def run(self, root: ElementTree.Element) -> None:
        """As Markdown asks for it."""
        for outer in [*root.iter("a"), *root.iter("autoref")]:
            for parent in list(outer.iter()):
                for i, inner in enumerate(list(parent)):
                    if inner.tag == "autoref":
                        inner[0].tail = inner.tail
                        parent[i] = inner[0]


class _Labels(Preprocessor):
    """`Source:` and the like of docstrings stand out."""

    def run(self, lines: list[str]) -> list[str]:
        """As Markdown asks for it."""
        return [_LABEL.sub(r"**\1:**", line) for line in lines]


class ApiLinks(Extension):
    """The Markdown extension `docs_tools.api_links`."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802
        """Register them; the links before Markdown's own code."""
        md.inlinePatterns.register(_Names(_CODE, md), "api-links", 195)
        md.treeprocessors.register(_NoLinkInLinks(md), "api-links-unnested", 15)  # after "inline"
        md.preprocessors.register(_Labels(md), "docstring-labels", 15)


def makeExtension(**kwargs: object) -> ApiLinks:  # noqa: N802
    """The name that Markdown looks for."""
    return ApiLinks(**kwargs)
