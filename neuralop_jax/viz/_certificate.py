"""What an operator does on other grids, in one figure."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neuralop_jax.errors import ConfigError
from neuralop_jax.viz._style import SERIES, add_legend, new_figure, style

if TYPE_CHECKING:
    import matplotlib.figure


def plot_certificate(certificate: Mapping[str, Any]) -> "matplotlib.figure.Figure":
    """The difference of the commuting test and the error on each grid, with what is asked of the difference.

    **Arguments:**

    - `certificate`: as `evaluation.certify` returns it. Grids on which nothing was measured have no mark.

    **Raises:** `ConfigError` for what is no certificate.
    """
    if missing := [name for name in ("grids", "claim", "training_grid") if name not in certificate]:
        raise ConfigError(f"plot_certificate needs what evaluation.certify returns, got no {missing[0]!r}. Certify a model.")
    with style():
        figure = new_figure(4.6, 3.0)
        axes = figure.subplots()
        rows: Sequence[Mapping[str, Any]] = certificate["grids"]
        lines = {
            "error": ("error on data", SERIES[1], "s"),
            "difference": ("difference from the finest grid,\nof that one from the next", SERIES[0], "o"),
        }
        for key, (name, color, marker) in lines.items():
            values = [row[key] or np.nan for row in rows]  # neither what is unknown nor zero has a place on the axis
            axes.plot(range(len(rows)), values, marker=marker, markersize=4, color=color, label=name)
        if certificate["claim"] != "none":
            limit = "round_off" if certificate["claim"] == "exact" else "tolerance"
            axes.axhline(certificate[limit], color="#888888", linewidth=0.9, linestyle=":", label=limit.replace("_", "-"))
        names = ["×".join(map(str, row["grid"])) for row in rows]
        trained = list(certificate["training_grid"])
        ticks = [f"{name} (training)" if row["grid"] == trained else name for name, row in zip(names, rows, strict=True)]
        axes.set_xticks(range(len(rows)), ticks, rotation=30, ha="right")
        axes.set_yscale("log")
        axes.set_xlabel("grid points")
        axes.set_ylabel("relative L2")
        axes.grid(True, axis="y")
        add_legend(axes)
        return figure
