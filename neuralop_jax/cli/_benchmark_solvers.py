"""The rows of `benchmark data`: solvers and generators beside the tools that people use for the same, timed in turn."""

import pathlib
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
import scipy.sparse.linalg
from jaxtyping import Array, Float

from neuralop_jax.cli._benchmark_gradient import gradient_rows
from neuralop_jax.cli._benchmark_rows import same_fields, square_grid, timed_row, two_phase
from neuralop_jax.cli._benchmark_streaming import large_file_row, streaming_rows
from neuralop_jax.data import GaussianRandomField, generate
from neuralop_jax.data.generators import Burgers
from neuralop_jax.equations import DiagonalForcing, NavierStokes
from neuralop_jax.errors import NeuralOpError
from neuralop_jax.evaluation import SolverPeer, Timing, time_call, time_in_turn
from neuralop_jax.evaluation._published_loop import published_loop
from neuralop_jax.grids import Grid
from neuralop_jax.kernels._stencil import Stencil
from neuralop_jax.solvers import ETDRK, CrankNicolson, darcy_stencil, integrate, solve_darcy

_BATCH, _VISCOSITY, _PUBLISHED_STEP = 8, 1e-3, 1e-4
_ERROR = 1e-4
"""The error of a trajectory at which times are compared."""


def cases(peer: SolverPeer | None, repeats: int, gigabytes: float = 0.0) -> dict[str, Callable[[], Iterable[dict[str, Any]]]]:
    """What there is to time, by name; each makes rows as `timed_row` does. A large file only where its size is given."""
    return {
        **({"large_file": lambda: [large_file_row(gigabytes)]} if gigabytes else {}),
        "darcy": lambda: [darcy_row(peer, repeats)],
        "scaling": lambda: scaling_rows(repeats),
        "gradient": lambda: gradient_rows(repeats),
        "steps": lambda: (steps_row(points, steps, peer, repeats) for points, steps in ((64, 200), (256, 20))),
        "trajectory": lambda: (trajectory_row(points, repeats) for points in (64, 256)),
        "burgers": lambda: [burgers_row()],
        "streaming": streaming_rows,
    }


def darcy_row(peer: SolverPeer | None, repeats: int) -> dict[str, Any]:
    """A two-phase Darcy problem on 421 x 421 points, float64, to a relative residual of 1e-8, beside a direct solve and pyamg."""
    grid, tolerance = square_grid(421), 1e-8
    a, source = two_phase(grid), jnp.ones((1, *grid.shape))
    solve = jax.jit(lambda a: solve_darcy(a, source, grid, rtol=tolerance, throw=False))
    solution = solve(a)
    stencil, _ = darcy_stencil(a[0], grid)
    matrix, rhs = _sparse(stencil, (419, 419)), np.ones(419**2)
    direct = lambda: np.asarray(scipy.sparse.linalg.spsolve(matrix.tocsc(), rhs))
    same_fields(direct(), np.asarray(solution.value[0, 1:-1, 1:-1]).ravel(), "Darcy")
    rivals = {
        "ours": lambda: time_call(lambda: solve(a)),
        "SciPy, direct": lambda: _seconds(direct),
    }
    residuals = {"ours": float(solution.relative_residual)}
    with tempfile.TemporaryDirectory() as folder:
        if peer is not None and "pyamg" in peer.versions:
            file = pathlib.Path(folder) / "system.npz"
            np.savez(file, data=matrix.data, indices=matrix.indices, indptr=matrix.indptr, rhs=rhs)
            residuals["pyamg"] = peer.solve_system(file, tolerance)["residual"]
            rivals["pyamg"] = lambda: peer.solve_system(file, tolerance)["seconds"]
        taken = time_in_turn(rivals, rounds=repeats)
    if max(residuals.values()) > 1.01 * tolerance:
        raise NeuralOpError(f"Darcy: residuals of {residuals}, wanted {tolerance:g}, make the times incomparable.")
    row = timed_row("Darcy 421x421, a in {3, 12}, residual 1e-8, float64", "s per solve", 1.0, taken)
    return row | {"residuals": residuals, "iterations": int(solution.num_steps)}


