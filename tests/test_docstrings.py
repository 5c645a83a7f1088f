"""The examples in docstrings run as they stand, in the single precision that users start with."""

import ast
import inspect
import re
import textwrap
from pathlib import Path

import jax
import pytest

PACKAGE = Path(__file__).parent.parent / "neuralop_jax"
FENCED = re.compile(r"^( *)```python\n(.*?)^\1```", re.DOTALL | re.MULTILINE)


def examples(code: str) -> list[str]:
    """The Python blocks in the strings of `code`: docstrings of modules, classes and functions, and those after assigned names."""
    strings = [n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    texts = [inspect.cleandoc(s.value) for s in sorted(strings, key=lambda s: s.lineno)]
    return [textwrap.dedent(block) for text in texts for _, block in FENCED.findall(text)]


EXAMPLES = {
    f"{path.relative_to(PACKAGE)}-{number}": example
    for path in sorted(PACKAGE.rglob("*.py"))
    for number, example in enumerate(examples(path.read_text()))
}


def test_examples_are_found():
    code = 'A = 1\n"""A.\n\n!!! example\n\n    ```python\n    import jax\n    for a in range(2):\n        a\n    ```\n"""'
    assert examples(code) == ["import jax\nfor a in range(2):\n    a\n"]
    assert len(EXAMPLES) >= sum(path.read_text().count("```python") for path in PACKAGE.rglob("*.py")) > 90


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_example(example, tmp_path, monkeypatch):
    for folder in ("configs", "datasets"):  # what examples read; what they write goes elsewhere
        (tmp_path / folder).symlink_to(PACKAGE.parent / folder)
    monkeypatch.chdir(tmp_path)
    with jax.enable_x64(False), jax.numpy_rank_promotion("allow"):
        exec(compile(example, "example", "exec"), {"__name__": "example"})
