import h5py
import numpy as np
import pytest

from neuralop_jax.data import HDF5Dataset, read_info, shared_samples
from neuralop_jax.errors import ConfigError, DataError
from neuralop_jax.grids import Grid


@pytest.fixture
def save(tmp_path):
    def write(**arrays):
        with h5py.File(tmp_path / "mine.h5", "w") as file:
            for name, values in arrays.items():
                file[name.replace("__", "/")] = values
        return tmp_path / "mine.h5"

    return write


def test_datasets_in_the_root_are_one_split(save):
    a, u = np.random.default_rng(0).normal(size=(2, 6, 8, 9))
    path = save(a=a, u=u, x=np.arange(8.0), name="a note")
    dataset = HDF5Dataset(path, "train", "a", "u")
    np.testing.assert_array_equal(dataset[4].inputs["u"], a[4:5].astype(np.float32))
    np.testing.assert_array_equal(dataset[4].target, u[4:5].astype(np.float32))
    assert dataset.grid == Grid((8, 9))
    assert list(dataset.info.splits) == ["train"]
    assert read_info(path, ("u", "a")).fields == dataset.info.fields[::-1]


def test_groups_are_splits_and_may_have_other_grids(save):
    arrays = {"train__a": np.ones((6, 8)), "train__u": np.ones((6, 8)), "test__a": np.ones((3, 16)), "test__u": np.ones((3, 16))}
    path = save(**arrays, notes__text="text")
    info = HDF5Dataset(path, "train", "a", "u").info
    assert {name: (s.num_samples, s.grid.shape) for name, s in info.splits.items()} == {"test": (3, (16,)), "train": (6, (8,))}
    assert len(HDF5Dataset(path, "test", "a", "u")) == 3
    assert read_info(path) == info


def test_one_axis_more_means_channels(save):
    solution = np.random.default_rng(0).normal(size=(5, 11, 32)).astype(np.float32)
    dataset = HDF5Dataset(save(a=np.ones((5, 32)), solution=solution), "train", "a", "solution")
    np.testing.assert_array_equal(dataset[3].target, solution[3])
    assert dataset.info.field("solution").channels == 11


def test_num_dims_decides_where_shapes_leave_it_open(save):
    a, u = np.random.default_rng(0).normal(size=(2, 5, 2, 33)).astype(np.float32)
    path = save(a=a, u=u, mean=a[:, 0])
    dataset = HDF5Dataset(path, "train", "a", "u", num_dims=1)
    assert dataset.grid == Grid((33,))
    np.testing.assert_array_equal(dataset[3].inputs["u"], a[3])
    np.testing.assert_array_equal(dataset.read_all().target, u)
    assert HDF5Dataset(path, "train", "a", "mean", num_dims=1)[2].target.tolist() == [a[2, 0].tolist()]
    assert read_info(path, ("a", "u"), num_dims=1) == dataset.info
    for num_dims in (0, 2):
        plane = HDF5Dataset(path, "train", "a", "u", num_dims=num_dims)
        assert plane.grid == Grid((2, 33))
        np.testing.assert_array_equal(plane[3].target, u[3:4])


def test_other_channels_of_as_many_axes_are_no_grid(save):
    a, u = np.random.default_rng(0).normal(size=(5, 2, 33)), np.random.default_rng(1).normal(size=(5, 3, 33))
    path = save(a=a, u=u)
    with pytest.raises(DataError, match="not on one grid.*set data.num_dims"):
        HDF5Dataset(path, "train", "a", "u")
    dataset = HDF5Dataset(path, "train", "a", "u", num_dims=1)
    assert dataset.grid == Grid((33,))
    assert {field.name: field.channels for field in dataset.info.fields} == {"a": 2, "u": 3}
    np.testing.assert_array_equal(dataset[4].inputs["u"], a[4].astype(np.float32))
    np.testing.assert_array_equal(dataset[4].target, u[4].astype(np.float32))


