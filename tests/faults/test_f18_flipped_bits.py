"""F18: every bit that flips in a file of our own is found, or lies where nothing is read."""

import shutil
from pathlib import Path

from flipped_bits import run
from mutated_files import own

DARCY = Path(__file__).parents[2] / "datasets/darcy_small/darcy_small.h5"


def test_f18_every_flipped_bit_is_found_or_without_effect(tmp_path, count):
    own(tmp_path / "small.h5")
    shutil.copy(DARCY, tmp_path / "darcy.h5")
    small = run(tmp_path / "small.h5", count(40, 250), "a", "u")
    darcy = run(tmp_path / "darcy.h5", count(15, 250), "permeability", "pressure")
    print(small, darcy)
    assert small["found"] > 0.9 * small["flips"]
    assert darcy["found"] > 0.99 * darcy["flips"]
