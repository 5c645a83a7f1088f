"""PDEBench and The Well: files with their names and shapes give the arrays from which they were made."""

import subprocess
import sys
import textwrap

import h5py
import numpy as np
import pytest

from neuralop_jax.data import open_source
from neuralop_jax.errors import DataError
from neuralop_jax.grids import Grid


def values(*shape, dtype=np.float32):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(dtype)


def centers(n, start=0.0, end=1.0, dtype=np.float32):
    return (start + (np.arange(n) + 0.5) * (end - start) / n).astype(dtype)


@pytest.fixture
def save(tmp_path):
    def write(arrays, **attributes):
        path = tmp_path / "x.hdf5"
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
            for name, value in attributes.items():
                file.attrs[name] = value
        return path

    return write


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


def burgers(frames=7, stored=8):
    times = np.linspace(0, 2, 201)[:stored].astype(np.float32)
    return {"tensor": values(5, frames, 16), "x-coordinate": centers(16), "t-coordinate": times}


def test_pdebench_tensor_with_one_time_too_many(save):
    arrays = burgers()
    source = open_source(save(arrays, Nu=0.1))
    field = source.fields["tensor"]
    assert field.shape == (5, 7, 16) and field.dtype == np.float32 and field.info.time_varying
    np.testing.assert_array_equal(field.read(1, 4), arrays["tensor"][1:4])
    assert source.times == tuple(arrays["t-coordinate"][:7].astype(float))
    assert source.grid == Grid((16,), ((0.0, 1.0),), ("periodic",), centered=(True,))
    np.testing.assert_allclose(source.grid.coordinates()[0], arrays["x-coordinate"], atol=1e-7)
    assert source.parameters == {"Nu": pytest.approx(0.1)}
    assert "8 entries for 7 frames; the last was left out" in " ".join(source.notes)
    assert "periodic" in " ".join(source.notes)


@pytest.mark.parametrize("stored", [6, 9])
def test_pdebench_other_number_of_times(save, stored):
    with pytest.raises(DataError, match=f"t-coordinate has {stored} entries for 7 frames") as error:
        open_source(save(burgers(stored=stored), Nu=0.1))
    one_line(error)


def test_pdebench_one_dataset_per_variable(save):
    names = ("density", "pressure", "Vx", "Vy")
    arrays = {name: values(5, 6, 7, 8) + place for place, name in enumerate(names)}
    points = {"x-coordinate": centers(7, -1, 1), "y-coordinate": centers(8), "t-coordinate": np.arange(7.0)}
    source = open_source(save(arrays | points, eta=0.01, zeta=0.02, M=0.1))
    assert list(source.fields) == list(names)
    for name in names:
        np.testing.assert_array_equal(source.fields[name].read(0, 5), arrays[name])
    assert source.grid == Grid((7, 8), ((-1.0, 1.0), (0.0, 1.0)), ("open", "open"), (False, False), centered=(True, True))
    assert source.parameters == {"M": 0.1, "eta": 0.01, "zeta": 0.02}
    assert source.times == (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)


def test_pdebench_in_three_dimensions(save):
    arrays = {"Vz": values(2, 3, 5, 6, 7)}
    points = {f"{axis}-coordinate": centers(n) for axis, n in zip("xyz", (5, 6, 7))}
    source = open_source(save(arrays | points | {"t-coordinate": np.arange(3.0)}))
    np.testing.assert_array_equal(source.fields["Vz"].read(1, 2), arrays["Vz"][1:2])
    assert source.grid.shape == (5, 6, 7)


def test_pdebench_darcy_has_no_time(save):
    nu, u = np.where(values(5, 7, 8) > 0, 1, 0.1), values(5, 1, 7, 8)
    source = open_source(save({"nu": nu, "tensor": u, "x-coordinate": centers(7), "y-coordinate": centers(8)}, beta=1.0))
    np.testing.assert_array_equal(source.fields["nu"].read(0, 5), nu)
    np.testing.assert_array_equal(source.fields["tensor"].read(0, 5), u[:, 0])
    assert source.times == () and source.parameters == {"beta": 1.0}
    assert not source.fields["tensor"].info.time_varying


def test_pdebench_group_per_sample(save):
    data = values(4, 6, 7, 8, 2)
    arrays = {f"{index:04d}/data": data[index] for index in range(4)}
    for index in range(4):
        grid = {"x": centers(7, -1, 1), "y": centers(8, -1, 1), "t": np.linspace(0, 5, 6)}
        arrays |= {f"{index:04d}/grid/{name}": points for name, points in grid.items()}
    source = open_source(save(arrays))
    assert source.fields["data"].shape == (4, 6, 2, 7, 8)
    assert source.fields["data"].info.channels == 2
    np.testing.assert_array_equal(source.fields["data"].read(1, 3), np.moveaxis(data[1:3], -1, 2))
    assert source.times == (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)
    assert source.grid.extent == ((-1.0, 1.0), (-1.0, 1.0))


