"""Fields in and out of a prediction."""

import h5py
import numpy as np
import pytest

from neuralop_jax.cli._fields import check_new, read_fields, write_fields
from neuralop_jax.config import DataConfig
from neuralop_jax.data import HDF5Dataset, write_hdf5
from neuralop_jax.errors import DataError
from neuralop_jax.grids import Grid
from neuralop_jax.info import DatasetInfo, FieldInfo, SplitInfo

DATA = DataConfig("unused.h5", ("a",), ("v", "w"))
U = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)


class Marker:
    """A pickle that leaves a trace when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_numpy_files(tmp_path):
    np.save(tmp_path / "u.npy", U)
    np.save(tmp_path / "one.npy", U[1])
    np.save(tmp_path / "channels.npy", np.stack([U, U + 1], axis=1))
    np.savez(tmp_path / "named.npz", b=U + 1, a=U, c=np.array("text"))
    np.savez(tmp_path / "alone.npz", whatever=U.astype(int))
    for name in ("u.npy", "alone.npz", "named.npz"):
        values, grid = read_fields(tmp_path / name, DATA, 2, "")
        assert grid is None and values.dtype == np.float32
        np.testing.assert_array_equal(values, U[:, None])
    np.testing.assert_array_equal(read_fields(tmp_path / "one.npy", DATA, 2, "")[0], U[1][None, None])
    values, _ = read_fields(tmp_path / "channels.npy", DATA, 2, "")
    np.testing.assert_array_equal(values, np.stack([U, U + 1], axis=1))
    both = DataConfig("unused.h5", ("b", "a"), ("v",))
    np.testing.assert_array_equal(read_fields(tmp_path / "named.npz", both, 2, "")[0], np.stack([U + 1, U], axis=1))


def test_hdf5_files(tmp_path):
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        file["a"] = U
        file["other"] = np.zeros(5)
    values, grid = read_fields(tmp_path / "plain.h5", DATA, 2, "")
    np.testing.assert_array_equal(values, U[:, None])
    assert grid is None
    values, _ = read_fields(tmp_path / "plain.h5", DATA, 1, "")  # 3 channels on a line of 4 points
    np.testing.assert_array_equal(values, U)
    stated = Grid((3, 4), boundary=("periodic", "open"))
    info = DatasetInfo("toy", "", (FieldInfo("a"),), {"x": SplitInfo(2, stated), "y": SplitInfo(1, stated)})
    write_hdf5(tmp_path / "ours.h5", info, {"x": {"a": U}, "y": {"a": U[:1]}})
    values, grid = read_fields(tmp_path / "ours.h5", DATA, 2, "x")
    np.testing.assert_array_equal(values, U[:, None])
    assert grid == stated
    with pytest.raises(DataError, match=r"has the splits x, y\. Choose one with --split\."):
        read_fields(tmp_path / "ours.h5", DATA, 2, "")


def test_refused_arrays(tmp_path):
    def refused(name, values):
        np.save(tmp_path / f"{name}.npy", values)
        with pytest.raises(DataError) as caught:
            read_fields(tmp_path / f"{name}.npy", DATA, 2, "")
        return str(caught.value)

    assert "has shape (3,), wanted (x, y), (samples, x, y) or (samples, channels, x, y)." in refused("rank", np.zeros(3))
    assert "holds complex128, wanted real numbers" in refused("complex", U.astype(complex))
    assert "holds <U4, wanted real numbers" in refused("text", np.array([["text"]]))
    assert "holds 1 non-finite values, first at [1, 0, 0, 2]." in refused("nan", np.where(U == 14, np.nan, U))
    assert "has shape (0, 3, 4): it holds no samples, wanted one or more." in refused("empty", U[:0])
    assert "has shape (2, 0, 3, 4): it holds no channels" in refused("channels", np.zeros((2, 0, 3, 4)))
    assert "has shape (2, 3, 0): it holds no points" in refused("points", U[..., :0])


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_pickles_are_not_run(tmp_path, suffix):
    marker, file = tmp_path / "marker", tmp_path / f"evil.{suffix}"
    {"npy": np.save, "npz": np.savez}[suffix](file, np.array([Marker(marker)], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"holds pickled objects, which can run code when opened; refused\."):
        read_fields(file, DATA, 2, "")
    assert not marker.exists()


def test_damaged_and_missing_files(tmp_path):
    np.save(tmp_path / "u.npy", U)
    whole = (tmp_path / "u.npy").read_bytes()
    for name, content, message in (
        ("cut.npy", whole[:-5], "is not a NumPy file, or is damaged: .* Save it again"),
        ("head.npy", whole[:20], "is not a NumPy file, or is damaged"),
        ("zip.npz", b"PK\x03\x04junk", "is not a NumPy file, or is damaged"),
        ("empty.npz", b"", r"is not a NumPy file: it is empty\. Download"),
        ("text.npz", b"<!doctype html>", "is not a NumPy file .* returned a web page"),
        ("junk.npz", b"\xff\x02 junk", r"is not a NumPy file \(starts with 'ff 02 20 .*'\): download or generate it again"),
        ("pickle.npz", b"\x80\x04junk", "is a pickle-based file, which can run code when opened"),
        (
            "u.csv",
            b"0.1,0.2\n",
            "is not an HDF5 file, .npy or .npz .*: it is a table of text; read it with numpy.loadtxt and save",
        ),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=message):
            read_fields(tmp_path / name, DATA, 2, "")
    with pytest.raises(DataError, match="no such file"):
        read_fields(tmp_path / "none.npy", DATA, 2, "")
    np.savez(tmp_path / "two.npz", x=U, y=U)
    with pytest.raises(DataError, match=r"holds x, y; wanted a, or one array alone\."):
        read_fields(tmp_path / "two.npz", DATA, 2, "")


@pytest.fixture
def trained():
    """The description of a training set with a channelled field `v` and a time-varying field `w`."""
    fields = (FieldInfo("a"), FieldInfo("v", "m/s", "speed", channels=2), FieldInfo("w", "K", time_varying=True))
    return DatasetInfo("toy", "Toy", fields, {"train": SplitInfo(9, Grid((6, 8)), (0.0, 0.5, 1.0), "s")})


@pytest.mark.parametrize("name", ["out.h5", "out.npz"])
def test_predictions_come_back(tmp_path, trained, name):
    grid = Grid((3, 4))
    values = np.random.default_rng(0).normal(size=(2, 5, 3, 4)).astype(np.float32)
    write_fields(tmp_path / name, values, trained, DATA, grid)
    if name == "out.npz":
        with np.load(tmp_path / name, allow_pickle=False) as loaded:
            assert set(loaded.files) == {"v", "w"}
            np.testing.assert_array_equal(np.concatenate([loaded["v"], loaded["w"]], axis=1), values)
    else:
        dataset = HDF5Dataset(tmp_path / name, "prediction", "v", ("v", "w"))
        np.testing.assert_array_equal(dataset.read_all().target, values)
        assert dataset.grid == grid
        assert dataset.info.splits["prediction"].times == (0.0, 0.5, 1.0)
        assert dataset.info.field("v") == FieldInfo("v", "m/s", "predicted speed", 2, False)
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_one_frame_is_written_without_a_time_axis(tmp_path, trained):
    data = DataConfig("unused.h5", ("a",), ("w",), target_time="last")
    values = np.arange(24, dtype=np.float32).reshape(2, 1, 3, 4)
    write_fields(tmp_path / "out.h5", values, trained, data, Grid((3, 4)))
    with h5py.File(tmp_path / "out.h5") as file:
        np.testing.assert_array_equal(file["prediction/t0_fields/w"], values[:, 0])


def test_where_to_write(tmp_path):
    (tmp_path / "there.npz").write_text("mine")
    with pytest.raises(DataError, match=r"there\.npz exists and is not overwritten\."):
        check_new(tmp_path / "there.npz")
    assert (tmp_path / "there.npz").read_text() == "mine"
    with pytest.raises(DataError, match=r"wanted a name that ends in \.h5, \.hdf5 or \.npz\."):
        check_new(tmp_path / "out.pt")
    check_new(tmp_path / "none" / "deeper" / "out.h5")
    assert [path.name for path in (tmp_path / "none").rglob("*")] == ["deeper"]
    with pytest.raises(DataError, match="there.npz/out.h5 cannot be written: Not a directory"):
        check_new(tmp_path / "there.npz" / "out.h5")
