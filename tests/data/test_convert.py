"""Foreign files in the library's schema: equal values, stated origin, never more than some blocks in memory."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

from neuralop_jax.data import HDF5Dataset, convert, grain_batches, join, open_source, read_info, select, verify
from neuralop_jax.errors import DataError
from neuralop_jax.grids import Grid

A = np.random.default_rng(0).normal(size=(9, 6, 7)) > 0
U = np.random.default_rng(1).normal(size=(9, 6, 7, 8))


@pytest.fixture
def source(tmp_path):
    np.savez(tmp_path / "x.npz", a=A, u=U, nu=np.array([0.01]))
    return open_source(tmp_path / "x.npz")


def test_round_trip(source, tmp_path):
    splits = {"train": select(source, samples="0:6"), "test": select(source, samples="6:")}
    info = convert(splits, tmp_path / "x.h5", name="toy", title="A toy", license="CC0-1.0", citation="nobody")
    assert read_info(tmp_path / "x.h5") == info
    assert len(verify(tmp_path / "x.h5")) == 4
    assert (info.name, info.title, info.license, info.citation) == ("toy", "A toy", "CC0-1.0", "nobody")
    assert info.parameters == {"nu": 0.01}
    assert info.source.startswith("converted from train: x.npz samples 0:6 (NumPy archive")
    assert "test: x.npz samples 6:9" in info.source
    for split, rows in (("train", slice(0, 6)), ("test", slice(6, 9))):
        whole = HDF5Dataset(tmp_path / "x.h5", split, "a", "u").read_all()
        np.testing.assert_array_equal(whole.inputs["u"][:, 0], A[rows])
        np.testing.assert_array_equal(whole.target, U[rows].transpose(0, 3, 1, 2).astype(np.float32))


def test_everything_at_once(source, tmp_path):
    fields = {"vorticity": "u", "start": "a", "window": "u@1:3"}
    chosen = select(source, samples="2:8", stride=(5, 2), times="0:8:2", fields=fields, dtype="float32")
    info = convert({"train": chosen}, tmp_path / "x.h5")
    split = info.splits["train"]
    assert split.grid == Grid((2, 4)) and split.times == (0.0, 2.0, 4.0, 6.0)
    assert {f.name: (f.channels, f.time_varying) for f in info.fields} == {
        "vorticity": (1, True),
        "start": (1, False),
        "window": (2, False),
    }
    whole = HDF5Dataset(tmp_path / "x.h5", "train", ("start", "window"), "vorticity", target_time="last").read_all()
    coarse = U[2:8, ::5, ::2].astype(np.float32)
    np.testing.assert_array_equal(whole.inputs["u"][:, 0], A[2:8, ::5, ::2])
    np.testing.assert_array_equal(whole.inputs["u"][:, 1:], coarse[..., 1:3].transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(whole.target[:, 0], coarse[..., 6])


def test_splits_of_other_files_and_grids(source, tmp_path):
    np.savez(tmp_path / "fine.npz", a=np.ones((2, 11, 13)), u=np.ones((2, 11, 13, 8)), nu=np.array([0.02]))
    fine = open_source(tmp_path / "fine.npz")
    info = convert({"train": source, "fine": fine}, tmp_path / "x.h5")
    assert info.splits["fine"].grid.shape == (11, 13) and info.splits["train"].grid.shape == (6, 7)
    assert info.parameters == {}
    np.testing.assert_array_equal(HDF5Dataset(tmp_path / "x.h5", "fine", "a", "a").read_all().target, 1)


def test_joined_parts(source, tmp_path):
    whole = join([select(source, samples="5:9"), select(source, samples="0:2")])
    convert({"train": whole}, tmp_path / "x.h5")
    target = HDF5Dataset(tmp_path / "x.h5", "train", "a", "a").read_all().target[:, 0]
    np.testing.assert_array_equal(target, A[[5, 6, 7, 8, 0, 1]])
    assert "x.npz samples 5:9, x.npz samples 0:2" in read_info(tmp_path / "x.h5").source


def test_refusals(source, tmp_path):
    parts = [select(source, samples=text) for text in ("0:6", "5:9")]
    with pytest.raises(DataError, match="'train' and 'test' share the samples 5:6 of .*x.npz"):
        convert(dict(zip(("train", "test"), parts)), tmp_path / "x.h5")
    other = select(source, samples="6:", fields={"b": "a", "u": "u"})
    with pytest.raises(DataError, match="has the fields b .*but 'train' has a"):
        convert({"train": parts[0], "test": other}, tmp_path / "x.h5")
    with pytest.raises(DataError, match="at least one split"):
        convert({}, tmp_path / "x.h5")
    np.save(tmp_path / "nan.npy", np.array([[1.0, 2.0], [3.0, np.nan]]))
    with pytest.raises(DataError, match=r"train/u holds 1 non-finite values, first at \[1, 1\]"):
        convert({"train": open_source(tmp_path / "nan.npy", layout="samples x")}, tmp_path / "x.h5")
    np.savez(tmp_path / "odd.npz", **{"my field": np.ones((2, 3))})
    with pytest.raises(DataError, match="'my field' cannot be stored"):
        convert({"train": open_source(tmp_path / "odd.npz", layout="samples x")}, tmp_path / "x.h5")
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".npz" and path.suffix != ".npy"]


def test_converted_and_original_train_alike(source, tmp_path):
    from neuralop_jax.data import SourceDataset

    convert({"train": source}, tmp_path / "x.h5")
    converted = HDF5Dataset(tmp_path / "x.h5", "train", "a", "u", target_time="last")
    straight = SourceDataset(source, "a", "u", target_time="last")
    assert straight.info.fields == converted.info.fields and straight.grid == converted.grid
    batches = [grain_batches(dataset, 4, seed=3) for dataset in (converted, straight)]
    for _ in range(5):
        one, other = (next(batch) for batch in batches)
        np.testing.assert_array_equal(one.inputs["u"], other.inputs["u"])
        np.testing.assert_array_equal(one.target, other.target)


MEMORY = textwrap.dedent("""
    import resource, sys
    import numpy as np
    from neuralop_jax.data import convert, open_source, select

    source = select(open_source(sys.argv[1], layout="samples time x y"), stride=2, dtype="float32")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    convert({"train": source}, sys.argv[2])
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
""")


def test_file_is_never_in_memory(tmp_path):
    """400 MiB of compressed zeros, stored as 50 MiB: 16 MiB at a time."""
    with open(tmp_path / "x.npz", "wb") as file:
        np.savez_compressed(file, u=np.zeros((100, 8, 256, 256)))
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "x.npz"), str(tmp_path / "x.h5")]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert int(result.stdout) < 150e6
    assert read_info(tmp_path / "x.h5").splits["train"].grid.shape == (128, 128)


def test_a_file_is_not_written_over_itself(tmp_path):
    path = tmp_path / "pairs.npz"
    np.savez(path, x=np.ones((4, 5, 6)), y=np.ones((4, 5, 6)))
    before = path.read_bytes()
    with pytest.raises(DataError, match="is one of the files to convert, which would be lost"):
        convert({"train": open_source(path)}, path, overwrite=True)
    assert path.read_bytes() == before
