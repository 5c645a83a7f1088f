import json

import jaxtyping
import numpy as np
import pytest

from neuralop_jax.errors import ConfigError
from neuralop_jax.grids import Grid, strides_to


def test_periodic_axis_excludes_its_right_end():
    grid = Grid((8,), ((0.0, 2 * np.pi),), ("periodic",))
    np.testing.assert_allclose(grid.coordinates()[0], 2 * np.pi * np.arange(8) / 8, rtol=1e-15)
    assert grid.spacing == (2 * np.pi / 8,)


def test_other_axes_include_both_ends():
    grid = Grid((5, 3), ((-1.0, 1.0), (0.0, 4.0)), ("dirichlet", "neumann"))
    x, y = grid.coordinates()
    np.testing.assert_array_equal(x, [-1, -0.5, 0, 0.5, 1])
    np.testing.assert_array_equal(y, [0, 2, 4])
    assert grid.spacing == (0.5, 2.0)
    assert x.dtype == np.float64


@pytest.mark.parametrize("name", ["endpoint", "centered"])
@pytest.mark.parametrize("entries", [("x", "y"), "xy", (True, "False"), (1, 0)])
def test_what_is_no_boolean_is_refused(monkeypatch, name, entries):
    """The names of the axes, given by position, would be truths."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # users have no check of types
    with pytest.raises(
        ConfigError, match=rf"Grid\.{name} must hold True or False for each axis, got ('x'|'False'|1)\. Names of axes"
    ):
        Grid((4, 4), **{name: entries})


def test_endpoint_can_be_left_out():
    grid = Grid((4,), boundary=("dirichlet",), endpoint=(False,))
    np.testing.assert_array_equal(grid.coordinates()[0], [0, 0.25, 0.5, 0.75])


def test_one_point_on_an_axis():
    assert Grid((1,)).spacing == (1.0,)
    np.testing.assert_array_equal(Grid((1,), ((2.0, 3.0),)).coordinates()[0], [2.0])


@pytest.mark.parametrize("closed", [True, False])
def test_refinement_keeps_the_box(closed):
    coarse = Grid((9,), ((0.0, 3.0),), ("open",), (closed,))
    fine = coarse.with_shape((17,) if closed else (18,))
    np.testing.assert_allclose(fine.coordinates()[0][::2], coarse.coordinates()[0], rtol=1e-15)
    assert fine.extent == coarse.extent


def test_defaults():
    grid = Grid((2, 3, 4))
    assert grid.names == ("x", "y", "z")
    assert grid.boundary == ("open",) * 3
    assert grid.endpoint == (True,) * 3
    assert grid.extent == ((0.0, 1.0),) * 3
    assert grid.num_dims == 3


def test_equal_grids_have_equal_hashes():
    assert hash(Grid((4,), ((0.0, 1.0),))) == hash(Grid((4,)))
    assert Grid((4,)) != Grid((5,))


def test_json_round_trip():
    grid = Grid((4, 6), ((0.0, 1.0), (-0.1, 0.3)), ("dirichlet", "periodic"), (False, False), ("r", "phi"), "m")
    assert Grid.from_json(json.loads(json.dumps(grid.to_json()))) == grid


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": ()}, "1 to 4 positive sizes"),
        ({"shape": (4, 0)}, "1 to 4 positive sizes"),
        ({"shape": (2,) * 5}, "1 to 4 positive sizes"),
        ({"shape": (4,), "extent": ((1.0, 1.0),)}, r"a < b, got \(1\.0, 1\.0\)"),
        ({"shape": (4,), "boundary": ("perodic",)}, "Did you mean 'periodic'"),
        ({"shape": (4,), "boundary": ("periodic",), "endpoint": (True,)}, "its right end is its left end"),
        ({"shape": (4, 4), "names": ("x",)}, "Grid.names has 1 entries"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Grid(**arguments)


def test_centers_of_cells():
    grid = Grid((4, 3), ((0.0, 2.0), (0.0, 3.0)), ("neumann", "periodic"), centered=(True, True))
    x, y = grid.coordinates()
    np.testing.assert_array_equal(x, [0.25, 0.75, 1.25, 1.75])
    np.testing.assert_array_equal(y, [0.5, 1.5, 2.5])
    assert grid.endpoint == (False, False)
    assert Grid.from_json(json.loads(json.dumps(grid.to_json()))) == grid
    with pytest.raises(ConfigError, match="centers of cells"):
        Grid((4,), endpoint=(True,), centered=(True,))


@pytest.mark.parametrize(
    ("shape", "endpoint", "wanted", "strides"),
    [
        ((32, 32), (False, False), (16, 16), (2, 2)),
        ((32, 30), (False, False), (8, 10), (4, 3)),
        ((32, 32), (False, False), (12, 16), None),
        ((32, 32), (True, True), (16, 16), None),
        ((33, 65), (True, True), (17, 17), (2, 4)),
        ((33, 32), (True, False), (9, 16), (4, 2)),
        ((16, 16), (False, False), (32, 32), None),
        ((16, 16), (True, True), (1, 1), None),
    ],
)
def test_strides(shape, endpoint, wanted, strides):
    fine = Grid(shape, boundary=("open", "open"), endpoint=endpoint)
    assert strides_to(fine, wanted) == strides
    if strides:
        for few, many, stride in zip(fine.with_shape(wanted).coordinates(), fine.coordinates(), strides, strict=True):
            np.testing.assert_allclose(few, many[::stride], rtol=0, atol=1e-15)
