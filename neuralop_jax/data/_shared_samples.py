"""Held-out samples that are training samples, too: found by comparing hashes, block by block."""

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from neuralop_jax.data._hdf5_file import HDF5Array
from neuralop_jax.data._open import open_hdf5
from neuralop_jax.data._read import blocks, find_field, info_of
from neuralop_jax.grids import Grid, strides_to

_Strides = tuple[int, ...]


def shared_samples(
    path: str | Path,
    train_split: str,
    names: str | Sequence[str],
    *,
    among: Collection[str] | None = None,
    num_dims: int = 0,
) -> dict[str, int | None]:
    """How many samples of every other split have the same input as a sample of the training split.

    Compared are the values of the fields in float32, on the points that both grids have where one contains the other as every
    k-th point: a sample that was taken over at another resolution is found, too. Every field is read once for each of the
    grids that it is compared on; what is kept is 16 bytes per sample.

    **Arguments:**

    - `path`: the HDF5 file.
    - `train_split`: the split that a model is trained on.
    - `names`: the fields that make the input.
    - `among`: the splits to compare with it; all others if left out.
    - `num_dims`: the number of space axes of a plain file; 0 tells by the shapes of these fields.

    **Returns:** by split the number of its samples that are training samples; `None` where the grids have no such points.

    **Raises:** `DataError` as `HDF5Dataset`.

    !!! example

        ```python
        from neuralop_jax.data import shared_samples

        shared = shared_samples("datasets/darcy_small/darcy_small.h5", "train", "permeability")
        assert shared["test_16"] == 0
        ```
    """
    names = (names,) if isinstance(names, str) else tuple(names)
    if among is not None and not among:
        return {}
    with open_hdf5(path) as file:
        info = info_of(file, names, num_dims)
        fields = {split: [find_field(file, info, split, name) for name in names] for split in (train_split, *info.splits)}
        train = info.splits[train_split].grid
        known: dict[_Strides, set[bytes]] = {}
        found: dict[str, int | None] = {}
        for split in info.splits:
            if split == train_split or (among is not None and split not in among):
                continue
            held_out = info.splits[split].grid
            pair = _common(train, held_out)
            if pair is None:
                found[split] = None
                continue
            of_train, of_held_out = pair
            if of_train not in known:
                known[of_train] = set(_hashes(fields[train_split], of_train))
            found[split] = sum(digest in known[of_train] for digest in _hashes(fields[split], of_held_out))
    return found


def _common(train: Grid, held_out: Grid) -> tuple[_Strides, _Strides] | None:
    """The strides at which both grids have the same points."""
    whole = (1,) * train.num_dims
    if train.shape == held_out.shape:
        return whole, whole
    if train.num_dims != held_out.num_dims or train.endpoint != held_out.endpoint or any(train.centered):
        return None
    if (strides := strides_to(held_out, train.shape)) is not None:
        return whole, strides
    if (strides := strides_to(train, held_out.shape)) is not None:
        return strides, whole
    return None


def _hashes(fields: Sequence[HDF5Array], strides: _Strides) -> list[bytes]:
    """A hash of every sample, of all fields together, on every k-th point."""
    digests = [hashlib.blake2b(digest_size=16) for _ in range(fields[0].shape[0])]
    index = (..., *(slice(None, None, stride) for stride in strides))
    for field in fields:
        for start, values in blocks(field):
            with np.errstate(over="ignore"):
                chosen = values[index].astype(np.float32)
            for number, sample in enumerate(chosen, start):
                digests[number].update(sample.tobytes())
    return [digest.digest() for digest in digests]
