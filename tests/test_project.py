"""Rules that hold for the whole project."""

import ast
import re
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import neuralop_jax

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "neuralop_jax").rglob("*.py"))
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml"}
CALLS = {"eval", "exec", "extractall", "unsafe_load", "__import__", "system", "popen"}
ALLOWED = {"model.eval", "platform.system"}  # of PyTorch, in the process of the peer; the name of the operating system


def dangers(code: str) -> list[str]:
    """What in `code` could run instructions that come from a file."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            origin = (node.module or "").split(".")[0] if isinstance(node, ast.ImportFrom) else ""
            found += sorted(({alias.name.split(".")[0] for alias in node.names} | {origin}) & MODULES)
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            found += [name] * (name.rpartition(".")[2] in CALLS and name not in ALLOWED)
            found += [word.arg for word in node.keywords if word.arg == "allow_pickle" and ast.unparse(word.value) != "False"]
            found += [word.arg for word in node.keywords if word.arg == "shell" and ast.unparse(word.value) != "False"]
    return found


def test_files_are_short():
    lengths = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in SOURCES}
    assert not [f"{path}: {length}" for path, length in lengths.items() if length > 400]
    assert statistics.median(lengths.values()) < 180


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_can_run_code_from_a_file(path):
    assert dangers(path.read_text()) == []


@pytest.mark.parametrize(
    "code",
    ["import pickle", "from pickle import loads", "import yaml", "eval(x)", "tar.extractall()", "np.load(p, allow_pickle=True)"],
)
def test_the_rule_above_finds(code):
    assert dangers(code)


def test_no_test_changes_the_settings_of_others():
    """Settings of JAX outlive the file that changes them: one file did so, and the files after it compiled for minutes longer."""
    settings = "config." + "update("
    assert [path.name for path in (ROOT / "tests").rglob("*.py") if settings in path.read_text()] == ["conftest.py"]


def test_every_fault_has_its_test():
    names = re.findall(r"def test_f(\d\d)_", "".join(path.read_text() for path in (ROOT / "tests/faults").glob("test_*.py")))
    assert {int(name) for name in names} == set(range(1, 33))


def test_constraints_are_pins_without_addresses():
    text = (ROOT / "constraints.txt").read_text()
    assert "://" not in text
    assert all(re.match(r"[\w.\[\]-]+==\S+", line) for line in text.splitlines() if line.strip() and not line.startswith("#"))


def test_version_is_the_same_everywhere():
    version = neuralop_jax.__version__
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1] == version


def test_package_is_typed_and_licensed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (ROOT / "neuralop_jax/py.typed").read_bytes() == b""
    assert project["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()


def test_import_loads_nothing_heavy():
    code = "import neuralop_jax, sys; print([m for m in ('jax', 'orbax', 'matplotlib', 'h5py', 'grain') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["FNO", "ClassicFNO", "Normalized", "build", "spec_of", "apply_batched", "Grid"])
def test_names_of_the_package(name):
    assert getattr(neuralop_jax, name) is getattr(neuralop_jax, name)
    assert name in dir(neuralop_jax)


def test_packages_are_reached_through_the_package():
    assert neuralop_jax.rollout.rollout is neuralop_jax.losses._rollout.rollout
    with pytest.raises(AttributeError, match="no attribute 'FN0'"):
        neuralop_jax.FN0  # noqa: B018
