"""Pages of docs/: their Python runs, one block after the other, and their requests against the signatures."""

from __future__ import annotations

import json
import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf

DOCS = pathlib.Path(__file__).parents[1] / "docs"
PAGES = sorted(p.relative_to(DOCS).as_posix() for p in DOCS.rglob("*.md"))


def blocks(page, language):
    found = re.findall(r"```(\w+)\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    return [text for name, text in found if name == language]


def run(page):
    scope = {}
    for i, text in enumerate(blocks(page, "python")):
        exec(compile(text, f"{page} python block {i + 1}", "exec"), scope)
    return scope


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("docs"))
        scope = run("serving.md")
        yield scope


@pytest.mark.parametrize("page", [page for page in PAGES if page != "serving.md"])
def test_python_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(page)


def test_the_page_on_serving_runs_and_its_model_is_whole(served):
    assert str(served["path"]).endswith("served/density/1")
    assert np.isfinite(served["served"].log_prob([[1.0, -2.0]])).all()


def answered(model, request):
    """As TensorFlow Serving reads it: numbers become tensors of the signature's dtypes, rows are stacked."""
    signature = model.signatures[request["signature_name"]]
    given = request.get("inputs")
    if given is None:
        rows = request["instances"]
        given = {name: [row[name] for row in rows] for name in rows[0]}
    specs = signature.structured_input_signature[1]
    return signature(**{name: tf.constant(value, specs[name].dtype) for name, value in given.items()})


REQUESTS = [json.loads(text) for text in blocks("serving.md", "json")]


@pytest.mark.parametrize("request_", [r for r in REQUESTS if "refused" not in r], ids=json.dumps)
def test_requests_are_answered(request_, served):
    found = answered(served["plain"], request_)
    described = served["card"]["signatures"][request_["signature_name"]]["outputs"]
    assert set(found) == set(described) and all(np.isfinite(v).all() for v in found.values())


@pytest.mark.parametrize("request_", [r for r in REQUESTS if "refused" in r], ids=json.dumps)
def test_requests_are_refused(request_, served):
    with pytest.raises(tf.errors.InvalidArgumentError, match=request_["refused"]):
        answered(served["plain"], request_)


def words(path):
    return re.sub(r"```.*?```|`[^`]*`", "", path.read_text(), flags=re.DOTALL)


def anchors(path):
    """Headings as GitHub and documentation engines name them in addresses."""
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target, _, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(#([^)]+))?\)", words(DOCS / page)):
            path = (DOCS / page).parent / target if target else DOCS / page
            assert path.exists(), f"{page}: {target}"
            assert not anchor or anchor in anchors(path), f"{page}: {target}#{anchor}"