def test_pdebench_groups_of_other_lengths(save):
    arrays = {f"{index:04d}/data": values(6 - index, 7, 1) for index in range(2)}
    arrays |= {f"0000/grid/{name}": points for name, points in {"x": centers(7), "t": np.arange(6.0)}.items()}
    source = open_source(save(arrays))
    assert source.fields["data"].shape == (2, 6, 7)
    with pytest.raises(DataError, match=r"0001/data has shape \(5, 7, 1\), the first \(6, 7, 1\)") as error:
        source.fields["data"].read(0, 2)
    one_line(error)


def test_pdebench_reversed_axes(save):
    arrays = burgers()
    with pytest.raises(DataError, match=r"t-coordinate has 8 entries for 16 frames|'tensor' of shape \(7, 16, 5\)"):
        open_source(save(arrays | {"tensor": arrays["tensor"].transpose(1, 2, 0)}, Nu=0.1))
    with pytest.raises(DataError, match=r"'tensor' has shape \(5, 16\), but beside x-coordinate wanted \(samples, time, x\)"):
        open_source(save(arrays | {"tensor": arrays["tensor"][:, 0]}, Nu=0.1))


def test_pdebench_external_link(save):
    arrays = burgers()
    path = save({"x-coordinate": arrays["x-coordinate"], "density": values(5, 7, 16)})
    with h5py.File(path, "r+") as file:
        file["tensor"] = h5py.ExternalLink("other.h5", "/tensor")
    with pytest.raises(DataError, match="tensor points outside its place") as error:
        open_source(path)
    one_line(error)


def test_unknown_names_list_what_there_is(save):
    with pytest.raises(DataError) as error:
        open_source(save({"velocity": values(2, 3, 7, 8, 2), "t": np.arange(3.0)}))
    line = one_line(error)
    assert "velocity (2, 3, 7, 8, 2) float32, " in line or "t (3,) float64, velocity" in line
    assert '--layout "' in line


def test_layout_in_words(save):
    arrays = {"velocity": values(2, 3, 7, 8, 2), "force": values(2, 7, 8, 2), "t": np.array([0.0, 0.5, 1.0])}
    layout = ("velocity: samples time x y channels", "force: samples x y channels")
    source = open_source(save(arrays), layout=layout)
    np.testing.assert_array_equal(source.fields["velocity"].read(0, 2), np.moveaxis(arrays["velocity"], -1, 2))
    np.testing.assert_array_equal(source.fields["force"].read(0, 2), np.moveaxis(arrays["force"], -1, 1))
    assert source.times == (0.0, 0.5, 1.0)


def the_well(path, *, boundary="PERIODIC"):
    """A file of The Well with every kind of field, and the canonical arrays that it stands for."""
    n, frames, x, y = 5, 6, 7, 8
    full = {
        "pressure": values(n, frames, x, y),
        "mask": values(x, y),
        "profile": values(frames, y),
        "constant": values(n, x, y),
        "velocity": values(n, frames, x, y, 2),
        "stress": values(n, frames, x, y, 2, 2),
    }
    flags = {  # sample, time, dims
        "pressure": (True, True, (True, True)),
        "mask": (False, False, (True, True)),
        "profile": (False, True, (False, True)),
        "constant": (True, False, (True, True)),
        "velocity": (True, True, (True, True)),
        "stress": (True, True, (True, True)),
    }
    with h5py.File(path, "w") as file:
        file.attrs.update({"dataset_name": "toy", "grid_type": "cartesian", "n_spatial_dims": 2, "n_trajectories": n, "Re": 40.0})
        file.attrs["simulation_parameters"] = ["Re"]
        dimensions = file.create_group("dimensions")
        dimensions.attrs["spatial_dims"] = ["x", "y"]
        dimensions["time"], dimensions["x"], dimensions["y"] = np.arange(frames) / 4, np.arange(x) / x, centers(y)
        condition = file.create_group("boundary_conditions/x_periodic")
        condition.attrs["bc_type"], condition.attrs["associated_dims"] = boundary, ["x"]
        file["scalars/gravity"], file["scalars/seed"] = 9.81, np.arange(n)
        for name, array in full.items():
            group = "t1_fields" if name == "velocity" else "t2_fields" if name == "stress" else "t0_fields"
            file[f"{group}/{name}"] = array
            stored = file[f"{group}/{name}"]
            stored.attrs["sample_varying"], stored.attrs["time_varying"], stored.attrs["dim_varying"] = flags[name]
            if name == "stress":
                stored.attrs["symmetric"] = True
    return full


