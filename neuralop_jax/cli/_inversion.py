"""A twin experiment: a medium that is known, observed as if it were not, and the page about what was found."""

import dataclasses
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from neuralop_jax import inverse, viz
from neuralop_jax._checks import reason, shown
from neuralop_jax._result import MAX_STEPS, NONFINITE, STALLED, SUCCESS
from neuralop_jax._run_files import read_config
from neuralop_jax._strict_json import strict
from neuralop_jax._typing import RealField
from neuralop_jax._whole_files import whole_directory
from neuralop_jax.data import GaussianRandomField
from neuralop_jax.errors import CheckpointError, ConfigError, DataError, SolverError
from neuralop_jax.grids import Grid
from neuralop_jax.solvers import solve_darcy
from neuralop_jax.training._environment import environment

_DEFAULT_RESOLUTION = 64
_RTOL = 1e-3
_TOO_WILD = (
    "the inversion found no way to a smaller objective: the medium varies too much for the solver, or the prior binds it too "
    "little. Lower --deviation or --gamma, or raise --weight."
)


class _RelativeError(eqx.Module):
    """That of the permeability of a field, in L2."""

    truth: RealField

    def __call__(self, m: RealField) -> Float[Array, ""]:
        return jnp.linalg.norm(jnp.exp(m) - self.truth) / jnp.linalg.norm(self.truth)


@dataclasses.dataclass(frozen=True)
class Twin:
    """The medium, its law, the sensors and what they show, and the model through which it is sought."""

    truth: RealField
    grid: Grid
    law: GaussianRandomField
    sensors: inverse.Sensors
    data: Float[Array, "1 sensors"]
    noise: Float[Array, ""]
    forward: Callable[[RealField], RealField]
    options: dict[str, Any]

    @classmethod
    def draw(
        cls,
        checkpoint: Path | None,
        resolution: int,
        sensors: int,
        noise: float,
        deviation: float,
        tau: float,
        gamma: float,
        seed: int,
    ) -> "Twin":
        """The experiment of a seed; arguments as those of the command.

        **Raises:** `ConfigError` if there are more sensors than points, or the run is of something else; `CheckpointError` or
        `RunDirError` if it cannot be read.
        """
        operator, grid = (None, _unit_square(resolution or _DEFAULT_RESOLUTION)) if checkpoint is None else _operator(checkpoint)
        grid = grid.with_shape((resolution, resolution)) if resolution else grid
        if sensors > math.prod(grid.shape):
            points = " x ".join(map(str, grid.shape))
            raise ConfigError(f"--sensors must be at most the {points} points of the grid, got {shown(sensors)}.")
        fine = grid.with_shape(tuple(2 * n - 1 for n in grid.shape))
        unit = GaussianRandomField(1.0, tau, gamma, boundary="neumann")
        law = GaussianRandomField(deviation / unit.variance(grid) ** 0.5, tau, gamma, boundary="neumann")
        keys = jax.random.split(jax.random.key(seed), 3)
        m = law.sample(fine, key=keys[0])
        placed = inverse.random_sensors(grid, sensors, key=keys[1])
        pressure = solve_darcy(jnp.exp(m), jnp.ones_like(m), fine).value
        data, spread = inverse.add_noise(inverse.Sensors(placed.points, fine)(pressure), noise, key=keys[2])
        truth = jnp.exp(m[:, ::2, ::2])
        forward = inverse.DarcyPressure(jnp.ones_like(truth), grid) if operator is None else operator
        options = {
            "forward": "solver" if checkpoint is None else str(checkpoint),
            "resolution": list(grid.shape),
            "sensors": sensors,
            "noise": noise,
            "deviation": deviation,
            "tau": tau,
            "gamma": gamma,
            "seed": seed,
        }
        return cls(truth, grid, law, placed, data, spread, forward, options)

    def prior(self, name: str, weight: float) -> inverse.AbstractPrior:
        """The prior of that name; a weight of 0 is replaced by one that fits the law of the medium."""
        length, deviation = 1 / self.options["tau"], self.options["deviation"]
        if name == "tv":
            return inverse.TotalVariation(self.grid, weight=weight or 3 / deviation, smoothing=0.5 * deviation)
        if name == "gaussian":
            return inverse.Tikhonov(
                self.grid,
                order=self.law.gamma,
                weight=weight or length ** (-2 * self.law.gamma) / self.law.sigma**2,
                length=length,
            )
        unit = GaussianRandomField(1.0, self.law.tau, 1.0, boundary="neumann")  # of the same variance on this grid
        return inverse.Tikhonov(self.grid, weight=weight or unit.variance(self.grid) / (length * deviation) ** 2, length=length)

    def solve(self, prior: str, weight: float, discrepancy: float | None, steps: int) -> inverse.Inversion:
        """The inversion; `SolverError` unless it converged or used up its steps."""
        try:
            found = inverse.invert(
                self.forward,
                self.data,
                self.sensors,
                self.prior(prior, weight),
                noise=self.noise,
                monitor=_RelativeError(self.truth),
                discrepancy=discrepancy,
                rtol=_RTOL,
                max_steps=steps,
                throw=False,
            )
        except eqx.EquinoxRuntimeError as error:  # of an operator whose adjoint cannot be told to go on with NaN
            raise SolverError(_TOO_WILD) from error
        if int(found.result) in (NONFINITE, STALLED):
            raise SolverError(_TOO_WILD)
        return found if int(found.result) in (SUCCESS, MAX_STEPS) else found.or_raise()

    def figures(self, found: inverse.Inversion) -> dict[str, Any]:
        """What is said of a reconstruction, in JSON types."""
        count, history = int(found.num_steps), found.history
        residual = found.predicted - self.data
        log_truth = jnp.log(self.truth)
        at_truth = self.sensors(self.forward(self.truth)) - self.data
        ratio = lambda a, b: float(jnp.linalg.norm(a) / jnp.linalg.norm(b))
        return {
            **self.options,
            "relative_error": float(history.monitor[count]),
            "relative_error_of_the_mean": float(history.monitor[0]),
            "relative_error_of_the_logarithm": ratio(found.field - log_truth, log_truth),
            "discrepancy": float(jnp.sqrt(jnp.mean((residual / self.noise) ** 2))),
            "discrepancy_of_the_truth": float(jnp.sqrt(jnp.mean((at_truth / self.noise) ** 2))),
            "relative_residual": ratio(residual, self.data),
            "objective": float(history.objective[count]),
            "gradient_fell_by": float(history.gradient_norm[count] / history.gradient_norm[0]),
            "iterations": count,
            "solves": int(found.num_solves),
            "ended": "success" if found.successful else "max_steps",
        }


