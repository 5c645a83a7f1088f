"""MATLAB and PyTorch files known by the names and shapes inside; every other order of axes is caught."""

import zipfile

import h5py
import numpy as np
import pytest
import scipy.io

from neuralop_jax.data import _torch_file, open_source
from neuralop_jax.errors import DataError
from neuralop_jax.grids import Grid


def values(*shape, dtype=np.float64):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(dtype)


HEADER = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Jan  1 00:00:00 2024 HDF5 schema 1.00 .".ljust(512)


@pytest.fixture
def save(tmp_path):
    """Writes variables as MATLAB 7.3 does: HDF5 with reversed axes behind a block of 512 bytes."""

    def write(**arrays):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.mat"
        with h5py.File(path, "w", userblock_size=512) as file:
            for name, array in arrays.items():
                file[name] = np.atleast_2d(array).T
                file[name].attrs["MATLAB_class"] = np.bytes_("double")
        with open(path, "r+b") as file:
            file.write(HEADER)
        return path

    return write


def test_both_versions_of_matlab_give_the_same(save, tmp_path):
    arrays = {"a": values(5, 6, 7), "u": values(5, 6, 7, 8), "t": np.arange(1.0, 9.0)}
    scipy.io.savemat(tmp_path / "old.mat", arrays)
    new, old = open_source(save(**arrays)), open_source(tmp_path / "old.mat")
    assert (old.kind, old.grid, old.times, old.notes) == (new.kind, new.grid, new.times, new.notes)
    np.testing.assert_array_equal(old.fields["u"].read(0, 5), arrays["u"].transpose(0, 3, 1, 2))
    for name in ("a", "u"):
        np.testing.assert_array_equal(old.fields[name].read(1, 4), new.fields[name].read(1, 4))


