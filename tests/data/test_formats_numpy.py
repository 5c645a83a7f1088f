"""NumPy files: mapped or streamed, never unpickled."""

import pickle
import zipfile

import numpy as np
import pytest

from neuralop_jax.data import describe, open_source
from neuralop_jax.data.formats._numpy import read_npy, read_npz
from neuralop_jax.errors import DataError
from neuralop_jax.grids import Grid


def values(*shape, dtype=np.float32):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(dtype)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archive_is_read_by_slices(tmp_path, save, order):
    a, b = np.array(values(5, 6, 7), order=order), np.array(values(5, 3) > 0, order=order)
    save(tmp_path / "x.npz", a=a, b=b)
    arrays = read_npz(tmp_path / "x.npz")
    for start, stop in ((3, 5), (0, 2), (1, 4), (0, 5), (4, 4)):
        np.testing.assert_array_equal(arrays["a"][start:stop], a[start:stop])
        np.testing.assert_array_equal(arrays["b"][start:stop], b[start:stop])
    again = pickle.loads(pickle.dumps(arrays["a"]))
    np.testing.assert_array_equal(again[2:4], a[2:4])


def test_stored_array_is_mapped_not_loaded(tmp_path):
    big = np.lib.format.open_memmap(
        tmp_path / "big.npy", "w+", np.float32, (1000, 320, 256, 256)
    )  # 84 GB, of which nothing is stored
    del big
    array = read_npy(tmp_path / "big.npy")["u"]
    assert array.shape == (1000, 320, 256, 256)
    assert array[999:1000].shape == (1, 320, 256, 256)
    np.savez(tmp_path / "x.npz", u=values(4, 5))
    mapped = read_npz(tmp_path / "x.npz")["u"][1:3]
    assert not mapped.flags.owndata and not mapped.flags.writeable


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((2, 64, 64, 65), (0, 3, 1, 2)),
        ((1, 129, 128, 128), (0, 1, 2, 3)),
    ],
)
def test_published_kolmogorov_flows_are_known_by_their_shape(tmp_path, shape, axes):
    u = np.broadcast_to(np.arange(shape[1], dtype=np.float32)[:, None, None], shape)
    np.save(tmp_path / "x.npy", u)
    source = open_source(tmp_path / "x.npy")
    np.testing.assert_array_equal(source.fields["u"].read(0, 1), u[:1].transpose(axes))
    assert source.grid.boundary == ("periodic", "periodic") and source.grid.extent[0] == (0.0, 2 * np.pi)
    assert source.times[-1] == u.transpose(axes).shape[1] - 1


def test_array_of_another_shape_needs_a_layout(tmp_path):
    u = values(5, 6, 7, 8)
    np.save(tmp_path / "x.npy", u)
    with pytest.raises(DataError, match=r'u \(5, 6, 7, 8\) float32; nothing says.*--layout "samples x y time"'):
        open_source(tmp_path / "x.npy")
    for layout, axes in {
        "samples x y time": (0, 3, 1, 2),
        "samples time y x": (0, 1, 3, 2),
        "x y time samples": (3, 2, 0, 1),
    }.items():
        source = open_source(tmp_path / "x.npy", layout=layout)
        np.testing.assert_array_equal(source.fields["u"].read(0, source.num_samples), u.transpose(axes))
        np.testing.assert_array_equal(source.fields["u"].read(2, 4), u.transpose(axes)[2:4])
    assert source.grid == Grid((5, 6)) and source.times == tuple(range(7))


def test_samples_last(tmp_path):
    sigma = values(9, 4)
    np.save(tmp_path / "sigma.npy", sigma)
    source = open_source(tmp_path / "sigma.npy", layout="x samples")
    np.testing.assert_array_equal(source.fields["u"].read(1, 3), sigma.T[1:3])


def test_one_sample_and_axes_that_are_not_there(tmp_path):
    output, given = values(5, 6, 7, 3, 4), values(5, 6)
    np.savez(tmp_path / "x.npz", input=given, output=output)
    layout = ("input: samples x", "output: samples x y time channels")
    source = open_source(tmp_path / "x.npz", layout=layout)
    np.testing.assert_array_equal(source.fields["output"].read(0, 5), output.transpose(0, 3, 4, 1, 2))
    np.testing.assert_array_equal(source.fields["input"].read(0, 5), np.repeat(given[:, :, None], 7, axis=2))
    assert "input does not vary with y: its values are repeated there" in source.notes
    np.save(tmp_path / "y.npy", given)
    single = open_source(tmp_path / "y.npy", layout="time x")
    np.testing.assert_array_equal(single.fields["u"].read(0, 1), given[None])


def test_deeponet_meshes(tmp_path):
    x, t = np.meshgrid(np.linspace(0, 1, 8), np.linspace(0, 2, 6))
    u = values(5, 6, 8)
    np.savez(tmp_path / "x.npz", x=x, t=t, u=u)
    source = open_source(tmp_path / "x.npz")
    np.testing.assert_array_equal(source.fields["u"].read(0, 5), u)
    assert source.grid == Grid((8,)) and source.times == tuple(np.linspace(0, 2, 6))
    np.savez(tmp_path / "x.npz", x=x.T.reshape(x.shape), t=t, u=u)
    with pytest.raises(DataError, match="no meshes"):
        open_source(tmp_path / "x.npz")


