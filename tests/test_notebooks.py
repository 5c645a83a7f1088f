"""Notebooks run from top to bottom, in a quick mode, and say what their text claims."""

import re
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient
from notebook_claims import (
    claims_of_darcy_inversion as claims_of_darcy_inversion,
    claims_of_deeponet_multionet as claims_of_deeponet_multionet,
    number,
)

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
    assert len(rows) >= 4 and max(float(apart) for _, apart in rows) < 1e-5
    assert len({round(float(error), 5) for error, _ in rows}) == 1  # the same error on every grid
    misplaced, placed = (float(found) for found in re.findall(r"by \w+ +relative error (\S+)", printed))
    assert misplaced > 0.5 and placed < 1e-5
    even, odd = re.findall(r"shifted twice (\S+), shifted back (\S+)", printed)
    assert float(odd[0]) > 0.5 and max(map(float, (*even, odd[1]))) < 1e-12
    exact = printed.split("shifted")[0]
    assert exact.count("  exact") >= 4 and "fails" not in printed and exact.count("  modes cut off") >= 1


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


def claims_of_multigrid(printed: str, num_pictures: int) -> None:
    assert num_pictures == 3
    assert 0.3 < number(printed, "V-cycle, Jacobi") < 0.37  # whatever the grid
    table = printed.split("iterations  ")[1].replace(",", "")
    steps = [number(table, f"{name}  ") for name in ("both", "V-cycles", "conjugate gradients", "Jacobi alone")]
    assert steps == sorted(steps) and steps[0] < 10


def claims_of_mgno(printed: str, num_pictures: int) -> None:
    assert num_pictures == 2 and number(printed, "weights: ") == 36
    assert all(float(found) < 1e-12 for found in re.findall(r"MgNO is the V-cycle to (\S+)", printed))
    names = ("V-cycle  ", "MgNO, textbook form", "MgNO, released form", "no preconditioner")
    classical, textbook, released, none = (number(printed.split("conjugate gradients, steps")[1], name) for name in names)
    assert classical == textbook < released < none
    rules = [line.split()[-4:] for line in printed.split("replicate   periodic\n")[1].splitlines()[:4]]
    assert [[found == "exact" for found in row] for row in rules] == [[i == j for j in range(4)] for i in range(4)]
    assert number(printed, "periodic:                           shift before or after, difference ") < 1e-12


CLAIMS = {name.removeprefix("claims_of_"): check for name, check in globals().items() if name.startswith("claims_of_")}


@pytest.mark.filterwarnings("ignore")  # of the Jupyter machinery; the notebook itself runs in a process of its own
@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.py")), ids=lambda path: path.stem)
def test_runs(path, monkeypatch, request):
    whole = request.config.getoption("--whole-notebooks")
    if not whole:
        monkeypatch.setenv("NEURALOP_JAX_QUICK", "1")
    notebook = jupytext.read(path)
    for place, cell in enumerate(notebook.cells):
        cell.id = f"cell-{place}"  # else random ones, which change the file when nothing else does
    resources = {"metadata": {"path": NOTEBOOKS}}
    NotebookClient(notebook, timeout=3600, kernel_name="python3", resources=resources, record_timing=False).execute()
    if whole:
        nbformat.write(notebook, path.with_suffix(".ipynb"))
    check(path.stem, notebook)


def check(name, notebook):
    """What a notebook claims, by what it shows; nothing is said on standard error."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    assert not [output for output in outputs if output.get("name") == "stderr"]
    CLAIMS[name](printed, sum(bool(output.get("data", {}).keys() & {"image/png", "image/gif"}) for output in outputs))


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.py")), ids=lambda path: path.stem)
def test_executed_notebook_is_that_of_the_source(path):
    source, executed = jupytext.read(path), nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    assert [cell.source for cell in source.cells] == [cell.source for cell in executed.cells]
    assert all(cell.execution_count for cell in executed.cells if cell.cell_type == "code")
    check(path.stem, executed)
