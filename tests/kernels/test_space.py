import pytest
from divided_kernels import CASES

from neuralop_jax.kernels import is_divided, space_size


@pytest.fixture(scope="module")
def found(on_eight_devices):
    return on_eight_devices("tests/kernels/divided_kernels.py")


@pytest.mark.parametrize("name", CASES)
def test_blocks_give_the_numbers_of_the_whole(found, name):
    assert isinstance(found[name], float), found[name]
    assert found[name] < 1e-12


def test_nothing_is_divided_outside_of_a_mesh():
    assert space_size() == 1 and not is_divided()
