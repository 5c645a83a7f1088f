"""Grids for the evaluation: taken from the file point by point, never interpolated."""

import numpy as np
import pytest

from neuralop_jax.cli._held_out import Subsampled, on_grid, parse_resolutions
from neuralop_jax.data import HDF5Dataset, write_hdf5
from neuralop_jax.errors import ConfigError
from neuralop_jax.grids import Grid
from neuralop_jax.info import DatasetInfo, FieldInfo, SplitInfo

OPEN = (False, False)


def test_choice_of_split():
    splits = {n: Grid((n, n), endpoint=OPEN) for n in (16, 32, 64)}
    named = {f"test_{n}": grid for n, grid in splits.items()}
    assert on_grid(named, (32, 32)) == {"test_32": (1, 1)}
    assert on_grid(named, (8, 16)) == {"test_16": (2, 1)}
    assert on_grid({**named, "other": splits[32]}, (32, 32)) == {"test_32": (1, 1), "other": (1, 1)}
    with pytest.raises(
        ConfigError, match=r"^--resolution 24x24: .* never interpolates\. Found: test_16 \(16x16\), test_32 \(32x32\)"
    ):
        on_grid(named, (24, 24))


def test_resolutions():
    assert parse_resolutions("16, 64x32", 2) == [(16, 16), (64, 32)]
    assert parse_resolutions("128", 1) == [(128,)]
    for text in ("a", "16x", "0", "16x16x16", "", "-3", "1.5"):
        with pytest.raises(ConfigError, match=r"^--resolution must be points per axis such as 16,32 or 64x64, got "):
            parse_resolutions(text, 2)


def test_subsampled_holds_the_points_of_the_fine_grid(tmp_path):
    grid = Grid((8, 6), ((0.0, 2.0), (0.0, 1.0)), ("periodic", "periodic"))
    x, y = np.meshgrid(*grid.coordinates(), indexing="ij")
    u = np.stack([np.sin(np.pi * x) + k * y for k in range(3)])
    info = DatasetInfo("toy", "", (FieldInfo("u"), FieldInfo("v")), {"test": SplitInfo(3, grid)})
    write_hdf5(tmp_path / "toy.h5", info, {"test": {"u": u, "v": 2 * u}})
    fine = HDF5Dataset(tmp_path / "toy.h5", "test", "u", "v")
    coarse = Subsampled(fine, (2, 3))
    assert coarse.grid == grid.with_shape((4, 2)) and len(coarse) == 3
    a, b = np.meshgrid(*coarse.grid.coordinates(), indexing="ij")
    np.testing.assert_allclose(coarse[2].inputs["u"][0], np.sin(np.pi * a) + 2 * b, atol=1e-6)
    np.testing.assert_array_equal(coarse[2].target, 2 * coarse[2].inputs["u"])
