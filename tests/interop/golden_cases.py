"""The reference numbers beside this file, ready for use."""

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np

FOLDER = pathlib.Path(__file__).with_name("golden")
NAMES = sorted(f"{path.parent.name}/{path.stem}" for path in FOLDER.glob("*/*.npz"))


@dataclasses.dataclass(frozen=True)
class Golden:
    """One case: how to build the network, what goes in, what comes out."""

    family: str
    config: dict[str, Any]
    parameters: int
    state: dict[str, np.ndarray]
    x: np.ndarray
    others: dict[str, np.ndarray]
    y: np.ndarray
    gradient: np.ndarray


def golden(name: str, double: bool = True) -> Golden:
    """The case `family/name`, with weights and input in double or single precision."""
    said = json.loads((FOLDER / f"{name}.json").read_text())
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as data:
        arrays = dict(data)
    state = {key.removeprefix("param:"): value for key, value in arrays.items() if key.startswith("param:")}
    others = {key.removeprefix("in:"): value for key, value in arrays.items() if key.startswith("in:") and key != "in:x"}
    x = arrays["in:x"]
    if double:
        state = {key: value.astype(np.result_type(value.dtype, np.float64)) for key, value in state.items()}
        x, others = x.astype(np.float64), {key: value.astype(np.float64) for key, value in others.items()}
    family, y, gradient = name.partition("/")[0], arrays["out:y"], arrays["grad:x"]
    return Golden(family, said["config"], said["parameters"], state, x, others, y, gradient)
