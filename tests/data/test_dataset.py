import json
import math
import multiprocessing
import os
import pickle
from dataclasses import replace

import h5py
import numpy as np
import pytest

from neuralop_jax.data import HDF5Dataset, read_info, write_hdf5
from neuralop_jax.errors import ConfigError, DataError
from neuralop_jax.grids import Grid


def test_samples_equal_the_arrays(toy):
    dataset = HDF5Dataset(toy.path, "train", ("velocity", "solid"), "velocity")
    assert len(dataset) == 7
    assert dataset.grid == toy.info.splits["train"].grid
    assert dataset.info == toy.info
    for index in (0, 3, -1):
        u, v = toy.arrays["train"]["velocity"][index], toy.arrays["train"]["solid"][index]
        sample = dataset[index]
        np.testing.assert_array_equal(sample.inputs["u"], np.concatenate([u, v[None]]).astype(np.float32))
        np.testing.assert_array_equal(sample.target, u.astype(np.float32))
        assert sample.target.dtype == sample.inputs["u"].dtype == np.float32


def test_read_all_stacks_the_samples(toy):
    dataset = HDF5Dataset(toy.path, "test", "heat", ("velocity", "heat"))
    whole = dataset.read_all()
    assert whole.target.shape == (3, 4, 3, 5)
    for index in range(3):
        np.testing.assert_array_equal(whole.inputs["u"][index], dataset[index].inputs["u"])
        np.testing.assert_array_equal(whole.target[index], dataset[index].target)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int64, np.int8, np.bool_])
def test_a_batch_is_the_stack_of_its_samples(tmp_path, dtype):
    """Also where samples are dropped, in any order, in every type; what is beyond float32 is infinite."""
    values = np.random.default_rng(0).normal(0, 30, (6, 2, 5)).astype(dtype)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a"], file["v"] = values, values.astype(np.float64)
        file["v"][1, 1, 2] = 1e39
    dataset = HDF5Dataset(tmp_path / "x.h5", "train", ("a", "v"), "v", nonfinite="drop")
    order = np.asarray([4, 0, 3, 0, 2])
    batch = dataset.take(order)
    np.testing.assert_array_equal(batch.inputs["u"], np.stack([dataset[int(index)].inputs["u"] for index in order]))
    np.testing.assert_array_equal(batch.target, np.stack([dataset[int(index)].target for index in order]))
    np.testing.assert_array_equal(batch.inputs["u"][1, 0], values[0].astype(np.float32))
    assert batch.target.dtype == np.float32


@pytest.mark.parametrize("layout", [{}, {"chunks": (1, 4, 4)}, {"chunks": (2, 3, 4), "compression": "gzip", "fletcher32": True}])
def test_a_disk_is_told_beforehand_what_a_batch_takes(tmp_path, monkeypatch, layout):
    """All bytes that are read, and no others, unless a system knows no such call."""
    values = np.random.default_rng(0).normal(size=(9, 4, 4))
    values[2] = np.nan
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for name in ("u", "v"):
            file.create_dataset(name, data=values, **layout)
    dataset = HDF5Dataset(tmp_path / "x.h5", "train", "u", "v", nonfinite="drop")
    dataset.take(np.asarray([0]))  # opens the file
    bytes_of = lambda calls: {byte for place, size in calls for byte in range(place, place + size)}
    told, found, pread = [], [], os.pread

    def read(descriptor, size, place):
        assert {*range(place, place + size)} <= bytes_of(told)
        found.append((place, size))
        return pread(descriptor, size, place)

    monkeypatch.setattr(os, "posix_fadvise", lambda descriptor, place, size, advice: told.append((place, size)), raising=False)
    monkeypatch.setattr(os, "POSIX_FADV_WILLNEED", 3, raising=False)
    monkeypatch.setattr(os, "pread", read)
    order = np.asarray([7, 0, 2])
    batch = dataset.take(order)
    assert bytes_of(told) == bytes_of(found)
    monkeypatch.setattr(os, "pread", pread)
    monkeypatch.delattr(os, "posix_fadvise")
    np.testing.assert_array_equal(dataset.take(order).target, batch.target)
    np.testing.assert_array_equal(batch.target[:, 0], values[[8, 0, 3]].astype(np.float32))


