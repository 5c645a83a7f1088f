"""`invert OUT`: the permeability of a porous medium from noisy pressures at scattered sensors."""

import time
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from neuralop_jax.cli._console import say, show_table
from neuralop_jax.errors import ConfigError, DataError


def invert(
    out: Positional[Path],
    *,
    checkpoint: Path | None = None,
    resolution: int = 0,
    sensors: int = 100,
    noise: float = 0.05,
    deviation: float = 0.5,
    tau: float = 3.0,
    gamma: float = 3.0,
    prior: Literal["gaussian", "h1", "tv"] = "gaussian",
    weight: float = 0.0,
    discrepancy: float = 0.0,
    steps: int = 150,
    seed: int = 0,
) -> None:
    """Draw a permeability on the unit square, observe its pressure with noise, and find it again.

    The pressure solves -div(a grad p) = 1, zero on the boundary, on a grid of half the spacing. It is inverted through the
    solver, differentiated implicitly, or through a trained operator. OUT then holds arrays, figures, a picture and a page.

    Args:
        out: The folder to write.
        checkpoint: A run directory whose operator, from permeability to pressure, takes the place of the solver.
        resolution: Points per axis; 64, or those of the operator's training, if 0.
        sensors: How many, at random points.
        noise: Standard deviation of the noise, relative to the root mean square of the observed pressures.
        deviation: Standard deviation of the logarithm of the permeability, a Gaussian random field.
        tau: Inverse length of this field.
        gamma: Its smoothness; 2 is that of: generate darcy --medium smooth (with --deviation 0.3).
        prior: The law of the random field, or an H1 norm or the total variation of the logarithm.
        weight: Weight of the prior; chosen by the deviation if 0.
        discrepancy: Stop when the misfit is at most so many standard deviations of the noise; 0 never does.
        steps: Iterations at most.
        seed: Which medium, sensors and noise.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} exists and is not overwritten. Choose another name.")
    for name, value in (("sensors", sensors), ("noise", noise), ("deviation", deviation), ("tau", tau), ("steps", steps)):
        if not value > 0:
            raise ConfigError(f"--{name} must be positive, got {value}.")
    if weight < 0 or discrepancy < 0 or (resolution and resolution < 5) or not gamma > 1:
        raise ConfigError(
            "--weight and --discrepancy must not be negative, --resolution at least 5 and --gamma above 1, got "
            f"{weight}, {discrepancy}, {resolution} and {gamma}."
        )

    import jax

    from neuralop_jax.cli._inversion import Twin, write_inversion

    with jax.enable_x64(True):
        started = time.monotonic()
        twin = Twin.draw(checkpoint, resolution, sensors, noise, deviation, tau, gamma, seed)
        found = twin.solve(prior, weight, discrepancy or None, steps)
        jax.block_until_ready(found)
        results = twin.figures(found) | {"prior": prior, "seconds": time.monotonic() - started}
        write_inversion(out, twin, found, results)
    names = (
        "relative_error",
        "relative_error_of_the_mean",
        "discrepancy",
        "relative_residual",
        "iterations",
        "solves",
        "seconds",
    )
    show_table(("figure", ">value"), [(name.replace("_", " "), f"{results[name]:.4g}") for name in names])
    if results["ended"] == "max_steps":
        say(f"It ended after the {steps} iterations of --steps, before the gradient had fallen to a thousandth.")
    say(f"Page: {out / 'report.html'}; picture: {out / 'inversion.png'}; figures: {out / 'result.json'}.")
