"""The rows of `benchmark kernels`: what models are made of, over a few sizes, beside the other way to compute the same."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.fft
from jaxtyping import Array

from neuralop_jax.cli._benchmark_rows import same_fields, square_grid, timed_row, two_phase
from neuralop_jax.evaluation import time_call, time_in_turn, usable_cores
from neuralop_jax.kernels import contract_dense, convolve, forward_transform, inverse_transform
from neuralop_jax.layers import TuckerWeight
from neuralop_jax.solvers import Multigrid, darcy_stencil

_CHANNELS, _POINTS, _LOOP = 32, 65_536, 8
"""Channels, points of all samples together, and calls in one compiled loop, as training has them."""


def cases(repeats: int) -> dict[str, Callable[[], Iterable[dict[str, Any]]]]:
    """What there is to time, by name; each makes rows as `timed_row` does, in single precision."""
    return {
        "transform": lambda: (transform_row(points, 16, repeats) for points in (32, 64, 128, 256)),
        "convolution": lambda: (convolution_row(points, repeats) for points in (32, 64, 128)),
        "cycle": lambda: (cycle_row(cells, repeats) for cells in (64, 256, 512)),
        "low_rank": lambda: (low_rank_row(width, 16, repeats) for width in (32, 64)),
    }


def transform_row(points: int, modes: int, repeats: int) -> dict[str, Any]:
    """To the kept coefficients and back, of 32 channels on 65,536 points: as chosen, by either algorithm, and whole by SciPy."""
    u = _normal((_CHANNELS, _POINTS // points**2, points, points))
    kept = modes, modes // 2 + 1

    def both(transform: Any) -> Callable[[Array], Array]:
        there = functools.partial(forward_transform, kept=kept, transform=transform)
        return jax.jit(lambda u: inverse_transform(there(u), (points, points), real=True, transform=transform))

    sides = {"ours": both("auto"), "by FFT": both("fft"), "by matrix products": both("dft")}
    same_fields(np.asarray(sides["by FFT"](u)), np.asarray(sides["by matrix products"](u)), "transforms")
    fields, workers = np.asarray(u), usable_cores()
    whole = lambda: scipy.fft.irfft2(scipy.fft.rfft2(fields, workers=workers), s=(points, points), workers=workers)
    rivals = {side: functools.partial(time_call, functools.partial(call, u), _LOOP) for side, call in sides.items()}
    taken = time_in_turn({**rivals, "SciPy, all modes": lambda: time_call(whole, _LOOP)}, rounds=repeats)
    return timed_row(f"Transform and back, {points}x{points}, {modes} modes per axis", "ms", 1e3, taken)


def convolution_row(points: int, repeats: int) -> dict[str, Any]:
    """A kernel of 3 x 3 points between 32 channels, forward and backward in a loop, beside XLA's convolution."""
    u = _normal((_CHANNELS, _POINTS // 4 // points**2, points, points))
    weight = _normal((_CHANNELS, _CHANNELS, 3, 3)) / 17
    dims = ("CNHW", "OIHW", "CNHW")
    ways: dict[str, Callable[[Array, Array], Array]] = {
        "ours": lambda u, w: convolve(u, w, padding=1),
        "XLA's convolution": lambda u, w: jax.lax.conv_general_dilated(u, w, (1, 1), "SAME", dimension_numbers=dims),
    }
    found, wanted = (np.asarray(way(u, weight)) for way in ways.values())
    same_fields(found, wanted, "convolutions")

    def loop(way: Callable[[Array, Array], Array]) -> Callable[[], Array]:
        slope = jax.grad(lambda w, u: jnp.sum(way(u, w) ** 2))
        run = jax.jit(lambda w, u: jax.lax.fori_loop(0, _LOOP, lambda _, w: w - 1e-9 * slope(w, u), w))
        return lambda: run(weight, u)

    rivals = {side: functools.partial(time_call, loop(way)) for side, way in ways.items()}
    case = f"Convolution 3x3, {_CHANNELS} channels, {points}x{points}, forward and backward"
    return timed_row(case, "ms", 1e3 / _LOOP, time_in_turn(rivals, rounds=repeats))


def cycle_row(cells: int, repeats: int) -> dict[str, Any]:
    """One V-cycle for a two-phase Darcy problem, set up before: microseconds per unknown."""
    grid, calls = square_grid(cells + 1), max(1, 512 // cells) ** 2
    multigrid = jax.jit(lambda a: Multigrid(*darcy_stencil(a, grid)))(two_phase(grid)[0])
    f, run = _normal((cells - 1, cells - 1)), jax.jit(lambda multigrid, f: multigrid(f))
    taken = time_in_turn({"ours": lambda: time_call(lambda: run(multigrid, f), calls)}, rounds=repeats)
    return timed_row(f"Multigrid cycle, {cells}x{cells} cells", "us per unknown", 1e6 / (cells - 1) ** 2, taken)


def low_rank_row(width: int, modes: int, repeats: int) -> dict[str, Any]:
    """Channels mixed in every mode by a Tucker weight of a tenth of the numbers, forward and backward, beside a dense one."""
    kept = modes, modes // 2 + 1
    weight = TuckerWeight((width, width, *kept), 0.1, deviation=1 / width, key=jax.random.key(1))
    c = _normal((2, *kept, 16, width))
    ways = {
        "ours": lambda w, c: w.contract(c),
        "dense weight": lambda w, c: contract_dense(c, w),
    }
    weights = {"ours": weight, "dense weight": weight.to_dense()}
    found, wanted = (np.asarray(way(weights[side], c)) for side, way in ways.items())
    same_fields(found, wanted, "contractions")
    slopes = {
        side: jax.jit(jax.grad(lambda w, c, way=way: jnp.sum(way(w, c) ** 2), argnums=(0, 1))) for side, way in ways.items()
    }
    rivals = {side: (lambda side=side, run=run: time_call(lambda: run(weights[side], c), _LOOP)) for side, run in slopes.items()}
    case = f"Contraction by a Tucker weight of rank 0.1, width {width}, {modes} modes per axis, batch 16, forward and backward"
    return timed_row(case, "ms", 1e3, time_in_turn(rivals, rounds=repeats))


def _normal(shape: tuple[int, ...]) -> Array:
    return jax.random.normal(jax.random.key(0), shape, jnp.float32)
