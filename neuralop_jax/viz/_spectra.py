"""The spectrum of the error beside those of target and prediction."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from neuralop_jax.errors import ConfigError
from neuralop_jax.viz._arrays import vectors
from neuralop_jax.viz._style import SERIES, add_legend, new_figure, style

if TYPE_CHECKING:
    import matplotlib.figure


def plot_spectra(
    target: ArrayLike,
    prediction: ArrayLike,
    error: ArrayLike,
    *,
    limit: float,
    marks: Mapping[str, float] | None = None,
    label: str = "energy",
) -> "matplotlib.figure.Figure":
    """Energy by wavenumber of target, prediction and error on logarithmic axes, from wavenumber 1 on.

    **Arguments:**

    - `target`, `prediction`, `error`: spectra as `metrics.energy_spectrum` gives them, `(bins,)`.
    - `limit`: the largest wavenumber shown, as a rule the Nyquist wavenumber of the grid.
    - `marks`: wavenumbers to mark, by name, such as the largest that the operator keeps.
    - `label`: what is shown, with its unit.

    **Raises:** `ConfigError` for spectra that have not one length, or no energy above 0 from wavenumber 1 to the limit.
    """
    target, prediction, error = vectors("plot_spectra", {"target": target, "prediction": prediction, "error": error})
    if not limit > 0:
        raise ConfigError(f"plot_spectra needs limit as a wavenumber above 0, got {limit:g}. Take metrics.nyquist(grid).")
    stop = max(2, int(min(len(target), limit + 1)))
    if not any((energy[1:stop] > 0).any() for energy in (target, prediction, error)):
        raise ConfigError(f"plot_spectra found no energy at the wavenumbers 1 to {stop - 1}. Give spectra of fields that vary.")
    with style():
        figure = new_figure(4.0, 2.8)
        axes = figure.subplots()
        waves = np.arange(1, stop)
        lines = {"target": (target, "-"), "prediction": (prediction, "--"), "error": (error, "-")}
        for color, (name, (energy, dash)) in zip(("#222222", SERIES[0], SERIES[1]), lines.items(), strict=True):
            shown = np.where(energy[1:stop] > 0, energy[1:stop], np.nan)
            axes.plot(waves, shown, dash, color=color, label=name, marker="o" if stop <= 12 else "", markersize=3)
        for number, (name, wave) in enumerate((marks or {}).items()):
            if 1 <= wave <= limit:
                axes.axvline(wave, color="#888888", linewidth=0.9, linestyle=(":", "-.")[number % 2])
                axes.annotate(
                    name, (wave, 0.98), (-3, 0), xycoords=("data", "axes fraction"), textcoords="offset points", rotation=90,
                    va="top", ha="right", fontsize=7, color="#555555", bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
                )  # fmt: skip
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("wavenumber (waves per longest side)")
        axes.set_ylabel(label)
        axes.grid(True)
        add_legend(axes)
        return figure
