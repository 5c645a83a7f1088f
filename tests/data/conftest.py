import zipfile

import numpy as np
import pytest

from neuralop_jax.data import write_hdf5
from neuralop_jax.grids import Grid
from neuralop_jax.info import DatasetInfo, FieldInfo, SplitInfo


class Toy:
    """A small dataset with everything: two grids, a channel axis, a time axis, several types."""

    def __init__(self, path):
        rng = np.random.default_rng(0)
        grid = Grid((4, 6), ((0.0, 1.0), (-1.0, 2.0)), ("dirichlet", "periodic"), (True, False), ("x", "z"), "m")
        self.path = path
        self.info = DatasetInfo(
            name="toy",
            title="Ein Spielzeug: ν und Δ",
            fields=(
                FieldInfo("velocity", unit="m/s", description="two components", channels=2),
                FieldInfo("heat", unit="K", time_varying=True),
                FieldInfo("solid"),
            ),
            splits={
                "train": SplitInfo(7, grid, (0.0, 0.1, 0.5), "s"),
                "test": SplitInfo(3, grid.with_shape((3, 5)), (0.0, 0.2), "s"),
            },
            parameters={"viscosity": 0.1, "mass": 3.0},
            license="CC0-1.0",
            citation="",
            source="random numbers",
        )
        self.arrays = {
            name: {
                "velocity": rng.normal(size=(s.num_samples, 2, *s.grid.shape)),
                "heat": rng.normal(size=(s.num_samples, len(s.times), *s.grid.shape)).astype(np.float32),
                "solid": rng.random((s.num_samples, *s.grid.shape)) < 0.5,
            }
            for name, s in self.info.splits.items()
        }
        write_hdf5(path, self.info, self.arrays)


@pytest.fixture
def toy(tmp_path):
    return Toy(tmp_path / "toy.h5")


@pytest.fixture
def write(tmp_path):
    """Writes an archive as PyTorch does, from the instructions of its pickle and the bytes of its storages."""

    def write(instructions, *storages, more=(), compression=zipfile.ZIP_STORED, whole=False):
        path = tmp_path / "x.pt"
        with zipfile.ZipFile(path, "w", compression) as archive:
            archive.writestr("x/data.pkl", instructions if whole else b"\x80\x02" + instructions + b".")
            for number, storage in enumerate(storages):
                archive.writestr(f"x/data/{number}", storage)
            for name, content in more:
                archive.writestr(name, content)
        return path

    return write
