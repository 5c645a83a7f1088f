"""Energy by wavenumber of target, prediction and error."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def plot_spectra(spectra: Mapping[str, np.ndarray], *, title: str = "", kept: float | None = None) -> Any:
    """Spectra on logarithmic axes.

    **Arguments:**

    - `spectra`: by name, the energy in the bins of wavenumbers 0, 1, 2, ...
    - `title`: what they are of.
    - `kept`: the largest wavenumber that the operator keeps, marked by a line.

    **Returns:** a Matplotlib figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.4, 3.2), layout="constrained")
    panel = figure.subplots()
    for name, energy in spectra.items():
        panel.semilogy(np.arange(len(energy)), np.maximum(energy, 1e-30), marker="o", ms=3, label=name)
    if kept is not None:
        panel.axvline(kept, color="0.5", ls=":", label="largest kept wavenumber")
    panel.set_xlabel("wavenumber")
    panel.set_ylabel("energy")
    panel.set_title(title, fontsize=9)
    panel.legend(fontsize=8)
    panel.grid(alpha=0.3)
    return figure
