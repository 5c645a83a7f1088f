"""Every registered model in small, and inputs for it: what the tests of all models have in common."""

import dataclasses
import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from neuralop_jax.models import REGISTRY, build

KINDS = sorted(REGISTRY)


@dataclasses.dataclass(frozen=True)
class Case:
    """A small model on a grid of 16 x 16 points, or on series of 16 observations.

    - `options`: of its specification, without channels.
    - `resolution`: the largest relative difference between its values at 16 and at 32 points per axis, on the points that both
        grids have, for a band-limited input; `None` for a model that claims nothing of the kind.
    - `out_channels`: channels of its output for an input of two.
    - `in_training`: whether a key changes the result (dropout, batch statistics).
    - `series`: whether it reads series, the first channel of which holds increasing times, instead of fields in the plane.
    """

    options: dict[str, Any]
    resolution: float | None = None
    out_channels: int = 1
    in_training: bool = False
    series: bool = False


CASES: dict[str, Case] = {
    "fno": Case({"n_modes": [6, 6], "width": 8, "depth": 2}, resolution=2e-3),
    "tfno": Case({"n_modes": [6, 6], "width": 8, "depth": 2, "rank": 0.3}, resolution=2e-3),
    "classic_fno": Case({"n_modes": [6, 6], "width": 8, "depth": 2}),
    "multigrid_patches": Case(
        {"operator": {"kind": "fno", "n_modes": [4, 4], "width": 8, "depth": 2}, "levels": 1, "padding": 0.125},
    ),
    "mgno": Case({"width": 6, "depth": 2, "smoothing": [[1, 0], [1, 1], [2, 0]]}),
    "lsm": Case({"width": 8, "num_scales": 3, "num_tokens": 2, "num_basis": 3}),
    "irregular_lsm": Case(
        {"width": 8, "n_modes": [8, 8], "latent_shape": [16, 16], "num_scales": 3, "num_tokens": 2, "num_basis": 3}
        | {"deformation_width": 8},
    ),
    "factformer": Case(
        {"width": 8, "depth": 2, "heads": 2, "head_width": 4, "norm_groups": 2, "periodic": True}, resolution=2e-3
    ),
    "autoregressive": Case(
        {"operator": {"kind": "fno", "n_modes": [6, 6], "width": 8, "depth": 1}, "times": [0.5, 1.25], "time_step": 0.5},
        resolution=2e-3,
        out_channels=4,
    ),
    "continuous_time": Case(
        {"operator": {"kind": "fno", "n_modes": [6, 6], "width": 8, "depth": 1}, "times": [0.5, 1.0], "time_step": 0.5}
        | {"solver": "heun"},
        resolution=2e-3,
        out_channels=4,
    ),
    "implicit_fno": Case({"n_modes": [6, 6], "width": 6, "rtol": 1e-7, "max_steps": 24, "accept": 10}, resolution=2e-3),
    "deeponet": Case({"width": 16, "num_basis": 32}),
    "pod_deeponet": Case({"width": 16, "num_modes": 16}),
    "neural_cde": Case({"width": 4, "hidden": [6], "steps": 1}, series=True),
    "multionet": Case({"width": 16, "depth": 3, "sum_layers": 2}),
}
"""A case for every entry of the registry: a model that is not here fails the test."""
SHORTER = {
    "fno": {"depth": 1},
    "tfno": {"depth": 1},
    "classic_fno": {"depth": 1},
    "factformer": {"depth": 1},
    "mgno": {"depth": 1},
    "lsm": {"num_scales": 2},
    "irregular_lsm": {"num_scales": 2},
    "continuous_time": {"solver": "euler", "times": [1.0]},
    "autoregressive": {"times": [1.0]},
}
"""Options by which a case compiles faster, where one block, step or scale shows as much as several."""


@functools.cache
def model_of(kind):
    return build_case(kind)


def build_case(kind, **changes):
    """The small model with other options; it has two channels for each of its output times."""
    spec = {"kind": kind, **CASES[kind].options, **changes}
    channels = {"in_channels": 2, "out_channels": 2 * len(spec["times"]) if "times" in spec else CASES[kind].out_channels}
    axes = 1 if CASES[kind].series else 2
    return in_double(build(spec, **channels, num_dims=axes, sensors=(16,) * axes, key=jax.random.key(0)))


def in_double(model):
    return in_precision(model, np.float64)


def in_precision(model, dtype):
    """The conversion is NumPy's: JAX would compile one for every shape."""
    return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf, dtype)) if eqx.is_inexact_array(leaf) else leaf, model)


def waves(points, dtype=np.float64):
    """Four samples of two channels with wavenumbers up to two, on `points` of the unit box per axis, the right end left out."""
    x = 2 * np.pi * np.arange(points) / points
    phases = np.random.default_rng(0).uniform(0, 6, (4, 2, 2, 3))
    along = lambda axis: np.cos(np.arange(3)[:, None] * x + phases[:, :, axis, :, None]) / (1 + np.arange(3)[:, None])
    return np.einsum("bckx,bcky->bcxy", along(0), along(1)).astype(dtype)


def inputs(kind, points=16):
    """The waves, or for a model of series one line of them behind increasing times, which differ from sample to sample."""
    if not CASES[kind].series:
        return jnp.asarray(waves(points))
    times = np.cumsum(1 + 0.5 * waves(points)[:, 0, 0], axis=-1) / points
    return jnp.asarray(np.stack([times, waves(points)[:, 1, 0]], axis=1))
