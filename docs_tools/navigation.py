"""The pages of the site in their order, and `docs/llms.txt`, the same for language models (llmstxt.org).

`python -m docs_tools.navigation` writes `docs/llms.txt`.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator

import yaml

from docs_tools.macros import expand

DOCS = pathlib.Path(__file__).parents[1] / "docs"
_CONVENTIONS = "`forward` takes data to the latent, `inverse` back; `log_det` is that of the direction called, `(batch,)`."
_LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")


def sections() -> Iterator[tuple[str, list[str]]]:
    """Titles of the navigation and their pages, those that `*` stands for last."""
    named: list[str] = []
    for entry in yaml.safe_load((DOCS / ".nav.yml").read_text())["nav"]:
        if isinstance(entry, dict):
            for title, pages in entry.items():
                named += pages
                yield title, pages
        elif entry != "*":
            named.append(entry)
            yield "", [entry]
    others = sorted(p.relative_to(DOCS).as_posix() for p in DOCS.rglob("*.md"))
    if rest := [page for page in others if page not in named]:
        yield "More", rest


def described(page: str) -> tuple[str, str]:
    """Title of a page, and its `description`, else its first sentence."""
    text = expand((DOCS / page).read_text())
    title = re.search(r"^# (.+?)(?: \{.*\})?$", text, re.MULTILINE)[1].replace("`", "")
    if written := re.match(r"---\n(?:.*\n)*?description: (.+)\n", text):
        return title, written[1]
    paragraphs = re.split(r"\n\s*\n", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE))
    after = next(i for i, paragraph in enumerate(paragraphs) if re.search("^# ", paragraph, re.MULTILINE)) + 1
    prose = (" ".join(p.split()) for p in paragraphs[after:] if re.match(r"[\w\"'`*(]", p.lstrip()))
    first = re.split(r"(?<=[.?!])\s(?=[A-Z`])", _LINK.sub(r"\1", next(prose, title)))[0]
    return title, first if first[-1] in ".?!" else first.rstrip(":") + "."


def llms_txt() -> str:
    """Title, summary, and every page with a line on it."""
    parts = []
    for title, pages in sections():
        if pages == ["index.md"]:
            name, summary = described("index.md")
            parts.append(f"# {name}\n\n> {summary}\n\n{_CONVENTIONS}")
            continue
        lines = ["- [{}]({}): {}".format(*_entry(page)) for page in pages]
        parts.append(f"## {title}\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _entry(page: str) -> tuple[str, str, str]:
    title, first = described(page)
    return title, page.removesuffix(".md") + ".html", first


if __name__ == "__main__":
    (DOCS / "llms.txt").write_text(llms_txt())
