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


def claims_of_own_data(printed: str, num_pictures: int) -> None:
    assert num_pictures == 2
    waves = [float(number) for number in re.findall(r"\d\.\d+e-04", printed.split("diffusivity by the waves")[1])]
    assert waves[2:4] == pytest.approx(2 * [waves[-1]], rel=0.03)  # 100 steps find the third and fourth wave
    assert "training code loaded: False" in printed and printed.count("ModelInputError: ") == 3
    assert float(printed.split("from the live operator: ")[1].split()[0]) < 2e-6


def claims_of_resolution_transfer(printed: str, num_pictures: int) -> None:
    assert num_pictures == 5
    rows = re.findall(r"^ +\d+ x \d+ +(0\.\d{6}) +(\S+)$", printed, re.MULTILINE)
    assert len(rows) == 4 and max(float(apart) for _, apart in rows) < 1e-5
    assert len({round(float(error), 5) for error, _ in rows}) == 1  # the same error on every grid
    misplaced, placed = (float(found) for found in re.findall(r"by \w+ +relative error (\S+)", printed))
    assert misplaced > 0.5 and placed < 1e-5
    even, odd = re.findall(r"shifted twice (\S+), shifted back (\S+)", printed)
    assert float(odd[0]) > 0.5 and max(map(float, (*even, odd[1]))) < 1e-12
    exact = printed.split("shifted")[0]
    assert exact.count("  exact") == 4 and "fails" not in printed and exact.count("  modes cut off") == 1


def claims_of_tfno_compression(printed: str, num_pictures: int) -> None:
    assert num_pictures == 3
    weights, outputs = re.search(r"weights differ by (\S+), outputs by (\S+)", printed).groups()
    assert float(weights) < 1e-12 and float(outputs) < 1e-4
    (share,) = re.findall(r"^tucker +0\.1 +[\d,]+ +(0\.\d+)", printed, re.MULTILINE)
    assert 0.1 < float(share) < 0.2  # a tenth of the spectral weights, and the rest of the network


def claims_of_latent_spectral(printed: str, num_pictures: int) -> None:
    assert num_pictures == 5
    assert all(float(found) < 1e-5 for found in re.findall(r"written out as the block to (\S+)", printed))
    assert "tokens stay as they are: True" in printed
    assert float(printed.split("as published: tanh ")[1].split(",")[0]) < 1e-3


def claims_of_multi_device(printed: str, num_pictures: int) -> None:
    assert num_pictures == 1 and "8 devices: " in printed
    assert float(printed.split("largest relative difference: ")[1].split(";")[0]) < 2e-5
    assert float(printed.split("outputs of the two operators differ by ")[1].split()[0]) < 1e-3
    numbers = lambda pattern: [int(found.replace(",", "")) for found in re.findall(pattern, printed)]
    (parameters,), (sent,) = numbers(r"([\d,]+) parameters"), numbers(r"\ndata: ([\d,]+) bytes")
    assert sent == 2 * 7 / 8 * 4 * parameters
    whole, cut = numbers(r"([\d,]+) bytes on each of 8 devices")
    assert cut < whole / 4


CLAIMS = {
    "fno_darcy": claims_of_fno_darcy,
    "latent_spectral": claims_of_latent_spectral,
    "moving_from_pytorch": claims_of_moving_from_pytorch,
    "multi_device": claims_of_multi_device,
    "own_data": claims_of_own_data,
    "resolution_transfer": claims_of_resolution_transfer,
    "tfno_compression": claims_of_tfno_compression,
}


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