class Payload:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (self.marker, "w")


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_object_arrays_are_refused_and_never_run(tmp_path, name):
    marker = tmp_path / "marker"
    objects = np.array([Payload(str(marker)), None], dtype=object)
    if name == "x.npy":
        np.save(tmp_path / name, objects, allow_pickle=True)
    else:
        np.savez(tmp_path / name, X=objects)
    with pytest.raises(
        DataError, match="holds Python objects, which are pickles and can run code; refused.*numpy.savez"
    ) as error:
        open_source(tmp_path / name)
    assert "\n" not in str(error.value) and not marker.exists()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_truncated_anywhere(tmp_path, save):
    path = tmp_path / "x.npz"
    save(path, a=values(5, 6, 7), u=values(5, 6, 7))
    content = path.read_bytes()
    for size in range(0, len(content) - 1, 97):
        path.write_bytes(content[:size])
        with pytest.raises(DataError) as error:
            open_source(path, layout="samples x y").fields["a"].read(0, 5)
        assert "\n" not in str(error.value)


def test_truncated_array(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, values(5, 6, 7))
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(DataError, match=f"is truncated: {len(content) - 1} bytes on disk, its header says {len(content)}"):
        open_source(path, layout="samples x y")
    for size in range(1, 128, 9):
        path.write_bytes(content[:size])
        with pytest.raises(DataError, match="no NumPy array|not an HDF5"):
            open_source(path)


def test_flipped_bits_raise_data_errors_only(tmp_path):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, a=np.round(values(5, 6, 7)), u=values(5, 6, 7))
    content, rng, found = np.frombuffer(path.read_bytes(), np.uint8), np.random.default_rng(0), 0
    for _ in range(400):
        broken = content.copy()
        for place in rng.integers(len(content), size=4):
            broken[place] ^= 1 << rng.integers(8)
        path.write_bytes(broken.tobytes())
        try:
            source = open_source(path, layout="samples x y")
            for field in source.fields.values():
                field.read(0, source.num_samples)
        except DataError as error:
            assert "\n" not in str(error)
            found += 1
    assert found > 100


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ("samples x y tiem", "'tiem' is no axis.*Did you mean 'time'"),
        ("samples x x time", "names 'x' twice"),
        ("samples x y", "names 3 axes.*Name every axis"),
        ("v: samples x y time", "no array 'v'"),
        ("samples y z time", "space axes are"),
        ("samples time channels x", ""),
    ],
)
def test_layouts_that_make_no_sense(tmp_path, layout, message):
    np.save(tmp_path / "x.npy", values(5, 6, 7, 8))
    if not message:
        assert open_source(tmp_path / "x.npy", layout=layout).fields["u"].shape == (5, 6, 7, 8)
        return
    with pytest.raises(DataError, match=message) as error:
        open_source(tmp_path / "x.npy", layout=layout)
    assert "\n" not in str(error.value)


def test_unequal_lengths(tmp_path):
    np.savez(tmp_path / "x.npz", a=values(5, 6), u=values(4, 6))
    with pytest.raises(DataError, match=r"'u' of shape \(4, 6\) has 4 along samples \(axis 0\) but 'a' has 5"):
        open_source(tmp_path / "x.npz")


def test_complex_and_empty(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((3, 4), complex))
    with pytest.raises(DataError, match="split a complex field into two channels"):
        open_source(tmp_path / "x.npy")
    np.save(tmp_path / "x.npy", np.ones((0, 4)))
    with pytest.raises(DataError, match="has no samples"):
        open_source(tmp_path / "x.npy", layout="samples x")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("readme.npy", b"text")
    with pytest.raises(DataError, match="is no NumPy array"):
        open_source(tmp_path / "x.npz")


@pytest.mark.parametrize("depth", [5000, 60000])
def test_a_header_that_is_nested_deeply_is_refused(tmp_path, depth):
    """NumPy's own parser runs out of its stack, or of its memory."""
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': " + b"-" * depth + b"1, }"
    path = tmp_path / "x.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    for look in (open_source, describe):
        with pytest.raises(DataError, match=r"x\.npy is no NumPy array: .*[^.]\. Save it again\.$") as error:
            look(path)
        assert "\n" not in str(error.value)


def test_a_directory_is_refused_in_one_sentence(tmp_path):
    path = tmp_path / "x.npz"
    path.mkdir()
    with pytest.raises(DataError) as error:
        describe(path)
    assert str(error.value) == f"{path} is a directory, not a file of data. Name the file inside it."


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_members_that_are_no_numbers_do_not_keep_others_from_being_read(tmp_path, save):
    path, u = tmp_path / "x.npz", values(5, 6)
    others = {
        "names": np.array(["a", "b"]),
        "rows": np.zeros(2, [("t", "f8")]),
        "made": np.array([Payload(str(tmp_path / "marker"))], object),
        "spectrum": u + 1j,
    }
    save(path, **others, u=u)
    source = open_source(path, layout="samples x")
    np.testing.assert_array_equal(source.fields["u"].read(0, 5), u)
    assert set(source.fields) == {"u"} and len(source.notes) == 1 + 4  # the first is of the grid
    assert [item["note"] for item in describe(path)["objects"]][1:] == list(read_npz(path).notes.values())
    for name, kind in (("names", "<U1"), ("rows", r".*'t'.*"), ("made", "Python objects"), ("spectrum", "complex")):
        with pytest.raises(DataError, match=rf"x\.npz:{name} holds {kind}"):
            read_npz(path)[name]
    with pytest.raises(DataError, match="names holds <U1, wanted real floats"):
        read_npz(path, whole=True)
    assert not (tmp_path / "marker").exists()
