"""Parts of a source: samples, frames, points and their coordinates."""

import numpy as np
import pytest

from neuralop_jax.data import join, open_source, select
from neuralop_jax.errors import ConfigError, DataError
from neuralop_jax.grids import Grid

U = np.random.default_rng(0).normal(size=(5, 8, 6, 7))
A = np.random.default_rng(1).normal(size=(5, 2, 6, 7))


@pytest.fixture
def source(tmp_path):
    np.savez(tmp_path / "x.npz", u=U, a=A)
    return open_source(tmp_path / "x.npz", layout=("u: samples time x y", "a: samples channels x y"))


def darcy(path, n, samples=2):
    np.save(path, np.broadcast_to(np.arange(n, dtype=np.float32), (samples, n, n)))
    return open_source(path, layout="samples x y")


@pytest.mark.parametrize(("stride", "points"), [(1, 421), (2, 211), (3, 141), (5, 85), (7, 61), (15, 29)])
def test_strides_of_421_keep_both_ends(tmp_path, stride, points):
    coarse = select(darcy(tmp_path / "x.npy", 421), stride=stride)
    field = coarse.fields["u"].read(0, 2)
    assert field.shape == coarse.fields["u"].shape == (2, points, points)
    np.testing.assert_array_equal(field[1, 3], np.arange(0, 421, stride))
    assert coarse.grid == Grid((points, points))
    np.testing.assert_allclose(coarse.grid.coordinates()[0], np.linspace(0, 1, 421)[::stride], atol=1e-15)


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 6])
@pytest.mark.parametrize(
    "grid",
    [
        Grid((12,), ((0.0, 2.0),), ("periodic",)),
        Grid((12,), ((-1.0, 2.0),), ("periodic",), centered=(True,)),
        Grid((12,), ((-1.0, 2.0),), ("dirichlet",), centered=(True,)),
        Grid((12,), ((-1.0, 2.0),), ("dirichlet",), (False,)),
        Grid((13,), ((-1.0, 2.0),), ("dirichlet",)),
        Grid((12,), ((-1.0, 2.0),), ("neumann",)),
    ],
)
def test_coordinates_stay_where_they_were(tmp_path, grid, stride):
    import dataclasses

    np.save(tmp_path / "x.npy", np.zeros((2, *grid.shape)))
    source = dataclasses.replace(open_source(tmp_path / "x.npy", layout="samples x"), grid=grid)
    coarse = select(source, stride=stride)
    np.testing.assert_allclose(coarse.grid.coordinates()[0], grid.coordinates()[0][::stride], atol=1e-14)
    assert coarse.grid.shape == coarse.fields["u"].shape[1:]
    length = coarse.grid.extent[0][1] - coarse.grid.extent[0][0]
    assert grid.boundary != ("periodic",) or length == pytest.approx(grid.extent[0][1] - grid.extent[0][0], rel=1e-15)
    ended = coarse.grid.extent[0][1] < grid.extent[0][1] - 1e-12
    assert ended == (coarse.grid.boundary != grid.boundary) or grid.boundary == ("periodic",)


def test_stride_of_each_axis(source):
    coarse = select(source, stride=(5, 3))
    assert coarse.grid.shape == (2, 3)
    np.testing.assert_array_equal(coarse.fields["u"].read(1, 3), U[1:3, :, ::5, ::3])
    np.testing.assert_array_equal(coarse.fields["a"].read(1, 3), A[1:3, :, ::5, ::3])


def test_samples_frames_and_names(source):
    part = select(source, samples="1:-1", times="1:8:3", fields={"velocity": "u"})
    assert list(part.fields) == ["velocity"] and part.fields["velocity"].info.name == "velocity"
    np.testing.assert_array_equal(part.fields["velocity"].read(0, 3), U[1:4, 1:8:3])
    assert part.times == (1.0, 4.0, 7.0)
    assert part.origin == ((str(source.path), 1, 4),)
    again = select(part, samples="1:", times=slice(0, 2))
    np.testing.assert_array_equal(again.fields["velocity"].read(1, 2), U[3:4, [1, 4]])
    assert again.origin == ((str(source.path), 2, 4),)


def test_frames_as_channels(source):
    pair = select(source, fields={"past": "u@0:3", "next": "u@3:4", "both": "a"}, stride=2)
    np.testing.assert_array_equal(pair.fields["past"].read(2, 5), U[2:, :3, ::2, ::2])
    np.testing.assert_array_equal(pair.fields["next"].read(2, 5), U[2:, 3, ::2, ::2])
    np.testing.assert_array_equal(pair.fields["both"].read(2, 5), A[2:, :, ::2, ::2])
    assert [field.info.channels for field in pair.fields.values()] == [3, 1, 2]
    assert not any(field.info.time_varying for field in pair.fields.values()) and pair.times == ()


