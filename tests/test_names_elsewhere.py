"""The names of this library in the tables for users of neuraloperator and DeepXDE exist."""

import dataclasses
import functools
import inspect
import re
from pathlib import Path

import neuralop_jax
from neuralop_jax.config import ExperimentConfig
from neuralop_jax.interop import _neuraloperator
from neuralop_jax.models import FNO

TEXT = (Path(__file__).parent.parent / "notebooks/moving_from_pytorch.py").read_text()
ROWS = [[cell.strip() for cell in row.split("|")[1:-1]] for row in re.findall(r"^# (\|.*\|)$", TEXT, re.MULTILINE)]


def tables() -> list[tuple[str, list[str], list[list[str]]]]:
    """What stands over the left column, names over the middle one, and the rows."""
    starts = [i - 1 for i, row in enumerate(ROWS) if set(row[0]) == {"-"}]
    ends = [*starts[1:], len(ROWS)]
    return [(ROWS[a][0], code(ROWS[a][1]), ROWS[a + 2 : b]) for a, b in zip(starts, ends)]


def code(cell: str) -> list[str]:
    """The names in a cell; strings are values, and what begins with a number, a path or a condition is none."""
    return [found for found in re.findall(r"`([^`]+)`", cell) if re.fullmatch(r"[A-Za-z_]\w*(\.\w+)*", found)]


def exists(name: str, arguments_of: list[str]) -> bool:
    """An argument of what the head names, an option of a configuration, or a name of the library."""
    if any(name in inspect.signature(named(each)).parameters for each in arguments_of):
        return True
    section, _, option = name.partition(".")
    sections = {field.name: field.type for field in dataclasses.fields(ExperimentConfig)}
    if section in sections and option in {field.name for field in dataclasses.fields(sections[section])}:
        return True
    try:
        return "." in name and named(name) is not None
    except AttributeError:
        return False


def named(name: str) -> object:
    return functools.reduce(getattr, name.split("."), neuralop_jax)


MIDDLE = [(name, head) for _, head, rows in tables() for row in rows for name in code(row[1])]
REMARKS = [(name, head) for _, head, rows in tables() for row in rows for name in code(row[2]) if "." in name]


def test_tables_are_found():
    assert len(tables()) == 9 and len(MIDDLE) > 80 and len(REMARKS) > 10
    assert exists("width", ["models.FNO"]) and exists("training.steps", []) and exists("losses.mse", [])
    assert not any(exists(name, ["models.FNO"]) for name in ("hidden_channels", "training.epochs", "losses.LpLoss", "mse"))


def test_every_row_has_a_name_or_a_dash():
    rows = [row for _, _, rows in tables() for row in rows]
    assert [row for row in rows if len(row) != 3 or not (code(row[1]) or row[1] == "–")] == []


def test_names_exist():
    assert [name for name, head in MIDDLE + REMARKS if not exists(name, head)] == []


def test_arguments_of_fno_are_complete():
    """Those of neuraloperator are the ones that its weights are converted with, and each of ours stands in a row or is our own."""
    head, _, rows = tables()[0]
    assert head == "`neuralop.models.FNO`"
    left = {name for row in rows for name in code(row[0])}
    assert left == {*_neuraloperator._REQUIRED, *_neuraloperator._DEFAULTS, "conv_module"}
    ours = {name for row in rows for cell in row[1:] for name in code(cell)}
    own = {"bypass_bias", "joint", "tensor_dropout", "tensor_dropout_rescale", "transform", "key"}
    assert set(inspect.signature(FNO).parameters) - ours == own
