"""Flips single bits of a file of our own: `python flipped_bits.py PATH COUNT INPUT TARGET` prints how many were found.

A flip that no reader refuses must be without any effect: all that the file says of itself is the same, and the bit lies in no chunk.
"""

import json
import sys
from pathlib import Path

import numpy as np

from neuralop_jax.data import HDF5Dataset, open_hdf5, read_info, verify
from neuralop_jax.errors import DataError


def run(path, count, input, target):
    content, broken = np.fromfile(path, np.uint8), path.with_name("broken.h5")
    with open_hdf5(path) as file:
        objects, table = json.dumps(file.objects), file.table.copy()
    starts, stops = table[:, 0], table[:, 0] + table[:, 1]
    rng, found, inert = np.random.default_rng(0), 0, 0
    for _ in range(count):
        bit = int(rng.integers(8 * len(content)))
        content[bit // 8] ^= 1 << (bit % 8)
        content.tofile(broken)
        content[bit // 8] ^= 1 << (bit % 8)
        try:
            verify(broken)
            for split in read_info(broken).splits:
                HDF5Dataset(broken, split, input, target)
        except DataError as error:
            assert str(broken) in str(error) and "\n" not in str(error)
            found += 1
            continue
        with open_hdf5(broken) as file:
            assert json.dumps(file.objects) == objects and np.array_equal(file.table, table), f"bit {bit} changed what is said"
        assert not ((starts <= bit // 8) & (bit // 8 < stops)).any(), f"bit {bit} changed a chunk and was not found"
        inert += 1
    return {"flips": count, "found": found, "without effect": inert}


if __name__ == "__main__":
    path, count, *names = sys.argv[1:]
    print(json.dumps(run(Path(path), int(count), *names)))
