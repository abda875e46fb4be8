"""The links of a built site: what leads to no file or to no anchor, and what would be loaded from another host."""

from __future__ import annotations

import functools
import pathlib
import urllib.parse
from html.parser import HTMLParser


class _Page(HTMLParser):
    """Anchors and links of one page."""

    def __init__(self, text: str):
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """As the parser calls it."""
        values = dict(attrs)
        self.anchors |= {values[name] for name in ("id", "name") if values.get(name)}
        self.links += [values[name] for name in ("href", "src") if values.get(name)]
        if tag in ("script", "img", "iframe", "source") or (tag == "link" and "stylesheet" in (values.get("rel") or "")):
            self.loads += [values[name] for name in ("href", "src") if values.get(name)]


@functools.cache
def _page(path: pathlib.Path) -> _Page:
    return _Page(path.read_text())


def broken_links(site: pathlib.Path) -> list[str]:
    """Every link within the site that leads nowhere, as `page: link`."""
    pages = {path.resolve(): _page(path.resolve()) for path in site.rglob("*.html")}
    found = []
    for path, page in pages.items():
        for link in page.links:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc or path.name == "404.html":
                continue
            target = (path.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            anchor = urllib.parse.unquote(parts.fragment)
            if not target.exists() or (anchor and target in pages and anchor not in pages[target].anchors):
                found.append(f"{path.relative_to(site.resolve())}: {link}")
    return found


def foreign_loads(site: pathlib.Path) -> set[str]:
    """Scripts, styles and pictures that a reader's browser would fetch from elsewhere."""
    loads = {link for path in site.rglob("*.html") for link in _page(path.resolve()).loads}
    return {link for link in loads if urllib.parse.urlsplit(link).netloc}
