"""Formulas become MathML, names of the library become links; code and prices stay as they are."""

from __future__ import annotations

import markdown
import pytest

from docs_tools.public_names import anchors, public_names


def html(text):
    return markdown.markdown(text, extensions=["docs_tools.api_links", "docs_tools.mathml", "tables", "fenced_code"])


def test_formulas():
    assert "<msup><mi>x</mi><mn>2</mn></msup>" in html("the norm $x^2$ of")
    assert 'display="block"' in html("see\n\n$$\n\\frac{a}{b}\n$$\n\nthere") and "<mfrac>" in html("$$\\frac{a}{b}$$")


@pytest.mark.parametrize("text", ["`$x$`", "```\n$$\nx\n$$\n```", "costs $5 and $6", "a $ b $ c"])
def test_what_is_no_formula(text):
    assert "<math" not in html(text)


@pytest.mark.parametrize(
    ("code", "anchor"),
    [
        ("certify(model, at=x)", "inntf.stability.certify"),
        ("inntf.Flow", "inntf.models.Flow"),
        ("stability.attack", "inntf.stability.attack.attack"),
        ("Block", "inntf.Block"),
        ("inntf.serving", "inntf.serving"),
    ],
)
def test_names_become_links(code, anchor):
    assert f'<autoref identifier="{anchor}"><code>{code}</code></autoref>' in html(f"see `{code}`")


@pytest.mark.parametrize("text", ["`unknown`", "[`Block`](x.md)", "[a `Block` of](x.md)", "# `Block`", "``Block``"])
def test_what_is_no_link(text):
    assert "<autoref" not in html(text)


def test_names_are_found_where_they_are_written():
    found = {name.path: name for name in public_names("stability")}
    attack = found["inntf.stability.attack"]
    assert (
        attack.anchor == "inntf.stability.attack.attack" and attack.kind == "function" and attack.summary.startswith("Look for")
    )
    assert anchors()["condition_number"] == found["inntf.stability.condition_number"].anchor
