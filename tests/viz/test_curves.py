import numpy as np
import pytest

from neuralop_jax.viz import plot_curves, plot_distribution, plot_resolutions


def test_curves_show_their_numbers():
    figure = plot_curves({"loss": ([10, 20, 30], [0.5, 0.3, 0.2]), "test": ([20, 30], [0.6, 0.4])}, "relative L2 error")
    (axes,) = figure.axes
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), [[10, 0.5], [20, 0.3], [30, 0.2]])
    np.testing.assert_array_equal(axes.lines[1].get_xydata(), [[20, 0.6], [30, 0.4]])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["loss", "test"]
    assert (axes.get_yscale(), axes.get_xlabel(), axes.get_ylabel()) == ("log", "step", "relative L2 error")
    (axes,) = plot_curves({"rate": ([1, 2], [0.0, 1.0])}, "rate", over="time [s]", log=False).axes
    assert (axes.get_yscale(), axes.get_xlabel()) == ("linear", "time [s]")


def test_curves_run_over_other_things_than_steps():
    (axes,) = plot_curves({"fno": ([2e3, 3e5], [0.2, 0.1])}, "error", over="parameters", log_over=True).axes
    assert (axes.get_xscale(), axes.get_xlabel()) == ("log", "parameters") and axes.get_xlim()[0] > 0
    (axes,) = plot_curves({"sine": ([-1, 0, 1], [-0.8, 0, 0.8])}, "value", over="token", log=False).axes
    assert axes.get_xlim()[0] < -1
    lows = [plot_curves({"fno": (range(first, 21), range(first, 21))}, "error").axes[0].get_xlim()[0] for first in (1, 11)]
    assert lows[0] == 0 and 10 < lows[1] < 11  # of times that begin late, half the figure would be empty


@pytest.mark.parametrize("log", [True, False])
def test_a_legend_covers_no_curve(log):
    levels = {
        f"a network of {number} layers": ([1, 2, 3], [value] * 3) for number, value in enumerate((0.9, 0.5, 0.1, 0.05, 0.01))
    }
    figure = plot_curves(levels, "error", log=log)
    figure.draw_without_rendering()
    (axes,), box = figure.axes, figure.axes[0].get_legend().get_window_extent()
    ends = [line.get_transform().transform(line.get_xydata()) for line in axes.lines]
    assert all(not box.y0 < points[0, 1] < box.y1 for points in ends)
    assert axes.bbox.y1 >= box.y1 and axes.get_ylim()[1] > 0.9


@pytest.mark.parametrize("count", [6, 10, 14, 30])
def test_many_names_leave_the_curves_where_they_are(count):
    curves = {f"split {number}": ([1, 2, 3], [1 + 0.1 * number] * 3) for number in range(count)}
    errors = {name: ((8 * (1 + number), 8), values[0], 0.1) for number, (name, (_, values)) in enumerate(curves.items())}
    for figure in (plot_curves(curves, "error"), plot_curves(curves, "error", log=False), plot_resolutions(errors, "error")):
        (axes,) = figure.axes
        low, high = axes.get_ylim()
        assert low < 1 and 1 + 0.1 * (count - 1) < high < 2.2 * (1 + 0.1 * count)
        figure.draw_without_rendering()
        if count > 10:
            assert axes.get_legend().get_window_extent().x0 >= axes.bbox.x1


def test_a_logarithmic_axis_takes_what_is_above_0():
    assert plot_curves({"drift": ([1, 2], [-1.0, 0.0])}, "drift").axes[0].get_yscale() == "linear"
    assert plot_curves({"norm": ([1, 2], [0.0, 1.0])}, "norm").axes[0].get_yscale() == "log"


@pytest.mark.parametrize("values", [[0.1, 0.15], [0.0009, 0.003], [0.02, 1.4]])
def test_logarithmic_axes_of_few_decades_have_several_labels(values):
    (axes,) = plot_curves({"error": ([1, 2], values)}, "error").axes
    low, high = axes.get_ylim()
    assert sum(low <= tick <= high for tick in axes.get_yticks()) >= 3


def test_resolutions_are_ordered_by_points_and_mark_the_training_grid():
    errors = {"fine": ((32, 32), 0.2, 0.05), "coarse": ((16, 16), 0.1, 0.02), "other": ((16, 16), 0.3, 0.01)}
    (axes,) = plot_resolutions(errors, "error", trained_on=(16, 16)).axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["16×16\n(training grid)", "32×32"]
    means = {bar.get_label(): bar.lines[0].get_xydata()[0].tolist() for bar in axes.containers}
    assert means["fine"] == [1.0, 0.2]
    assert means["coarse"][1] == 0.1 and means["other"][1] == 0.3 and means["coarse"][0] < means["other"][0] < 0.5
    assert axes.get_ylim()[1] > 0.31


def test_distribution_is_the_share_of_samples_at_most_as_wrong():
    (axes,) = plot_distribution({"test": np.array([0.4, 0.1, 0.2, 0.3])}, "error").axes
    curve = axes.lines[0].get_xydata()
    np.testing.assert_allclose(curve, [[0.1, 0], [0.1, 0.25], [0.2, 0.5], [0.3, 0.75], [0.4, 1]])
    np.testing.assert_allclose(axes.lines[1].get_xydata(), [[0.25, 0.5]])
    assert plot_distribution({"test": np.zeros(3)}, "error").axes[0].get_ylim()[0] == 0
