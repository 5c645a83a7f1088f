"""Notebooks run from top to bottom, in a quick mode, and say what their text claims."""

import re
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def claims_of_fno_darcy(printed: str, num_pictures: int) -> None:
    assert num_pictures == 6
    assert "same numbers: True" in printed
    assert float(printed.split("largest relative difference: ")[1].split()[0]) < 1e-5


def claims_of_moving_from_pytorch(printed: str, num_pictures: int) -> None:
    assert num_pictures == 1
    errors = {split: float(error) for split, error in re.findall(r"(\w+): relative L2 (\S+)", printed)}
    assert errors.keys() == {"test_16", "test_32"} and max(errors.values()) < 0.7


CLAIMS = {"fno_darcy": claims_of_fno_darcy, "moving_from_pytorch": claims_of_moving_from_pytorch}


@pytest.mark.filterwarnings("ignore")  # of the Jupyter machinery; the notebook itself runs in a process of its own
@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.py")), ids=lambda path: path.stem)
def test_runs(path, monkeypatch):
    monkeypatch.setenv("NEURALOP_JAX_QUICK", "1")
    notebook = jupytext.read(path)
    NotebookClient(notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": NOTEBOOKS}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    assert not [output for output in outputs if output.get("name") == "stderr"]
    CLAIMS[path.stem](printed, sum("image/png" in output.get("data", {}) for output in outputs))


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.py")), ids=lambda path: path.stem)
def test_executed_notebook_is_that_of_the_source(path):
    source, executed = jupytext.read(path), nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    assert [cell.source for cell in source.cells] == [cell.source for cell in executed.cells]
    assert all(cell.execution_count for cell in executed.cells if cell.cell_type == "code")