@pytest.mark.parametrize(("text", "expected"), [("0:10%", (0, 20)), ("10%:", (20, 201)), ("-1:", (200, 201)), (":", (0, 201))])
def test_ranges(tmp_path, text, expected):
    np.save(tmp_path / "x.npy", np.arange(201.0 * 2).reshape(201, 2))
    part = select(open_source(tmp_path / "x.npy", layout="samples x"), samples=text)
    assert part.origin[0][1:] == expected
    np.testing.assert_array_equal(part.fields["u"].read(0, part.num_samples)[:, 0], 2.0 * np.arange(*expected))


def test_pdebench_split(tmp_path):
    """Its loader tests on the first tenth, rounded down, and trains on the rest."""
    np.save(tmp_path / "x.npy", np.zeros((57, 3)))
    source = open_source(tmp_path / "x.npy", layout="samples x")
    assert [select(source, samples=text).origin[0][1:] for text in ("0:10%", "10%:")] == [(0, 5), (5, 57)]


def test_types(source):
    assert select(source).fields["u"].read(0, 1).dtype == np.float64
    single = select(source, dtype="float32").fields["u"]
    assert single.dtype == single.read(0, 1).dtype == np.float32
    np.testing.assert_array_equal(single.read(0, 5), U.astype(np.float32))


def test_values_beyond_single_precision(tmp_path):
    np.save(tmp_path / "x.npy", np.array([[1.0, 1e300]]))
    with pytest.raises(DataError, match=r"beyond 3\.4e\+38 does not fit into float32"):
        select(open_source(tmp_path / "x.npy", layout="samples x"), dtype="float32").fields["u"].read(0, 1)


def test_stated_grid(source):
    told = select(source, boundary="periodic", extent=[(0.0, 6.0)])
    assert told.grid == Grid((6, 7), ((0.0, 6.0), (0.0, 6.0)), ("periodic", "periodic"))
    assert any("as told: boundary periodic, periodic" in note for note in told.notes)
    assert select(source, boundary=("open", "neumann")).grid == Grid((6, 7), boundary=("open", "neumann"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": "0:6"}, "range 0:6 of samples of .* does not fit: there are 5"),
        ({"samples": "2:2"}, "does not fit"),
        ({"samples": "first"}, "'first' is no range"),
        ({"samples": "::2"}, "in one piece"),
        ({"times": "0:9"}, "range 0:9 of frames of .* does not fit: there are 8"),
        ({"times": "::0"}, "does not fit"),
        ({"fields": {"v": "w"}}, r"no field 'w'. Found: u \(5, 8, 6, 7\) float64, a \(5, 2, 6, 7\)"),
        ({"fields": {"v": "a@0:1"}}, "'a' does not vary in time"),
        ({"stride": 6}, r"stride of 6 does not fit the 6 points of axis x. Choose one from 1 to 5"),
        ({"stride": 0}, "stride of 0 does not fit"),
        ({"stride": (1, 1, 1)}, "3 entries for 2 space axes"),
        ({"boundary": "periodic"}, "axis x cannot become periodic.*State the extent"),
        ({"boundary": ("open",) * 3}, "boundary has 3 entries"),
        ({"extent": [(1.0, 1.0)]}, "a < b"),
    ],
)
def test_refusals(source, options, message):
    with pytest.raises(DataError, match=message) as error:
        select(source, **options)
    assert "\n" not in str(error.value)


def test_other_refusals(tmp_path, source):
    with pytest.raises(ConfigError, match="dtype must be one of"):
        select(source, dtype="float16")
    periodic = select(source, boundary="periodic", extent=[(0.0, 1.0)])
    with pytest.raises(DataError, match="does not divide the 6 points of the periodic axis x"):
        select(periodic, stride=4)


def test_join(tmp_path):
    parts = []
    for index, count in enumerate((3, 2, 4)):
        np.save(tmp_path / f"part{index}.npy", np.arange(index * 10.0, index * 10 + count)[:, None] + np.zeros(6))
        parts.append(open_source(tmp_path / f"part{index}.npy", layout="samples x"))
    whole = join(parts)
    expected = np.array([0, 1, 2, 10, 11, 20, 21, 22, 23.0])
    for start, stop in ((0, 9), (2, 4), (3, 5), (4, 8)):
        np.testing.assert_array_equal(whole.fields["u"].read(start, stop)[:, 0], expected[start:stop])
    part = select(whole, samples="2:6")
    assert [(path[-9:], *rows) for path, *rows in part.origin] == [("part0.npy", 2, 3), ("part1.npy", 0, 2), ("part2.npy", 0, 1)]
    np.save(tmp_path / "other.npy", np.zeros((2, 7)))
    with pytest.raises(DataError, match="has another grid than"):
        join([parts[0], open_source(tmp_path / "other.npy", layout="samples x")])