def test_the_well(tmp_path):
    full = the_well(tmp_path / "x.hdf5")
    source = open_source(tmp_path / "x.hdf5")
    read = {name: field.read(1, 4) for name, field in source.fields.items()}
    np.testing.assert_array_equal(read["pressure"], full["pressure"][1:4])
    np.testing.assert_array_equal(read["mask"], np.broadcast_to(full["mask"], (3, 7, 8)))
    np.testing.assert_array_equal(read["profile"], np.broadcast_to(full["profile"][None, :, None], (3, 6, 7, 8)))
    np.testing.assert_array_equal(read["constant"], full["constant"][1:4])
    np.testing.assert_array_equal(read["velocity"], np.moveaxis(full["velocity"][1:4], -1, 2))
    stress = np.stack([full["stress"][1:4, ..., i, j] for i in range(2) for j in range(2)], axis=2)
    np.testing.assert_array_equal(read["stress"], stress)
    for name, field in source.fields.items():
        assert field.shape == (5, *read[name].shape[1:])
    assert source.fields["stress"].info.description == "symmetric tensor"
    assert source.grid == Grid((7, 8), ((0.0, 1.0), (0.0, 1.0)), ("periodic", "open"), (False, False), centered=(False, True))
    assert source.times == tuple(np.arange(6) / 4)
    assert source.parameters == {"Re": 40.0, "gravity": 9.81}
    assert source.kind == "The Well, toy"
    assert "the scalar seed varies and was left out" in source.notes
    assert "profile does not vary with samples, x: its values are repeated there" in source.notes


def test_the_well_notes_what_a_grid_cannot_say(tmp_path):
    the_well(tmp_path / "x.hdf5", boundary="WALL")
    with h5py.File(tmp_path / "x.hdf5", "r+") as file:
        del file["dimensions/x"], file["dimensions/time"]
        file["dimensions/x"] = np.linspace(0, 1, 7) ** 2
        file["dimensions/time"] = np.arange(6) + np.arange(5)[:, None]
        file.attrs["grid_type"] = "spherical"
    source = open_source(tmp_path / "x.hdf5")
    notes = " / ".join(source.notes)
    for part in ("'WALL' of x", "x are not uniform", "spherical", "times differ from sample to sample"):
        assert part in notes
    assert source.grid.extent[0] == (0.0, 6.0) and source.times == (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda f: f["t0_fields/mask"].attrs.__setitem__("time_varying", True),
            r"mask has shape \(7, 8\), its flags say time, x, y",
        ),
        (lambda f: f["t0_fields/mask"].attrs.__setitem__("dim_varying", [True]), "1 flags in dim_varying for 2 space axes"),
        (lambda f: f.attrs.__setitem__("n_trajectories", 4), "has 5 along samples"),
        (lambda f: f["dimensions"].__delitem__("y"), "no array 'y'"),
        (lambda f: f["dimensions"].attrs.__delitem__("spatial_dims"), "one to three names"),
    ],
)
def test_the_well_contradictions(tmp_path, change, message):
    the_well(tmp_path / "x.hdf5")
    with h5py.File(tmp_path / "x.hdf5", "r+") as file:
        change(file)
    with pytest.raises(DataError, match=message) as error:
        open_source(tmp_path / "x.hdf5")
    one_line(error)


def test_truncated(tmp_path):
    the_well(tmp_path / "x.hdf5")
    content = (tmp_path / "x.hdf5").read_bytes()
    for size in range(0, len(content), 4001):
        (tmp_path / "x.hdf5").write_bytes(content[:size])
        with pytest.raises(DataError, match="truncated|damaged|not an HDF5") as error:
            open_source(tmp_path / "x.hdf5")
        one_line(error)


def test_our_own_schema_is_not_foreign(toy):
    with pytest.raises(DataError, match="in the library's schema already"):
        open_source(toy.path)


MUTATE = textwrap.dedent("""
    import sys
    import numpy as np
    from neuralop_jax.data import describe, open_source
    from neuralop_jax.errors import DataError

    content, rng, found = np.fromfile(sys.argv[1], np.uint8), np.random.default_rng(0), 0
    for _ in range(100):
        broken = content.copy()
        for place in rng.integers(len(content), size=4):
            broken[place] ^= 1 << rng.integers(8)
        broken.tofile(sys.argv[1])
        try:
            source = open_source(sys.argv[1])
            for field in source.fields.values():
                field.read(0, source.num_samples)
            describe(sys.argv[1])
        except DataError as error:
            assert "\\n" not in str(error)
            found += 1
    print(found)
""")


@pytest.mark.parametrize("kind", ["PDEBench", "The Well"])
def test_mutated_files_raise_data_errors_only(save, tmp_path, kind):
    path = save(burgers(), Nu=0.1) if kind == "PDEBench" else tmp_path / "well.hdf5"
    if kind == "The Well":
        the_well(path)
    command = [sys.executable, "-c", MUTATE, str(path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr[-2000:]
    assert int(result.stdout) > 20
