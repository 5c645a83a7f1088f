"""Curves of a training, and errors by resolution and by sample."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def plot_training(lines: Sequence[Mapping[str, Any]]) -> Any:
    """Loss, errors of the held-out splits, and learning rate over the steps.

    **Arguments:**

    - `lines`: the lines of `metrics.jsonl`: `step`, `loss`, `learning_rate`, and `splits` where there was an evaluation.

    **Returns:** a Matplotlib figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    steps = [line["step"] for line in lines]
    left.semilogy(steps, [line["loss"] for line in lines], color="0.3", label="training loss")
    evaluated = [line for line in lines if "splits" in line]
    for order, name in enumerate(evaluated[0]["splits"] if evaluated else ()):
        errors = [line["splits"][name]["relative_l2"] for line in evaluated]
        left.semilogy([line["step"] for line in evaluated], errors, "o-", ms=3, color=f"C{order}", label=f"{name} relative L2")
    left.set_xlabel("step")
    left.legend(fontsize=8)
    left.grid(alpha=0.3, which="both")
    right.plot(steps, [line["learning_rate"] for line in lines], color="C4")
    right.set_xlabel("step")
    right.set_title("learning rate", fontsize=9)
    right.grid(alpha=0.3)
    return figure


def plot_errors(errors: Mapping[str, np.ndarray], grids: Mapping[str, Sequence[int]]) -> Any:
    """Left the mean relative error by resolution, right the distribution over the samples of each split.

    **Arguments:**

    - `errors`: by split, one relative error per sample.
    - `grids`: by split, points per axis.

    **Returns:** a Matplotlib figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    for order, (name, values) in enumerate(errors.items()):
        left.errorbar(grids[name][0], np.mean(values), np.std(values), fmt="o", capsize=4, color=f"C{order}", label=name)
        right.hist(values, bins=min(20, max(5, len(values) // 4)), color=f"C{order}", alpha=0.6, label=name)
    left.set_xlabel("points per axis")
    left.set_ylabel("relative L2, mean and spread")
    left.set_ylim(bottom=0)
    right.set_xlabel("relative L2 of a sample")
    right.set_ylabel("samples")
    for panel in (left, right):
        panel.legend(fontsize=8)
        panel.grid(alpha=0.3)
    return figure
