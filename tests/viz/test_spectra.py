import numpy as np

from neuralop_jax.viz import plot_spectra


def test_spectra_start_at_one_wave_and_end_at_the_limit():
    target, prediction, error = 2.0 ** -np.arange(12), 3.0 ** -np.arange(12), np.r_[1.0, 0.0, 4.0 ** -np.arange(2, 12)]
    (axes,) = plot_spectra(target, prediction, error, limit=8.5, marks={"kept modes": 4.0, "beyond": 11.0}).axes
    lines = {line.get_label(): line for line in axes.lines}
    np.testing.assert_array_equal(lines["target"].get_xydata(), [[k, 2.0**-k] for k in range(1, 9)])
    np.testing.assert_array_equal(lines["prediction"].get_ydata(), 3.0 ** -np.arange(1, 9))
    assert np.isnan(lines["error"].get_ydata()[0])
    assert [text.get_text() for text in axes.texts] == ["kept modes"]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
