"""The examples in docstrings run as they stand, in the single precision that users start with, and every public name has the
parts of a docstring that users need."""

import ast
import inspect
import re
import textwrap

import jax
import pytest
from public_names import PACKAGE, ROOT, public_modules, public_names

NAMES = [name for module, path in public_modules().items() for name in public_names(module, path)]
ERRORS = {name.name for name in NAMES if name.module == "neuralop_jax.errors"} | {"ValueError"}
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
        (tmp_path / folder).symlink_to(ROOT / folder)
    monkeypatch.chdir(tmp_path)
    with jax.enable_x64(False), jax.numpy_rank_promotion("allow"):
        exec(compile(example, "example", "exec"), {"__name__": "example"})


def words(texts) -> set[str]:
    return set(re.findall(r"\w+", " ".join(texts)))


def test_every_public_name_has_a_text():
    assert len(NAMES) > 400
    assert [f"{name.module}.{name.name}" for name in NAMES if not name.text] == []


def test_what_is_raised_is_said():
    """Every error of the library that a function or constructor raises itself, other than through what it calls."""
    unsaid = []
    for name in NAMES:
        builders = [name.methods[each] for each in ("__init__", "__check_init__", "__post_init__") if each in name.methods]
        functions = [name.node] if isinstance(name.node, ast.FunctionDef) else builders
        own = [(name.name, name.text, node) for node in functions]
        methods = [(f"{name.name}.{key}", ast.get_docstring(node) + name.text, node) for key, node in name.public_methods.items()]
        for title, text, node in own + methods:
            raised = {ast.unparse(n.exc).partition("(")[0] for n in ast.walk(node) if isinstance(n, ast.Raise) and n.exc}
            unsaid += [f"{title}: {error}" for error in sorted(raised & ERRORS) if error not in text]
    assert unsaid == []


def test_public_names_are_shown():
    """In an example of a docstring, of the README or of a notebook, all of which are run; a result by what returns it. Of errors,
    some come only where memory, processes or a whole training fail: their texts say when."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    shown = {name.name for name in NAMES if FENCED.search(name.text)}
    shown |= words([*EXAMPLES.values(), *blocks, *(path.read_text() for path in (ROOT / "notebooks").glob("*.py"))])
    functions = [n for name in NAMES if name.name in shown for n in ast.walk(name.node) if isinstance(n, ast.FunctionDef)]
    shown |= words(ast.unparse(function.returns) for function in functions if function.returns)
    held = [name.node for name in NAMES if name.name in shown and isinstance(name.node, ast.ClassDef)]
    shown |= words(ast.unparse(n.annotation) for node in held for n in node.body if isinstance(n, ast.AnnAssign))
    hidden = [name for name in NAMES if name.name not in shown and name.module != "neuralop_jax.errors"]
    assert [f"{name.module}.{name.name}" for name in hidden if not (name.is_value or is_described_by_others(name))] == []


def is_described_by_others(name) -> bool:
    """Bases and protocols: what derives from them or is passed for them is what is shown."""
    return name.name.startswith("Abstract") or any(ast.unparse(base) == "Protocol" for base in getattr(name.node, "bases", ()))