def test_frames_become_channels_in_order_of_time(toy):
    heat = toy.arrays["train"]["heat"]
    chosen = HDF5Dataset(toy.path, "train", "heat", "heat", input_time="first", target_time="last")
    np.testing.assert_array_equal(chosen[2].inputs["u"], heat[2, :1])
    np.testing.assert_array_equal(chosen[2].target, heat[2, -1:])
    np.testing.assert_array_equal(HDF5Dataset(toy.path, "train", "heat", "heat")[2].target, heat[2])


def test_frames_of_a_field_with_channels_come_frame_by_frame(tmp_path):
    from neuralop_jax.data import write_hdf5
    from neuralop_jax.info import DatasetInfo, FieldInfo, SplitInfo

    values = np.arange(2 * 3 * 2 * 5, dtype=np.float32).reshape(2, 3, 2, 5)
    info = DatasetInfo(
        "a", "A", (FieldInfo("u", channels=2, time_varying=True),), {"train": SplitInfo(2, Grid((5,)), (0.0, 1.0, 2.0))}
    )
    write_hdf5(tmp_path / "a.h5", info, {"train": {"u": values}})
    dataset = HDF5Dataset(tmp_path / "a.h5", "train", "u", "u", target_time="last")
    np.testing.assert_array_equal(dataset[1].inputs["u"], values[1].reshape(6, 5))
    np.testing.assert_array_equal(dataset[1].target, values[1, 2])


def test_index_out_of_range(toy):
    dataset = HDF5Dataset(toy.path, "train", "solid", "velocity")
    for index in (7, -8):
        with pytest.raises(IndexError):
            dataset[index]
    assert len(list(dataset)) == 7


def test_unknown_names_list_what_there_is(toy):
    with pytest.raises(
        DataError, match=r"no split 'tset'\. Found: train \(7 samples\), test \(3 samples\)\. Did you mean 'test'"
    ):
        HDF5Dataset(toy.path, "tset", "solid", "velocity")
    with pytest.raises(DataError, match=r"no dataset 'velocty'\. Found: heat \(7, 3, 4, 6\) float32,.*Did you mean 'velocity'\?"):
        HDF5Dataset(toy.path, "train", "solid", "velocty")
    with pytest.raises(DataError, match=r"no dataset 'q'.*--data\.target"):
        HDF5Dataset(toy.path, "train", "solid", "q")


def test_unknown_options(toy):
    with pytest.raises(ConfigError, match="'first'"):
        HDF5Dataset(toy.path, "train", "heat", "heat", input_time="frist")
    with pytest.raises(ConfigError, match="nonfinite must be one of 'error', 'drop'"):
        HDF5Dataset(toy.path, "train", "heat", "heat", nonfinite="ignore")
    with pytest.raises(ConfigError, match="at least one field"):
        HDF5Dataset(toy.path, "train", (), "heat")


def flip(path, field, sample):
    with h5py.File(path) as file:
        offset = file[field].id.get_chunk_info(sample).byte_offset
    content = bytearray(path.read_bytes())
    content[offset + 3] ^= 4
    path.write_bytes(content)


def test_flipped_bit_names_the_sample(toy):
    flip(toy.path, "train/t0_fields/velocity", 4)
    with pytest.raises(DataError, match=r"/train/t0_fields/velocity is corrupt at sample 4 \(checksum mismatch\)") as error:
        HDF5Dataset(toy.path, "train", "solid", "velocity")
    assert "\n" not in str(error.value)
    HDF5Dataset(toy.path, "train", "solid", "heat")


def test_damage_after_opening_is_found_on_reading(toy):
    dataset = HDF5Dataset(toy.path, "train", "solid", "velocity")
    flip(toy.path, "train/t0_fields/velocity", 4)
    dataset[3]
    with pytest.raises(DataError, match="corrupt at sample 4"):
        dataset[4]
    with pytest.raises(DataError, match="corrupt at sample 4"):
        dataset.read_all()


