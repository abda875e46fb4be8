"""README's commands stand, and its Python blocks run one after the other."""

import pathlib
import re

README = (pathlib.Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)


def test_two_commands_stand():
    lines = [line for language, text in BLOCKS if language == "bash" for line in text.splitlines()]
    assert 'python -m venv .venv && .venv/bin/pip install -e ".[recipes]" && .venv/bin/python -m recipes.flowgan' in lines
    assert 'python -m venv .venv && .venv/bin/pip install -e ".[recipes,test]" && .venv/bin/python -m pytest' in lines


def test_python_blocks_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = [text for language, text in BLOCKS if language == "python"]
    assert code
    scope = {}
    for i, text in enumerate(code):
        exec(compile(text, f"README.md python block {i + 1}", "exec"), scope)
