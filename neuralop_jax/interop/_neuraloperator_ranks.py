"""Low-rank weights of neuraloperator's FNO: their ranks, also those that this library's FNO does not take."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neuralop_jax.kernels import cp_rank, tt_rank, tucker_rank


def low_rank_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """The options of low-rank weights, none for dense ones."""
    factorization = factorization_of(config)
    if factorization is None:
        return {}
    options: dict[str, Any] = {"factorization": factorization, "implementation": config["implementation"], "rank": _rank(config)}
    if factorization == "tucker":
        options["fixed_rank_modes"] = _fixed(config)
    if _wide_ranks(config):
        options["rank"] = tuple(min(pair) for pair in zip(_wide_ranks(config), _tensor_shape(config), strict=True))
    return options


def factorization_of(config: Mapping[str, Any]) -> str | None:
    """`"cp"`, `"tucker"` or `"tt"`, none for dense weights."""
    name = (config["factorization"] or "dense").lower().removeprefix("complex")
    return None if name == "dense" else name


def wide_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The shapes of cores and factors with the original's ranks, where those exceed the sizes."""
    shapes: dict[str, tuple[int, ...]] = {}
    ranks = _wide_ranks(config)
    for index in range(config["n_layers"] if ranks else 0):
        name = f"fno_blocks.convs.{index}.weight"
        shapes[f"{name}.core"] = ranks
        pairs = enumerate(zip(_tensor_shape(config), ranks, strict=True))
        shapes |= {f"{name}.factors.factor_{mode}": pair for mode, pair in pairs}
    return shapes


def narrow(config: Mapping[str, Any], arrays: dict[str, Any]) -> None:
    """Every factor of more columns than rows goes into the core, and the identity takes its place."""
    for name in (name for name in wide_shapes(config) if name.endswith(".core")):
        for mode, size in enumerate(_tensor_shape(config)):
            factor = f"{name.removesuffix('core')}factors.factor_{mode}"
            if arrays[factor].shape[1] > size:
                arrays[name] = np.moveaxis(np.tensordot(arrays[factor], arrays[name], (1, mode)), 0, mode)
                arrays[factor] = np.eye(size, dtype=arrays[factor].dtype)


def _rank(config: Mapping[str, Any]) -> Any:
    """The rank in this library's types, a ratio above 1 as the ranks that it stands for; those of Tucker may exceed the sizes."""
    rank = config["rank"]
    if rank == "same":
        return 1.0
    if isinstance(rank, float) and 1 < rank < math.inf:
        name, shape = factorization_of(config), _tensor_shape(config)
        if name == "tucker":
            return tucker_rank(shape, rank, _fixed(config))
        return cp_rank(shape, rank) if name == "cp" else tt_rank(shape, rank)
    return tuple(rank) if isinstance(rank, list) else rank


def _fixed(config: Mapping[str, Any]) -> tuple[int, ...]:
    """The modes that Tucker keeps at full rank."""
    fixed = config["fixed_rank_modes"]
    return () if not fixed else (0,) if fixed is True else tuple(fixed)


def _tensor_shape(config: Mapping[str, Any]) -> tuple[int, ...]:
    width = config["hidden_channels"]
    return (*((width,) if config["separable"] else (width, width)), *stored_columns(config))


def _wide_ranks(config: Mapping[str, Any]) -> tuple[int, ...]:
    """The original's Tucker ranks if one of them exceeds the size of its mode, else none."""
    rank, shape = _rank(config) if factorization_of(config) == "tucker" else 1.0, _tensor_shape(config)
    ranks = (rank,) * len(shape) if isinstance(rank, int) else rank
    if not isinstance(ranks, tuple) or len(ranks) != len(shape) or not all(isinstance(r, int) and r >= 1 for r in ranks):
        return ()
    ranks = tuple(size if mode in _fixed(config) else r for mode, (size, r) in enumerate(zip(shape, ranks, strict=True)))
    return ranks if any(r > size for r, size in zip(ranks, shape, strict=True)) else ()


def columns(n_modes: Sequence[int]) -> tuple[int, ...]:
    """The size of the weight per axis: the last one is halved, since the real transform is."""
    return (*n_modes[:-1], n_modes[-1] // 2 + 1)


def stored_columns(config: Mapping[str, Any]) -> tuple[int, ...]:
    """The size of the stored weight per axis: `max_n_modes` as it is, by default `n_modes` with the last one halved."""
    largest = config["max_n_modes"]
    if largest is None:
        return columns(config["n_modes"])
    return (largest,) if isinstance(largest, int) else tuple(largest)