def test_shared_samples_of_inputs_that_all_have_channels(save):
    a = np.random.default_rng(0).normal(size=(5, 2, 3, 3, 3, 5))
    path = save(train__a=a, test__a=np.concatenate([a[1:3, ..., ::2], -a[3:4, ..., ::2]]))
    assert shared_samples(path, "train", "a", num_dims=4) == {"test": 2}
    with pytest.raises(DataError, match="1 to 4 positive sizes"):
        shared_samples(path, "train", "a")


def test_num_dims_that_no_array_has(save):
    path = save(a=np.ones((5, 8)), u=np.ones((5, 3, 2, 8)))
    with pytest.raises(
        DataError, match=r"has 'u' of shape \(5, 3, 2, 8\), wanted \(samples, x\) or \(samples, channels, x\), as num_dims"
    ):
        HDF5Dataset(path, "train", "a", "u", num_dims=1)
    with pytest.raises(ConfigError, match="num_dims must be one of 0, 1, 2, 3, 4, got 5"):
        read_info(path, num_dims=5)


def test_lengths_differ(save):
    with pytest.raises(DataError, match=r"1000 samples of 'a' but 999 of 'u'"):
        HDF5Dataset(save(a=np.ones((1000, 4)), u=np.ones((999, 4))), "train", "a", "u")


def test_grids_differ(save):
    with pytest.raises(
        DataError, match=r"'u' of shape \(5, 16\) beside 'a' of shape \(5, 8\): not on one grid.*set data\.num_dims"
    ):
        HDF5Dataset(save(a=np.ones((5, 8)), u=np.ones((5, 16))), "train", "a", "u")


def test_absent_field_lists_the_others(save):
    path = save(a=np.ones((10, 8), np.float32), sol=np.ones((10, 5, 8), np.float32))
    with pytest.raises(DataError) as error:
        HDF5Dataset(path, "train", "a", "u")
    assert str(error.value) == (
        f"{path} has no dataset 'u'. Found: a (10, 8) float32, sol (10, 5, 8) float32. "
        "Choose with --data.input and --data.target."
    )
    with pytest.raises(DataError, match=r"mine\.h5:/train has no dataset 'u'"):
        HDF5Dataset(save(train__a=np.ones((10, 8))), "train", "a", "u")


def test_unknown_split(save):
    with pytest.raises(DataError, match=r"no split 'test'. Found: train \(5 samples\)"):
        HDF5Dataset(save(a=np.ones((5, 8))), "test", "a", "a")


def test_vector_is_no_field(save):
    with pytest.raises(DataError, match=r"has 'x', of shape \(8,\); wanted an array \(samples, \*space\)"):
        HDF5Dataset(save(a=np.ones((5, 8)), x=np.arange(8)), "train", "x", "a")


def test_group_is_no_field(save):
    with pytest.raises(DataError, match="has 'g', a group"):
        HDF5Dataset(save(a=np.ones((5, 8)), g__u=np.ones((5, 8))), "train", "g", "a")


def test_file_without_fields(save):
    with pytest.raises(DataError, match="no array of two or more axes"):
        read_info(save(x=np.arange(8)))


def test_too_many_axes(save):
    with pytest.raises(DataError, match="1 to 4 positive sizes"):
        HDF5Dataset(save(a=np.ones((2, 2, 2, 2, 2, 2))), "train", "a", "a")


def test_empty_split(save):
    with pytest.raises(DataError, match="no samples"):
        HDF5Dataset(save(a=np.ones((0, 8))), "train", "a", "a")


def test_integers_and_half_precision(save):
    path = save(a=np.arange(16, dtype=">i4").reshape(2, 8), u=np.linspace(0, 1, 16, dtype=np.float16).reshape(2, 8))
    sample = HDF5Dataset(path, "train", "a", "u")[1]
    np.testing.assert_array_equal(sample.inputs["u"][0], np.arange(8.0, 16.0))
    np.testing.assert_array_equal(sample.target[0], np.linspace(0, 1, 16, dtype=np.float16)[8:])
