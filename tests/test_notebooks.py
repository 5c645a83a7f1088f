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


def number(printed: str, before: str) -> float:
    """The number that was printed behind a text."""
    return float(printed.split(before)[1].split()[0])


def claims_of_fno_burgers(printed: str, num_pictures: int) -> None:
    assert num_pictures == 5
    assert number(printed, "largest difference from the exact solution: ") < 1e-4
    assert number(printed, "largest change of a mean velocity: ") < 1e-5
    assert number(printed, "largest error over smallest: ") < 1.02  # of a hardly trained network, too
    assert number(printed, "without the coordinate, before any training: ") < 1e-5


def claims_of_continuous_time(printed: str, num_pictures: int) -> None:
    assert num_pictures == 4
    for claim in ("missing values are not read", "the future changes no earlier answer"):
        assert f"{claim}: True" in printed
    assert number(printed, "along 64 observations: ") == 2 * 63
    rows = re.findall(r"bosh3 +1e-0[25] +(\S+) +(\S+)", printed)
    (cheap, far), (dear, near) = ((float(cost), float(apart)) for cost, apart in rows)
    assert cheap < dear and near < 1e-4 and near < far


def claims_of_factformer_kolmogorov(printed: str, num_pictures: int) -> None:
    assert num_pictures == 4
    assert number(printed, "which the equation keeps: ") < 1e-4
    assert number(printed, "difference between the two grids: ") < 0.1  # of hardly trained features


def claims_of_fno_navier_stokes(printed: str, num_pictures: int) -> None:
    assert num_pictures == 4
    assert number(printed, "which the equation keeps at 0: ") < 1e-5
    ours = re.search(r"ours.*? (\d\.\d+) +(\d\.\d+)", printed)
    assert abs(float(ours[1]) - float(ours[2])) < 0.1 * float(ours[1])


CLAIMS = {name.removeprefix("claims_of_"): check for name, check in globals().items() if name.startswith("claims_of_")}


@pytest.mark.filterwarnings("ignore")  # of the Jupyter machinery; the notebook itself runs in a process of its own
@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.py")), ids=lambda path: path.stem)
def test_runs(path, monkeypatch):
    monkeypatch.setenv("NEURALOP_JAX_QUICK", "1")
    notebook = jupytext.read(path)
    NotebookClient(notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": NOTEBOOKS}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    assert not [output for output in outputs if output.get("name") == "stderr"]
    CLAIMS[path.stem](printed, sum(bool(output.get("data", {}).keys() & {"image/png", "image/gif"}) for output in outputs))


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.py")), ids=lambda path: path.stem)
def test_executed_notebook_is_that_of_the_source(path):
    source, executed = jupytext.read(path), nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    assert [cell.source for cell in source.cells] == [cell.source for cell in executed.cells]
    assert all(cell.execution_count for cell in executed.cells if cell.cell_type == "code")