def test_navier_stokes(save):
    a, u, t = values(5, 6, 7), values(5, 6, 7, 8), np.arange(1.0, 9.0)
    source = open_source(save(a=a, u=u, t=t))
    np.testing.assert_array_equal(source.fields["u"].read(1, 4), u[1:4].transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(source.fields["a"].read(0, 5), a)
    assert source.times == tuple(t)
    assert source.grid == Grid((6, 7), boundary=("periodic", "periodic"))
    assert "FNO Navier-Stokes" in source.kind and source.kind.startswith("MATLAB")
    assert any("the file states no grid: periodic" in note for note in source.notes)


@pytest.mark.parametrize(
    ("a_axes", "u_axes", "reason"),
    [
        ((2, 1, 0), (3, 2, 1, 0), "the axes are reversed"),
        ((0, 1, 2), (0, 3, 1, 2), "the axis of time is second"),
        ((1, 2, 0), (1, 2, 3, 0), "the samples are last"),
        ((0, 1, 2), (3, 0, 1, 2), "the axis of time is first"),
        ((0, 1, 2), (0, 2, 1, 3), "do not agree"),
    ],
)
def test_transposed_navier_stokes_is_caught(save, a_axes, u_axes, reason):
    a, u = values(5, 6, 7), values(5, 6, 7, 8)
    path = save(a=a.transpose(a_axes), u=u.transpose(u_axes))
    with pytest.raises(DataError, match=reason) as error:
        open_source(path)
    line = str(error.value)
    assert "\n" not in line
    if f"{reason}: " in line:
        told = line.split(f"{reason}: ")[1].split('"')[1:4:2]
        source = open_source(path, layout=told)
        np.testing.assert_array_equal(source.fields["u"].read(0, 5), u.transpose(0, 3, 1, 2))
        np.testing.assert_array_equal(source.fields["a"].read(0, 5), a)


def test_trajectories_alone_are_believed_only_with_their_times(save):
    u = values(5, 6, 7, 8)
    source = open_source(save(u=u, t=np.arange(8.0)))
    np.testing.assert_array_equal(source.fields["u"].read(0, 5), u.transpose(0, 3, 1, 2))
    with pytest.raises(DataError, match=r'nothing says what their axes are.*--layout "samples x y time"'):
        open_source(save(u=u))
    with pytest.raises(DataError, match="nothing says"):
        open_source(save(u=u.T, t=np.arange(8.0)))


def test_darcy(save):
    names = ("coeff", "sol", "Kcoeff", "Kcoeff_x", "Kcoeff_y")
    arrays = {name: values(5, 6, 7) + place for place, name in enumerate(names)}
    source = open_source(save(**arrays))
    assert list(source.fields) == list(names)
    np.testing.assert_array_equal(source.fields["Kcoeff_y"].read(2, 5), arrays["Kcoeff_y"][2:5])
    assert source.grid == Grid((6, 7), boundary=("dirichlet", "dirichlet"))
    assert source.times == ()


def test_burgers(save):
    a, u = values(5, 16), values(5, 16) + 1
    source = open_source(save(a=a, u=u, a_smooth=a, a_x=a))
    np.testing.assert_array_equal(source.fields["u"].read(0, 5), u)
    assert list(source.fields) == ["a", "u", "a_smooth", "a_x"]
    assert source.grid == Grid((16,), ((0.0, 2 * np.pi),), ("periodic",))


def test_pino_burgers_has_time_before_space(save):
    given, output = values(5, 8), values(5, 6, 8)
    source = open_source(save(input=given, output=output, visc=0.01, tspan=np.linspace(0, 1, 6)))
    np.testing.assert_array_equal(source.fields["output"].read(1, 3), output[1:3])
    assert source.fields["output"].info.time_varying and not source.fields["input"].info.time_varying
    assert source.parameters == {"visc": 0.01} and source.times == tuple(np.linspace(0, 1, 6))
    with pytest.raises(DataError, match="nothing says what their axes are"):
        open_source(save(input=given, output=output.transpose(0, 2, 1)))


def test_unknown_names(save):
    with pytest.raises(DataError, match=r"w \(5, 6, 7\) float64; nothing says.*--layout") as error:
        open_source(save(w=values(5, 6, 7)))
    assert "\n" not in str(error.value)
    assert open_source(save(w=values(5, 6, 7)), layout="samples time x").fields["w"].shape == (5, 6, 7)


@pytest.fixture
def torch_file(tmp_path, monkeypatch):
    """A file that starts like PyTorch's, whose reader gives arrays made here."""

    def write(**arrays):
        with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
            archive.writestr("x/data.pkl", b"")
        monkeypatch.setattr(_torch_file, "read_torch", lambda path: arrays)
        return tmp_path / "x.pt"

    return write


def test_neuraloperator_darcy(torch_file):
    x, y = np.asfortranarray(values(5, 6, 7) > 0), values(5, 6, 7, dtype=np.float32)
    source = open_source(torch_file(x=x, y=y))
    np.testing.assert_array_equal(source.fields["x"].read(0, 5), x)
    np.testing.assert_array_equal(source.fields["y"].read(3, 5), y[3:5])
    assert source.fields["x"].dtype == bool and source.fields["x"].shape == (5, 6, 7)
    assert source.grid == Grid((6, 7), boundary=("dirichlet", "dirichlet"), endpoint=(False, False))


def test_neuraloperator_burgers(torch_file):
    x, y = values(5, 8), values(5, 6, 8)
    source = open_source(torch_file(x=x, y=y, visc=np.array([[0.01]])))
    np.testing.assert_array_equal(source.fields["y"].read(0, 5), y)
    assert source.parameters == {"visc": 0.01} and source.grid == Grid((8,), boundary=("periodic",))
    assert "the file states no times: the 6 frames are numbered from 0" in source.notes


def test_neuraloperator_forcing_has_no_known_grid(torch_file):
    source = open_source(torch_file(x=values(5, 6, 7), y=values(5, 6, 7)))
    assert source.grid == Grid((6, 7)) and any("unit box" in note for note in source.notes)
    with pytest.raises(DataError, match="nothing says"):
        open_source(torch_file(x=values(5, 6, 7), y=values(5, 7, 6)))


def test_real_torch_files_are_never_run(tmp_path):
    marker = tmp_path / "marker"
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        archive.writestr("x/data.pkl", f"cbuiltins\nopen\n(V{marker}\nVw\ntR.".encode())
        archive.writestr("x/version", "3\n")
    with pytest.raises(DataError) as error:
        open_source(tmp_path / "x.pt")
    assert "\n" not in str(error.value) and not marker.exists()


def test_many_samples_are_read_at_once_where_slices_follow(monkeypatch):
    from neuralop_jax.data.formats import _arrays

    asked = []
    values = np.arange(60.0).reshape(20, 3)

    class Stored:
        shape, dtype = (20, 3), np.dtype(np.float64)

        def __getitem__(self, rows):
            asked.append((rows.start, rows.stop))
            return values[rows]

    monkeypatch.setattr(_arrays, "AHEAD_BYTES", 8 * 24)
    array = _arrays.ReadAhead(Stored())
    for start in range(0, 20, 2):
        np.testing.assert_array_equal(array[start : start + 2], values[start : start + 2])
    np.testing.assert_array_equal(array[3:4], values[3:4])
    assert asked == [(0, 2), (2, 10), (10, 18), (18, 20), (3, 4)]
