"""Rules that hold for the whole project."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "neuralop_jax").rglob("*.py"))
FORBIDDEN = {"eval", "exec", "extractall", "pickle", "cPickle", "dill", "cloudpickle", "unsafe_load"}


def test_files_are_short():
    lengths = sorted(len(path.read_text().splitlines()) for path in SOURCES)
    assert lengths[-1] <= 400 and lengths[len(lengths) // 2] < 180


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_can_run_code_from_a_file(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name.split(".")[0] for alias in node.names} | {getattr(node, "module", None) or ""}
            assert not names & FORBIDDEN
        elif isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            assert name not in FORBIDDEN or ast.unparse(node.func).endswith("model.eval")
            assert not any(k.arg == "allow_pickle" and ast.unparse(k.value) != "False" for k in node.keywords)


def test_constraints_hold_no_address():
    assert "://" not in (ROOT / "constraints.txt").read_text()


def test_import_loads_nothing_heavy():
    code = "import neuralop_jax, sys; print([m for m in ('jax', 'orbax', 'matplotlib', 'h5py', 'grain') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