def test_edited_values_differ_from_their_sha256(toy):
    with h5py.File(toy.path, "r+") as file:
        file["train/t0_fields/velocity"][2, 0, 0, 0] += 1
    with pytest.raises(DataError, match="velocity does not match its checksum"):
        HDF5Dataset(toy.path, "train", "solid", "velocity")


def test_edited_coordinates_contradict_the_grid(toy):
    with h5py.File(toy.path, "r+") as file:
        file["train/dimensions/x"][1] = 0.4
    with pytest.raises(DataError, match="dimensions/x contradicts its extent"):
        read_info(toy.path)


def test_newer_schema_is_refused(toy):
    with h5py.File(toy.path, "r+") as file:
        file.attrs["schema_version"] = 2
    with pytest.raises(DataError, match="version 2 of the schema, this library reads version 1"):
        read_info(toy.path)


def test_lengths_that_contradict_the_split(toy):
    with h5py.File(toy.path, "r+") as file:
        file["train"].attrs["num_samples"] = 6
    with pytest.raises(DataError, match=r"solid has shape \(7, 4, 6\), its split and grid say \(6, 4, 6\)"):
        HDF5Dataset(toy.path, "train", "solid", "velocity")


def test_huge_attribute_is_refused(toy):
    with h5py.File(toy.path, "r+") as file:
        file.attrs["title"] = np.zeros(2**21, "u1")
    with pytest.raises(DataError, match="attribute 'title' above 1,048,576 bytes"):
        read_info(toy.path)


@pytest.fixture
def with_nan(tmp_path):
    path = tmp_path / "nan.h5"
    rng = np.random.default_rng(1)
    a, u = rng.normal(size=(2, 20, 6, 5, 9))
    u[12, 0, 4, 8] = u[12, 1, 1, 1] = np.nan
    u[15, 5, 0, 0] = -np.inf
    a[3, 2, 2, 2] = 1e300
    with h5py.File(path, "w") as file:
        file["a"], file["u"] = a, u
    return path, a, u


def test_nonfinite_values_are_counted_and_placed(with_nan):
    path, _, _ = with_nan
    with pytest.raises(
        DataError, match=r":/a holds 1 non-finite values, first at \[3, 2, 2, 2\].*drop to skip the 1 affected sample\."
    ):
        HDF5Dataset(path, "train", "a", "u")
    with pytest.raises(
        DataError, match=r":/u holds 3 non-finite values, first at \[12, 0, 4, 8\].*--data\.nonfinite drop.*2 affected samples"
    ):
        HDF5Dataset(path, "train", "u", "u")


def test_nonfinite_samples_can_be_dropped(with_nan):
    path, a, u = with_nan
    dataset = HDF5Dataset(path, "train", "a", "u", nonfinite="drop")
    kept = np.delete(np.arange(20), [3, 12, 15])
    assert len(dataset) == 17
    np.testing.assert_array_equal(dataset.read_all().inputs["u"][:, 0], a[kept].astype(np.float32))
    np.testing.assert_array_equal(dataset[11].target[0], u[13].astype(np.float32))


def test_first_nonfinite_value_is_placed_across_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("neuralop_jax.data._read.BLOCK_BYTES", 3 * 8 * 4)
    u = np.zeros((10, 4))
    u[7, 2] = u[9, 0] = np.nan
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["u"] = u
    with pytest.raises(DataError, match=r"holds 2 non-finite values, first at \[7, 2\]"):
        HDF5Dataset(tmp_path / "a.h5", "train", "u", "u")


