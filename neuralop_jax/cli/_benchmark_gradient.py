"""The rows of `benchmark data` about derivatives through a solver: the implicit rule beside those of every iteration."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neuralop_jax.cli._benchmark_rows import bytes_row, same_fields, square_grid, timed_row, two_phase
from neuralop_jax.evaluation import time_call, time_in_turn
from neuralop_jax.evaluation._unrolled import unrolled_darcy
from neuralop_jax.inverse import DarcyPressure, random_sensors
from neuralop_jax.solvers import solve_darcy


def gradient_rows(repeats: int) -> Iterator[dict[str, Any]]:
    """The gradient of a misfit at 100 sensors by the permeability, 64 x 64 cells in float64: its time, and its memory."""
    grid, tolerance = square_grid(65), 1e-10
    a, source = two_phase(grid), jnp.ones((1, *grid.shape))
    sensors = random_sensors(grid, 100, key=jax.random.key(1))
    count = int(solve_darcy(a, source, grid, rtol=tolerance).num_steps)
    pressures = {
        "ours": DarcyPressure(source, grid, rtol=tolerance),
        "unrolled iterations": lambda a: unrolled_darcy(a, source, grid, num_steps=count),
    }
    slope = lambda pressure: jax.jit(jax.grad(lambda a: 0.5 * jnp.sum(sensors(pressure(a)) ** 2))).lower(a).compile()
    programs = {side: slope(pressure) for side, pressure in pressures.items()}
    found = [np.asarray(program(a)) for program in programs.values()]
    same_fields(found[0], found[1], "the gradient of a misfit")
    taken = time_in_turn({side: (lambda run=run: time_call(lambda: run(a), 8)) for side, run in programs.items()}, rounds=repeats)
    case = "Gradient of a misfit by a, Darcy 64x64 cells, residual 1e-10, float64"
    yield timed_row(case, "ms", 1e3, taken) | {"iterations": count}
    memory = {}
    for side, program in programs.items():
        analysis = program.memory_analysis()
        assert analysis is not None
        memory[side] = analysis.temp_size_in_bytes
    yield bytes_row("the same, temporary memory", memory)
