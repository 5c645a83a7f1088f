"""`invert OUT`: the permeability of a porous medium from noisy pressures at scattered sensors."""

import time
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional

from neuralop_jax._config_values import Bounds, check_value
from neuralop_jax._whole_files import make_way
from neuralop_jax.cli._console import say, show_table
from neuralop_jax.errors import DataError

_BOUNDS = {
    "resolution": Annotated[int, Bounds(at_least=5.0, below=4097.0)],
    "sensors": Annotated[int, Bounds(at_least=1.0)],  # and the points of the grid
    "noise": Annotated[float, Bounds(at_least=1e-6, below=100.0)],
    "deviation": Annotated[float, Bounds(at_least=1e-3, below=10.0)],
    "tau": Annotated[float, Bounds(at_least=0.01, below=1000.0)],
    "gamma": Annotated[float, Bounds(above=1.0, below=10.0)],
    "weight": Annotated[float, Bounds(at_least=1e-15, below=1e15)],
    "discrepancy": Annotated[float, Bounds(at_least=1e-3, below=1e6)],
    "steps": Annotated[int, Bounds(at_least=1.0, below=1e6)],
    "seed": Annotated[int, Bounds(at_least=0.0, below=4e9)],
}
_CHOSEN_IF_ZERO = ("resolution", "weight", "discrepancy")


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
    options = {
        "resolution": resolution,
        "sensors": sensors,
        "noise": noise,
        "deviation": deviation,
        "tau": tau,
        "gamma": gamma,
        "weight": weight,
        "discrepancy": discrepancy,
        "steps": steps,
        "seed": seed,
    }
    for name, value in options.items():
        if value or name not in _CHOSEN_IF_ZERO:
            check_value(_BOUNDS[name], value, f"--{name}")
    make_way(out, DataError)

    import jax

    from neuralop_jax.cli._inversion import Twin, write_inversion

    with jax.enable_x64(True):
        started = time.monotonic()
        twin = Twin.draw(checkpoint, resolution, sensors, noise, deviation, tau, gamma, seed)
        found = twin.solve(prior, weight, discrepancy or None, steps)
        jax.block_until_ready(found)
        results = twin.figures(found) | {"prior": prior, "seconds": time.monotonic() - started}
        _show(results, steps)
        write_inversion(out, twin, found, results)
    say(f"Page: {out / 'report.html'}; picture: {out / 'inversion.png'}; figures: {out / 'result.json'}.")


def _show(results: dict[str, Any], steps: int) -> None:
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
