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
    inputs: dict[str, np.ndarray]
    first: str
    y: np.ndarray
    gradient: np.ndarray

    @property
    def x(self) -> np.ndarray:
        """The input by whose name the gradient is known."""
        return self.inputs[self.first]

    @property
    def others(self) -> dict[str, np.ndarray]:
        """The inputs beside it."""
        return {name: value for name, value in self.inputs.items() if name != self.first}


def golden(name: str, double: bool = True) -> Golden:
    """The case `family/name`, with weights and input in double or single precision."""
    said = json.loads((FOLDER / f"{name}.json").read_text())
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as data:
        arrays = dict(data)
    state = {key.removeprefix("param:"): value for key, value in arrays.items() if key.startswith("param:")}
    inputs = {key.removeprefix("in:"): value for key, value in arrays.items() if key.startswith("in:")}
    (first,) = (key.removeprefix("grad:") for key in arrays if key.startswith("grad:"))
    if double:
        state = {key: value.astype(np.result_type(value.dtype, np.float64)) for key, value in state.items()}
        inputs = {key: value.astype(np.float64) for key, value in inputs.items()}
    family, gradient = name.partition("/")[0], arrays[f"grad:{first}"]
    return Golden(family, said["config"], said["parameters"], state, inputs, first, arrays["out:y"], gradient)