def write_inversion(out: Path, twin: Twin, found: inverse.Inversion, results: dict[str, Any]) -> None:
    """Writes `arrays.npz`, `inversion.png`, `report.html` and `result.json` into the new folder `out`, all of them or none.

    **Raises:** `DataError` if it cannot be written.
    """
    count, history = int(found.num_steps), found.history
    surroundings = environment()
    results = results | {"command": surroundings["command"], "environment": surroundings}
    arrays = {
        "truth": twin.truth,
        "reconstruction": found.coefficient,
        "sensors": twin.sensors.points,
        "observed": twin.data,
        "predicted": found.predicted,
        "noise": twin.noise,
        **{name: getattr(history, name)[: count + 1] for name in ("objective", "misfit", "gradient_norm")},
        "relative_error": history.monitor[: count + 1],
    }
    arrays = {name: np.asarray(values) for name, values in arrays.items()}
    misfit = np.sqrt(2 * arrays["misfit"] / arrays["observed"].size)
    curves = viz.InversionCurves(
        misfit, arrays["relative_error"], arrays["observed"], arrays["predicted"], float(arrays["noise"])
    )
    label = viz.Label("permeability")
    figure = viz.plot_inversion(arrays["truth"], arrays["reconstruction"], twin.grid, arrays["sensors"], curves, label=label)
    held, picture = io.BytesIO(), io.BytesIO()
    np.savez_compressed(held, allow_pickle=False, **arrays)
    figure.savefig(picture, format="png", dpi=150)
    contents = {
        "result.json": (json.dumps(strict(results), indent=1) + "\n").encode(),
        "arrays.npz": held.getvalue(),
        "inversion.png": picture.getvalue(),
        "report.html": _page(results, figure).encode(),
    }
    try:
        with whole_directory(out) as partial:
            for name, content in contents.items():
                (partial / name).write_bytes(content)
    except OSError as error:
        raise DataError(f"{out} cannot be written: {reason(error)}. Check space and rights.") from error


def _page(results: dict[str, Any], figure: Any) -> str:
    named = {name: value for name, value in results.items() if name not in ("command", "environment")}
    shown = lambda value: (
        f"{value:.4g}" if isinstance(value, float) else " × ".join(map(str, value)) if isinstance(value, list) else value
    )
    pairs = [(name.replace("_", " "), shown(value)) for name, value in named.items()]
    text = (
        "The misfit is the root mean square of (predicted − observed) / noise: 1 is what noise alone makes. The discrepancy of "
        "the truth is that of the model through which the medium was sought, at the medium itself."
    )
    subtitle = f"{results['sensors']} sensors, {100 * results['noise']:g} % noise, through the {results['forward']}"
    if results["forward"] != "solver":
        subtitle = subtitle.replace("through the", "through the operator of")
    device = results["environment"]["device"]
    parts = [
        viz.section("Reconstruction", viz.figures({"reconstruction": figure}, least="60rem", format="png"), viz.note(text)),
        viz.section("Figures", viz.facts(pairs)),
        viz.section(
            "To reproduce",
            viz.code(results["command"]),
            viz.facts([("device", device["kind"]), *results["environment"]["versions"].items()]),
        ),
    ]
    return viz.page("Permeability from pressures at sensors", subtitle, parts)


def _unit_square(resolution: int) -> Grid:
    return Grid((resolution, resolution), boundary=("dirichlet", "dirichlet"))


def _operator(run: Path) -> tuple[Callable[[RealField], RealField], Grid]:
    """The operator of a run and the grid of its training, if it maps permeabilities on the unit square to pressures."""
    from neuralop_jax import checkpoint

    config = read_config(run)
    info = checkpoint.load_info(run)
    if info is None:
        raise CheckpointError(f"{run} does not say what data it was trained on. Train it again.")
    operator, grid = checkpoint.load(run), info.splits[config.data.train_split].grid
    if (operator.in_channels, operator.out_channels) != (1, 1) or grid.with_shape((5, 5)) != _unit_square(5):
        raise ConfigError(
            f"--checkpoint {run}: wanted an operator from a permeability to a pressure on the unit square, both ends included; "
            f"found one from {', '.join(config.data.input)} to {', '.join(config.data.target)} on {grid.boundary} axes over "
            f"{grid.extent}. Train one on: generate darcy --medium smooth."
        )
    return operator, grid
