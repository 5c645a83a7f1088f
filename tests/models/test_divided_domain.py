import pytest
from divided_domain import CASES, REFUSALS


@pytest.fixture(scope="module")
def found(on_eight_devices):
    return on_eight_devices("tests/models/divided_domain.py")


@pytest.mark.parametrize("name", CASES)
def test_a_divided_domain_gives_the_numbers_of_one_device(found, name):
    """Loss, prediction and gradient, in double precision."""
    assert isinstance(found[name], float), found[name]
    assert found[name] < 1e-12


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_be_divided_is_refused(found, name):
    """In one line that says what would help."""
    _, message = REFUSALS[name]
    assert message in found[name] and "\n" not in found[name]


def test_a_step_moves_the_kept_coefficients_and_no_field(found):
    """Two layers with 6 x 4 coefficients of 5 channels for 3 samples on 32 x 16 points, of which each device has 8 x 16."""
    moved = found["moved_numbers"]
    kept, exchanged = 2 * (6 * 4) * 5 * 3, (8 * 4) * 5 * 3  # the exchanged numbers are complex
    loss = [3, 2 * 3, moved["other weights"]]  # the largest value, and both norms, of every sample; the gradient
    assert moved["sums"] == {"all-reduce": sorted(loss + [kept] * 4)}
    pencils = {"all-reduce": sorted(loss + [kept] * 2), "all-gather": [kept] * 2, "all-to-all": [exchanged] * 8}
    assert moved["pencils"] == pencils
    views = [2 * 4 * 3] * 3 + [3 * 8 * 3] * 2 + [1 * 16 * 3] * 2  # the widest view first: what each device needs of the others
    assert moved["patches, prediction"] == {"collective-permute": sorted(views)}
    permuted = moved["multigrid, prediction"].pop("collective-permute")
    assert not moved["multigrid, prediction"] and max(permuted) == 16 * 5 * 3  # one row of all channels and samples
