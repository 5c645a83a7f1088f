"""F19: a file without what was asked for is refused with what was wanted, what was found, and where."""

import h5py
import numpy as np
import pytest

from neuralop_jax.data import HDF5Dataset, open_source
from neuralop_jax.errors import DataError

ONES = np.ones((5, 8, 8))
HOLES = ONES.copy()
HOLES[1, 0, 3] = HOLES[3, 2, 2] = np.nan
HOLES[3, 7, 7] = -np.inf
CASES = {
    "key": ({"a": ONES, "sol": ONES}, r"x\.h5 has no dataset 'u'\. Found: a \(5, 8, 8\) float64, sol \(5, 8, 8\) float64\."),
    "similar key": ({"a": ONES, "uu": ONES}, r"has no dataset 'u'.*Did you mean 'uu'\?"),
    "group": ({"a": ONES, "u/v": ONES}, r"has 'u', a group; wanted an array \(samples, \*space\)"),
    "rank 1": ({"a": ONES, "u": ONES[:, 0, 0]}, r"has 'u', of shape \(5,\); wanted an array \(samples, \*space\)"),
    "rank 5": (
        {"a": ONES, "u": ONES[..., None, None]},
        r"has 'u' of shape \(5, 8, 8, 1, 1\), wanted \(samples, x, y\) or .*data\.num_dims",
    ),
    "grid": ({"a": ONES, "u": ONES[:, :4]}, r"'u' of shape \(5, 4, 8\) beside 'a' of shape \(5, 8, 8\): not on one grid"),
    "lengths": ({"a": ONES, "u": ONES[:4]}, r"has 5 samples of 'a' but 4 of 'u'\. Make the lengths equal"),
    "complex": ({"a": ONES, "u": ONES + 1j}, r"x\.h5:/u holds .*, wanted real floats of at most 64 bits.*two channels"),
    "text": ({"a": ONES, "u": np.full((5, 8, 8), b"x")}, "u holds strings, wanted real floats"),
    "non-finite": ({"a": ONES, "u": HOLES}, r"x\.h5:/u holds 3 non-finite values, first at \[1, 0, 3\]\. .* 2 affected samples"),
    "beyond float32": (
        {"a": ONES, "u": 1e39 * ONES},
        r"u holds 320 non-finite values, first at \[0, 0, 0\]\. .*beyond 3\.4e\+38",
    ),
    "no samples": ({"a": ONES[:0], "u": ONES[:0]}, r"split 'train' has no samples|has no samples"),
}


@pytest.mark.parametrize("name", CASES)
def test_f19_wrong_contents(tmp_path, name):
    fields, message = CASES[name]
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for key, values in fields.items():
            file[key] = values
    with pytest.raises(DataError, match=message) as error:
        HDF5Dataset(tmp_path / "x.h5", "train", "a", "u")
    assert "\n" not in str(error.value)


def test_f19_samples_with_holes_can_be_dropped(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a"], file["u"] = ONES, HOLES
    assert len(HDF5Dataset(tmp_path / "x.h5", "train", "a", "u", nonfinite="drop")) == 3


def test_f19_foreign_files_list_what_they_hold(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a"], file["u"] = ONES, ONES[:, 0]
    with pytest.raises(DataError, match=r"a \(5, 8, 8\).*u \(5, 8\).*layout") as error:
        open_source(tmp_path / "x.h5")
    assert "\n" not in str(error.value)
