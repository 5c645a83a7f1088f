import io

import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.grids import Grid
from neuralop_jax.viz import Label, plot_sample, sample_panels


def fields(channels, *shape):
    return np.random.default_rng(channels).normal(size=(channels, *shape))


def test_label():
    assert str(Label("pressure", "Pa")) == "pressure [Pa]"
    assert str(Label("velocity")) == "velocity"


def test_one_scale_for_target_and_prediction_and_a_symmetric_one_for_the_error():
    u, target = fields(1, 8, 6), fields(1, 8, 6)
    prediction = np.array(target)
    prediction[0, 2, 3] += 7.0
    (row,) = sample_panels(u, target, prediction, Grid((8, 6)), input=[Label("a")], output=[Label("v", "m/s")])
    assert [panel.title for panel in row] == ["input: a", "target: v", "prediction: v", "error (prediction − target)"]
    assert row[0].limits == (u.min(), u.max())
    assert row[1].limits == row[2].limits == (min(target.min(), prediction.min()), max(target.max(), prediction.max()))
    assert row[3].limits == (-7.0, 7.0) and row[3].label == "v [m/s]"
    np.testing.assert_array_equal(row[3].values, prediction - target)


def test_the_first_axis_is_horizontal_and_the_second_points_up():
    target = np.zeros((1, 4, 3))
    target[0, 3, 0] = 1.0
    grid = Grid((4, 3), ((0.0, 4.0), (0.0, 6.0)), names=("x", "z"), unit="m", endpoint=(False, False))
    axes = plot_sample(target, target, target, grid).axes[0]
    image = axes.images[0]
    assert image.get_extent() == [-0.5, 3.5, -1.0, 5.0] and image.origin == "lower"
    assert image.get_array()[0, 3] == 1.0
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x [m]", "z [m]")


def test_several_channels_stand_in_rows_below_the_inputs():
    rows = sample_panels(fields(2, 6, 6), fields(9, 6, 6), fields(9, 6, 6), Grid((6, 6)))
    assert [len(row) for row in rows] == [2, 3, 3, 3]
    assert [row[0].title for row in rows] == ["input: input 0", "target: output 0", "target: output 4", "target: output 8"]


def test_lines_of_a_grid_with_one_axis():
    u, target, prediction = fields(1, 10), fields(17, 10), fields(17, 10)
    output = [Label(f"velocity, t = {0.5 * t:g} s", "m/s") for t in range(17)]
    grid = Grid((10,), boundary=("periodic",))
    ((given, compared, error),) = sample_panels(u, target, prediction, grid, input=[Label("velocity")], output=output)
    assert compared.names == ("t = 0 s", "t = 4 s", "t = 8 s") and compared.label == "velocity [m/s]"
    np.testing.assert_array_equal(compared.values, prediction[[0, 8, 16]])
    np.testing.assert_array_equal(compared.reference, target[[0, 8, 16]])
    np.testing.assert_array_equal(error.values, (prediction - target)[[0, 8, 16]])
    axes = compared.figure().axes[0]
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), target[0])
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), prediction[0])
    np.testing.assert_allclose(axes.lines[0].get_xdata(), np.arange(10) / 10)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["t = 0 s", "t = 4 s", "t = 8 s"]


def test_a_field_in_three_dimensions_is_cut_in_the_middle():
    target = fields(1, 4, 5, 7)
    (row,) = sample_panels(target, target, target, Grid((4, 5, 7)))
    np.testing.assert_array_equal(row[1].values[0], target[0, :, :, 3])
    assert row[1].grid.shape == (4, 5)


@pytest.mark.parametrize("shape", [(8,), (8, 3), (4, 4, 4)])
def test_constant_fields_and_arrays_of_jax_are_drawn(shape):
    u = jnp.ones((1, *shape), jnp.float32)
    figure = plot_sample(u, u, u, Grid(shape))
    figure.savefig(io.BytesIO(), format="png")
    lines = [line.get_ydata() for axes in figure.axes for line in axes.lines]
    images = [image.get_array() for axes in figure.axes for image in axes.images]
    drawn = lines if len(shape) == 1 else images
    assert {float(value) for values in drawn for value in np.unique(values)} == {0.0, 1.0}  # the error, and the fields


def test_an_input_on_other_points_of_the_box_is_shown_where_it_is():
    coarse, fine = Grid((4,)), Grid((8,))
    axes = plot_sample(fields(1, 4), fields(1, 8), fields(1, 8), fine).axes
    for place, grid in zip(axes, (coarse, fine, fine), strict=True):
        np.testing.assert_array_equal(place.lines[-1].get_xdata(), grid.coordinates()[0])
    given, target = sample_panels(fields(1, 4, 3), fields(1, 8, 6), fields(1, 8, 6), Grid((8, 6)))[0][:2]
    assert (given.grid.shape, target.grid.shape) == ((4, 3), (8, 6)) and given.grid.extent == target.grid.extent