def test_no_remedy_is_offered_that_would_leave_nothing(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["u"] = np.full((3, 4), 1e300)
    with pytest.raises(DataError, match=r"holds 12 non-finite values.* No sample is without; values beyond 3\.4e\+38 count"):
        HDF5Dataset(tmp_path / "a.h5", "train", "u", "u")


def test_no_finite_sample(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["u"] = np.full((3, 4), np.nan)
    with pytest.raises(DataError, match="no samples"):
        HDF5Dataset(tmp_path / "a.h5", "train", "u", "u", nonfinite="drop")


def test_fingerprint_is_that_of_the_contents(toy, tmp_path):
    def fingerprint(path=toy.path, split="train", input="solid", target="velocity", **options):
        return HDF5Dataset(path, split, input, target, **options).fingerprint

    (tmp_path / "copy.h5").write_bytes(toy.path.read_bytes())
    assert fingerprint() == fingerprint(tmp_path / "copy.h5")
    others = [
        fingerprint(split="test"),
        fingerprint(input="velocity"),
        fingerprint(target="heat"),
        fingerprint(target="heat", target_time="last"),
    ]
    assert len({fingerprint(), *others}) == 5


def test_fingerprint_is_that_of_type_and_shape(tmp_path):
    """The same bytes as other numbers, or on another grid."""
    values = np.random.default_rng(0).normal(size=(8, 16, 4)).astype(np.float32)
    others = [values, values.reshape(8, 8, 8), values.view(np.int32)]
    found = set()
    for number, stored in enumerate(others):
        with h5py.File(tmp_path / f"{number}.h5", "w") as file:
            file["u"] = stored
        found.add(HDF5Dataset(tmp_path / f"{number}.h5", "train", "u", "u").fingerprint)
    assert len(found) == 3


def test_fingerprint_is_that_of_grid_times_units_and_parameters(toy, tmp_path):
    """Not that of texts, of other splits and of fields that are not chosen."""

    def fingerprint(info):
        write_hdf5(tmp_path / "other.h5", info, toy.arrays, overwrite=True)
        return HDF5Dataset(tmp_path / "other.h5", "train", "heat", "heat").fingerprint

    info, (velocity, heat, solid), train = toy.info, toy.info.fields, toy.info.splits["train"]
    with_split = lambda name, **new: replace(info, splits=info.splits | {name: replace(info.splits[name], **new)})
    same = [
        info,
        replace(info, title="Another", citation="None"),
        replace(info, fields=(replace(velocity, unit="km/h"), replace(heat, description="hot"), solid)),
        with_split("test", times=(0.0, 0.3)),
    ]
    assert {fingerprint(each) for each in same} == {HDF5Dataset(toy.path, "train", "heat", "heat").fingerprint}
    others = [
        with_split("train", grid=replace(train.grid, extent=((0.0, 2.0), (-1.0, 2.0)))),
        with_split("train", grid=replace(train.grid, boundary=("neumann", "periodic"))),
        with_split("train", grid=replace(train.grid, unit="km")),
        with_split("train", times=(0.0, 0.1, 0.6)),
        with_split("train", time_unit="min"),
        replace(info, fields=(velocity, replace(heat, unit="mK"), solid)),
        replace(info, parameters={"viscosity": 0.2, "mass": 3.0}),
        replace(info, parameters={"diffusivity": 0.1, "mass": 3.0}),
    ]
    assert len({fingerprint(each) for each in (info, *others)}) == 9


def test_a_fingerprint_of_the_first_versions_is_recognized(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["u"] = np.arange(6, dtype=np.float32).reshape(2, 3)
    dataset = HDF5Dataset(tmp_path / "a.h5", "train", "u", "u")
    first = "103591fa0bdff0e8b232a445c3f50281ff2cfbbd4aacab957355840ec1576b7c"
    assert dataset.recognizes(first) and dataset.recognizes(dataset.fingerprint) and dataset.fingerprint != first
    assert not dataset.recognizes(first[::-1])


def mean_of(dataset, index, queue):
    queue.put(float(dataset[index].target.sum()))


def test_travels_to_other_processes(toy):
    dataset = HDF5Dataset(toy.path, "train", "solid", "velocity")
    expected = float(dataset[5].target.sum())
    assert float(pickle.loads(pickle.dumps(dataset))[5].target.sum()) == expected
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=mean_of, args=(dataset, 5, queue))
    process.start()
    assert queue.get(timeout=60) == expected
    process.join()


def test_info_survives_json(toy):
    info = read_info(toy.path)
    assert type(info).from_json(json.loads(json.dumps(info.to_json()))) == info
    assert math.isclose(info.splits["train"].grid.spacing[1], 0.5)
