"""The other side of the benchmark of solvers: pyamg and exponax, run as a script by an interpreter that has them.

It reads one JSON object per line from standard input and answers each with one JSON line on standard output:

- `{"do": "start"}` → versions of the packages that are installed;
- `{"do": "solve_system", "file": path, "tolerance": t}` → seconds of set-up and solution, and the relative residual;
- `{"do": "navier_stokes", "file": path, "viscosity": v, "dt": h, "order": p, "steps": n}` → seconds of n steps of all fields, and
  `end` is written to the file.

It imports nothing of neuralop_jax, whose dependencies that interpreter need not have.
"""

import importlib
import importlib.metadata
import json
import platform
import sys
import time
import warnings
from typing import Any

import numpy as np

_compiled: dict[tuple, Any] = {}


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("scipy", "pyamg", "exponax", "jax"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def solve_system(file: str, tolerance: float) -> dict[str, float]:
    pyamg: Any = importlib.import_module("pyamg")
    sparse: Any = importlib.import_module("scipy.sparse")
    with np.load(file, allow_pickle=False) as data:
        matrix = sparse.csr_matrix((data["data"], data["indices"], data["indptr"]))
        rhs = data["rhs"]
    start = time.perf_counter()
    hierarchy = pyamg.ruge_stuben_solver(matrix)
    x = hierarchy.solve(rhs, tol=tolerance, accel="cg")
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "residual": float(np.linalg.norm(rhs - matrix @ x) / np.linalg.norm(rhs))}


def navier_stokes(file: str, viscosity: float, dt: float, order: int, steps: int) -> dict[str, float]:
    jax: Any = importlib.import_module("jax")
    exponax: Any = importlib.import_module("exponax")
    with np.load(file, allow_pickle=False) as data:
        w0 = -jax.numpy.asarray(data["w0"])  # exponax defines the vorticity with the other sign
    points = w0.shape[-1]
    key = (points, viscosity, dt, order, steps)
    if key not in _compiled:
        stepper = exponax.stepper.NavierStokesVorticity(2, 1.0, points, dt, diffusivity=viscosity, order=order)

        def run(w):
            c = jax.numpy.fft.rfftn(w, axes=(-2, -1))
            c = jax.lax.scan(lambda c, _: (stepper.step_fourier(c), None), c, length=steps)[0]
            return jax.numpy.fft.irfftn(c, s=w.shape[-2:], axes=(-2, -1))

        _compiled[key] = jax.jit(jax.vmap(run))
        jax.block_until_ready(_compiled[key](w0))
    start = time.perf_counter()
    end = jax.block_until_ready(_compiled[key](w0))
    seconds = time.perf_counter() - start
    np.savez(file, w0=-np.asarray(w0), end=-np.asarray(end))
    return {"seconds": seconds}


def serve() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # what the libraries print must not mix with the answers
    warnings.simplefilter("ignore")
    verbs = {"start": versions, "solve_system": solve_system, "navier_stokes": navier_stokes}
    for line in sys.stdin:
        request = json.loads(line)
        answers.write(json.dumps(verbs[request.pop("do")](**request)) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve()
