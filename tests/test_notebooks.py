"""Notebooks run from top to bottom, in a quick mode, and say what their text claims."""

from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


@pytest.mark.filterwarnings("ignore")  # of the Jupyter machinery; the notebook itself runs in a process of its own
@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.py")), ids=lambda path: path.stem)
def test_runs(path, monkeypatch):
    monkeypatch.setenv("NEURALOP_JAX_QUICK", "1")
    notebook = jupytext.read(path)
    NotebookClient(notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": NOTEBOOKS}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 6
    assert "same numbers: True" in printed
    difference = float(printed.split("largest relative difference: ")[1].split()[0])
    assert difference < 1e-5
    assert not [output for output in outputs if output.get("name") == "stderr"]


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.py")), ids=lambda path: path.stem)
def test_executed_notebook_is_that_of_the_source(path):
    source, executed = jupytext.read(path), nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    assert [cell.source for cell in source.cells] == [cell.source for cell in executed.cells]
    assert all(cell.execution_count for cell in executed.cells if cell.cell_type == "code")
