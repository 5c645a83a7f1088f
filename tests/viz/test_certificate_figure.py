import numpy as np

from neuralop_jax.viz import plot_certificate


def row(grid, difference, error):
    return {"grid": list(grid), "difference": difference, "error": error}


def test_differences_and_errors_stand_over_their_grids():
    rows = [row((8, 8), 0.2, 0.3), row((16, 16), 0.01, 0.1), row((32, 32), None, 0.1), row((64, 64), 0.0, None)]
    certificate = {"grids": rows, "claim": "converges", "tolerance": 0.02, "round_off": 1e-5, "training_grid": [16, 16]}
    (axes,) = plot_certificate(certificate).axes
    lines = {line.get_label(): line.get_ydata() for line in axes.lines}
    np.testing.assert_array_equal(
        lines["difference from the finest grid,\nof that one from the next"], [0.2, 0.01, np.nan, np.nan]
    )
    np.testing.assert_array_equal(lines["error on data"], [0.3, 0.1, 0.1, np.nan])
    assert lines["tolerance"][0] == 0.02 and axes.get_yscale() == "log"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["8×8", "16×16 (training)", "32×32", "64×64"]
    (axes,) = plot_certificate({**certificate, "claim": "none"}).axes
    assert "tolerance" not in [line.get_label() for line in axes.lines]
