"""The facts of a run that are on its page."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from neuralop_jax import viz
from neuralop_jax.config import ExperimentConfig
from neuralop_jax.grids import Grid
from neuralop_jax.info import DatasetInfo


@dataclasses.dataclass(frozen=True)
class Shown:
    """One sample and its prediction."""

    title: str
    u: np.ndarray
    target: np.ndarray
    prediction: np.ndarray


@dataclasses.dataclass(frozen=True)
class SplitReport:
    """What the report says of a split.

    - `errors`: mean errors, as in `results.json`.
    - `sample_errors`: relative L2 error of each sample that was predicted.
    - `shown`: the median and the worst sample.
    - `spectra`: energy by wavenumber of target, prediction and error, as a share of the target's, the mean over samples and
        channels.
    """

    grid: Grid
    count: int
    errors: dict[str, Any]
    sample_errors: np.ndarray
    shown: tuple[Shown, ...]
    spectra: Mapping[str, list[float]]


@dataclasses.dataclass(frozen=True)
class RunReport:
    """Everything on the page; what a run that was interrupted lacks is empty, and `notes` say so."""

    name: str
    finished: bool
    config: ExperimentConfig
    results: Mapping[str, Any]
    environment: Mapping[str, Any]
    metrics: tuple[Mapping[str, Any], ...]
    info: DatasetInfo | None
    spec: Mapping[str, Any]
    parameters: int
    input: tuple[viz.Label, ...]
    output: tuple[viz.Label, ...]
    splits: Mapping[str, SplitReport]
    certificate: Mapping[str, Any]
    notes: tuple[str, ...]