def scaling_rows(repeats: int) -> Iterator[dict[str, Any]]:
    """The same problem on grids of 64 x 64 to 1024 x 1024 cells: microseconds per unknown."""
    for cells in (64, 128, 256, 512, 1024):
        grid = square_grid(cells + 1)
        a, source = two_phase(grid), jnp.ones((1, *grid.shape))
        solve = jax.jit(lambda a, source=source, grid=grid: solve_darcy(a, source, grid, throw=False))
        calls = max(1, 256 // cells) ** 2
        taken = time_in_turn({"ours": lambda solve=solve, a=a, calls=calls: time_call(lambda: solve(a), calls)}, rounds=repeats)
        row = timed_row(f"Darcy {cells}x{cells} cells, residual 1e-8, float64", "us per unknown", 1e6 / (cells - 1) ** 2, taken)
        yield row | {"iterations": int(solve(a).num_steps)}


def _sparse(stencil: Stencil, shape: tuple[int, ...]) -> scipy.sparse.csr_matrix:
    """The matrix of a stencil whose neighbors lie inside the grid or on a Dirichlet boundary."""
    numbers = np.pad(np.arange(np.prod(shape)).reshape(shape), 1, constant_values=-1)
    rows, columns, values = [], [], []
    for offset, coefficient in zip(stencil.offsets, stencil.coefficients, strict=True):
        neighbors = numbers[tuple(slice(1 + o, 1 + o + n) for o, n in zip(offset, shape, strict=True))].ravel()
        inside = neighbors >= 0
        rows.append(np.arange(np.prod(shape))[inside])
        columns.append(neighbors[inside])
        values.append(np.broadcast_to(np.asarray(coefficient), shape).ravel()[inside])
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return scipy.sparse.csr_matrix(entries, shape=(np.prod(shape),) * 2)


def torus(points: int) -> Grid:
    """The unit torus of the benchmark."""
    return Grid((points, points), boundary=("periodic", "periodic"))


def vorticity(points: int, dtype: type) -> Float[Array, "batch 1 points points"]:
    """Initial fields of the benchmark, computed in double precision."""
    field, keys = GaussianRandomField(7.0**1.5, 7.0, 2.5), jax.random.split(jax.random.key(0), _BATCH)
    return jax.vmap(lambda key: field.sample(torus(points), key=key))(keys).astype(dtype)


def steps_row(points: int, steps: int, peer: SolverPeer | None, repeats: int) -> dict[str, Any]:
    """Second-order exponential steps of a batch in float32: seconds per sample and step, beside exponax."""
    dt, order = 1e-3, 2
    w0 = vorticity(points, jnp.float32)
    step = ETDRK(NavierStokes(viscosity=_VISCOSITY), torus(points), dt, order=order)
    run = jax.jit(jax.vmap(lambda w: integrate(step, w, steps, save_every=steps, include_init=False, throw=False).values[-1]))
    rivals = {"ours": lambda: time_call(lambda: run(w0))}
    with tempfile.TemporaryDirectory() as folder:
        if peer is not None and "exponax" in peer.versions:
            file = pathlib.Path(folder) / "fields.npz"
            np.savez(file, w0=np.asarray(w0))
            ask = lambda: peer.navier_stokes(file, viscosity=_VISCOSITY, dt=dt, order=order, steps=steps)["seconds"]
            ask()
            with np.load(file, allow_pickle=False) as data:
                same_fields(data["end"], np.asarray(run(w0)), f"Navier-Stokes {points}x{points}")
            rivals["exponax"] = ask
        taken = time_in_turn(rivals, rounds=repeats)
    name = f"Navier-Stokes {points}x{points}, ETDRK{order}, batch {_BATCH}, float32"
    return timed_row(name, "ms per sample and step", 1e3 / steps / _BATCH, taken)


def trajectory_row(points: int, repeats: int) -> dict[str, Any]:
    """One trajectory until T = 10 at an error below 1e-4, beside the published loop at its published step, both in float64."""
    equation, grid, final = NavierStokes(viscosity=_VISCOSITY, forcing=DiagonalForcing()), torus(points), 10.0
    w0 = vorticity(points, jnp.float64)
    solve = lambda dt: jax.jit(jax.vmap(lambda w: _end(ETDRK(equation, grid, dt), w, round(final / dt))))
    reference = solve(0.05)(w0)[0]
    for dt in (0.5, 0.25, 0.2, 0.1):
        end, results = solve(dt)(w0)
        error = float(jnp.linalg.norm(end - reference) / jnp.linalg.norm(reference))
        if error < _ERROR and not results.any():
            break
    else:
        raise NeuralOpError(f"no step that was tried reaches an error of {_ERROR:g}; the last one has {error:.1e}.")
    run, few = solve(dt), 20
    loop = lambda: published_loop(np.asarray(w0[:, 0]), viscosity=_VISCOSITY, dt=_PUBLISHED_STEP, num_steps=few)
    exact = CrankNicolson(equation, grid, _PUBLISHED_STEP, order=1)
    same = jax.jit(jax.vmap(lambda w: integrate(exact, w, few, save_every=few, throw=False).values[-1]))(w0)
    same_fields(loop(), np.asarray(same[:, 0]), "the published loop")
    rivals = {
        "ours": lambda: time_call(lambda: run(w0)),
        "published loop": lambda: _seconds(loop) * final / _PUBLISHED_STEP / few,
    }
    row = timed_row(
        f"Navier-Stokes {points}x{points} until T = 10 at error {_ERROR:g}, float64",
        "s per trajectory",
        1 / _BATCH,
        time_in_turn(rivals, rounds=min(repeats, 3)),
    )
    return row | {"dt": dt, "error": error}


def burgers_row() -> dict[str, Any]:
    """A thousand Burgers samples of 1024 points, from the seed to the file."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        generate(Burgers(), pathlib.Path(folder) / "burgers.h5", num_samples=1000, resolution=1024)
        seconds = time.perf_counter() - start
    return timed_row("Burgers, 1000 samples of 1024 points, compiled and written", "s", 1.0, {"ours": Timing((seconds,))})


def _end(step: ETDRK, w0: Array, num_steps: int) -> tuple[Array, Array]:
    solution = integrate(step, w0, num_steps, save_every=num_steps, include_init=False, throw=False)
    return solution.values[-1], solution.result


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
