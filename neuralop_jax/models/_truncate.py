"""Truncated tensor decompositions on the host: HOSVD with HOOI sweeps, TT-SVD, and CP by alternating least squares."""

from collections.abc import Sequence

import numpy as np

_STARTS = 3
"""Starts of the alternating least squares; it can end in a poor local minimum."""


def hosvd(tensor: np.ndarray, ranks: Sequence[int], sweeps: int = 0) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Core, orthonormal factors `(size, rank)`, and the tensor that they make: the best rank of every mode on its own.

    Each of `sweeps` then makes the factor of every mode best for those of the others (HOOI), which never raises the error.
    """
    factors = [_leading(_unfolded(tensor, mode), rank) for mode, rank in enumerate(ranks)]
    for _ in range(sweeps):
        for mode, rank in enumerate(ranks):
            others = [None if k == mode else f.conj().T for k, f in enumerate(factors)]
            factors[mode] = _leading(_unfolded(_multiplied(tensor, others), mode), rank)
    core = _multiplied(tensor, [f.conj().T for f in factors])
    return core, factors, _multiplied(core, factors)


def tt_svd(tensor: np.ndarray, ranks: Sequence[int]) -> tuple[list[np.ndarray], np.ndarray]:
    """Cores `(rank before, size, rank after)` with the inner `ranks`, and the tensor that they make.

    Ranks beyond those of the unfoldings are filled with zeros.
    """
    cores, rest, before = [], tensor, 1
    for size, rank in zip(tensor.shape[:-1], ranks, strict=True):
        u, s, vh = np.linalg.svd(rest.reshape(before * size, -1), full_matrices=False)
        kept = min(rank, len(s))
        core = np.zeros((before * size, rank), u.dtype)
        core[:, :kept] = u[:, :kept]
        rest = np.zeros((rank, vh.shape[1]), u.dtype)
        rest[:kept] = s[:kept, None] * vh[:kept]
        cores.append(core.reshape(before, size, rank))
        before = rank
    cores.append(rest.reshape(before, tensor.shape[-1], 1))
    made = cores[0]
    for core in cores[1:]:
        made = np.tensordot(made, core, 1)
    return cores, made.reshape(tensor.shape)


def cp_als(tensor: np.ndarray, rank: int, sweeps: int) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Weights of the terms, factors `(size, rank)`, and the tensor that they make, by alternating least squares.

    The starts alternate on the core of an HOSVD with at most `rank` per mode, which is small: the first from its leading singular
    vectors, the others at random. What the HOSVD cuts off counts, too, so the best end then alternates on the whole tensor.
    """
    core, frames, _ = hosvd(tensor, [min(rank, size) for size in tensor.shape])
    random, best = np.random.default_rng(0), None
    for start in range(_STARTS):
        factors = [_start(size, rank, random, whole=start == 0) for size in core.shape]
        factors, error = _alternate(core, factors, sweeps)
        if best is None or error < best[1]:
            best = factors, error
        if error < 1e-10:
            break
    assert best is not None
    factors = [frame @ factor for frame, factor in zip(frames, best[0], strict=True)]
    if core.shape != tensor.shape:  # a core of that size is the tensor in another frame, where the alternation is the same
        factors, _ = _alternate(tensor, factors, sweeps)
    norms = [np.maximum(np.linalg.norm(f, axis=0), np.finfo(float).tiny) for f in factors]
    scales = np.prod(norms, axis=0)
    # Equal shares for all modes, and weights of one, as at the start of training.
    factors = [f / n * scales ** (1 / len(factors)) for f, n in zip(factors, norms, strict=True)]
    return np.ones(rank, complex), factors, _terms(factors).reshape(tensor.shape)


def _alternate(tensor: np.ndarray, factors: Sequence[np.ndarray], sweeps: int) -> tuple[list[np.ndarray], float]:
    factors = list(factors)
    norm, before = float(np.linalg.norm(tensor)) or 1.0, np.inf
    for _ in range(sweeps):
        for mode in range(tensor.ndim):
            others = [f for k, f in enumerate(factors) if k != mode]
            gram = np.prod([f.T @ f.conj() for f in others], axis=0)
            projected = _unfolded(tensor, mode) @ _columns(others).conj()
            ridge = 1e-13 * np.trace(gram).real / len(gram) * np.eye(len(gram))
            factors[mode] = np.linalg.solve(gram + ridge, projected.conj().T).conj().T
            if mode < tensor.ndim - 1:  # all scale stands in the last factor, so that no factor vanishes or overflows
                factors[mode] = factors[mode] / np.maximum(np.linalg.norm(factors[mode], axis=0), np.finfo(float).tiny)
        error = float(np.linalg.norm(tensor - _terms(factors).reshape(tensor.shape))) / norm
        if before - error < 1e-9 * error or error < 1e-12:
            break
        before = error
    return factors, error


def _start(size: int, rank: int, random: np.random.Generator, *, whole: bool) -> np.ndarray:
    """In the frame of the singular vectors: the leading ones, then random columns."""
    drawn = random.standard_normal((2, size, rank))
    factor = drawn[0] + 1j * drawn[1]
    return np.concatenate([np.eye(size), factor], axis=1)[:, :rank] if whole else factor


def _columns(factors: Sequence[np.ndarray]) -> np.ndarray:
    """Column by column the outer products of `factors`, `(product of sizes, rank)`."""
    made = factors[0]
    for factor in factors[1:]:
        made = (made[:, None] * factor).reshape(-1, factor.shape[1])
    return made


def _terms(factors: Sequence[np.ndarray]) -> np.ndarray:
    return factors[0] @ _columns(factors[1:]).T


def _unfolded(tensor: np.ndarray, mode: int) -> np.ndarray:
    return np.moveaxis(tensor, mode, 0).reshape(tensor.shape[mode], -1)


def _leading(matrix: np.ndarray, rank: int) -> np.ndarray:
    """The leading left singular vectors."""
    values, vectors = np.linalg.eigh(matrix @ matrix.conj().T)
    return vectors[:, np.argsort(values)[::-1][:rank]]


def _multiplied(tensor: np.ndarray, matrices: Sequence[np.ndarray | None]) -> np.ndarray:
    """Every mode by its matrix, or left as it is."""
    for mode, matrix in enumerate(matrices):
        if matrix is not None:
            tensor = np.moveaxis(np.tensordot(matrix, tensor, (1, mode)), 0, mode)
    return tensor
