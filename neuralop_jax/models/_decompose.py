"""A trained FNO with dense spectral weights as one with low-rank weights."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from neuralop_jax._checks import one_of
from neuralop_jax.errors import ConfigError
from neuralop_jax.layers import AbstractSpectralWeight
from neuralop_jax.layers._spectral_weight import FACTORIZATIONS
from neuralop_jax.models._fno import FNO
from neuralop_jax.models._normalized import Normalized
from neuralop_jax.models._rebuild import Operator, skeleton
from neuralop_jax.models._truncate import cp_als, hosvd, tt_svd


def decompose(
    model: Operator,
    rank: int | float | Sequence[int],
    *,
    factorization: str = "tucker",
    fixed_rank_modes: Sequence[int] = (),
    joint: bool = False,
    sweeps: int = 0,
) -> tuple[Operator, tuple[float, ...]]:
    r"""A trained dense FNO with its spectral weights replaced by low-rank approximations, $\lVert W - \hat W\rVert$ small.

    Computed on the host in double precision; everything but the spectral weights is kept as it is. A few epochs of training
    after it usually regain most of what was lost.

    **Arguments:**

    - `model`: an `FNO` with `factorization=None`, or a `Normalized` one, which is decomposed inside.
    - `rank`, `factorization`, `fixed_rank_modes`, `joint`: as in `FNO`. What a tensor train has of rank beyond that of the weight
      is filled with zeros; CP may need more terms than any size of the tensor.
    - `sweeps`: improvements by alternating least squares after the first approximation, of Tucker (HOOI) and CP; 0 takes none
      for Tucker, whose truncated singular value decompositions are nearly best, and up to 500 for CP.

    **Returns:** the model, and the relative error $\lVert W - \hat W\rVert / \lVert W\rVert$ of the weight of every block,
    or of the one joint weight.

    **Raises:** `ConfigError` for another model, one without dense weights or with NaN in them, or options that cannot be.

    **Source:** De Lathauwer et al. 2000, doi:10.1137/S0895479896305696 (HOSVD) and doi:10.1137/S0895479898346995 (HOOI);
    Oseledets 2011, doi:10.1137/090752286 (TT-SVD); Kolda and Bader 2009, doi:10.1137/07070111X (CP).

    !!! example

        ```python
        import jax
        from neuralop_jax.models import FNO, decompose

        model = FNO(in_channels=1, out_channels=1, n_modes=(4, 4), width=8, depth=2, key=jax.random.key(0))
        smaller, errors = decompose(model, 0.5)
        assert smaller.factorization == "tucker" and all(0 < error < 1 for error in errors)
        ```
    """
    one_of("factorization", factorization, FACTORIZATIONS, ConfigError)
    if sweeps < 0:
        raise ConfigError(f"sweeps must be 0 or more, got {sweeps}.")
    if isinstance(model, Normalized):
        options = {"factorization": factorization, "fixed_rank_modes": fixed_rank_modes, "joint": joint, "sweeps": sweeps}
        inner, errors = decompose(model.model, rank, **options)
        return eqx.tree_at(lambda m: m.model, model, inner), errors
    if not isinstance(model, FNO):
        raise ConfigError(f"decompose takes an FNO, or a Normalized one, got {type(model).__name__}.")
    if model.factorization is not None:
        raise ConfigError(f"decompose needs dense spectral weights, the model has factorization={model.factorization!r}.")
    result = skeleton(model, factorization=factorization, rank=rank, fixed_rank_modes=fixed_rank_modes, joint=joint)
    dense = [_tensor(block.conv.dense_weight(), model.num_dims) for block in model.blocks]
    if not all(np.isfinite(tensor).all() for tensor in dense):
        raise ConfigError("decompose needs finite spectral weights, the model has NaN or infinity. Take an earlier checkpoint.")
    wanted: list[Any] = [result.joint_weight] if joint else [block.conv.weight for block in result.blocks]
    pairs = [_approximate(w, t, sweeps) for w, t in zip(wanted, [np.stack(dense)] if joint else dense, strict=True)]
    weights, errors = zip(*pairs, strict=True)
    dtype = model.blocks[0].conv.dense_weight()[0].dtype
    weights = [jax.tree.map(lambda part: jnp.asarray(part, dtype), weight) for weight in weights]

    bare, bare_result = (eqx.tree_at(_weights, m, [None] * len(_weights(m)), is_leaf=_is_none) for m in (model, result))
    filled = jax.tree.unflatten(jax.tree.structure(bare_result), jax.tree.leaves(bare))
    new = [*([None] * model.depth), weights[0]] if joint else [*weights, None]
    return eqx.tree_at(_weights, filled, new, is_leaf=_is_none), errors


def _weights(model: FNO) -> list[Any]:
    return [*(block.conv.weight for block in model.blocks), model.joint_weight]


def _is_none(leaf: Any) -> bool:
    return leaf is None


def _tensor(weight: Any, dims: int) -> np.ndarray:
    """The pair `(*modes, channels)` as a complex tensor with the channels first."""
    real, imaginary = (np.asarray(part, np.float64) for part in weight)
    return np.moveaxis(real + 1j * imaginary, range(dims), range(-dims, 0))


def _approximate(weight: AbstractSpectralWeight, tensor: np.ndarray, sweeps: int) -> tuple[AbstractSpectralWeight, float]:
    """Low-rank factors of `tensor` in the shapes of `weight`, and their relative error."""
    shapes = [real.shape for real, _ in weight.factors]
    norm = float(np.linalg.norm(tensor)) or 1.0
    if hasattr(weight, "core"):
        core, factors, approximation = hosvd(tensor, [shape[1] for shape in shapes], sweeps)
        new = eqx.tree_at(lambda w: (w.core, w.factors), weight, (_pair(core), tuple(map(_pair, factors))))
    elif hasattr(weight, "scales"):
        scales, factors, approximation = cp_als(tensor, shapes[0][1], sweeps or 500)
        new = eqx.tree_at(lambda w: (w.scales, w.factors), weight, (_pair(scales), tuple(map(_pair, factors))))
    else:
        cores, approximation = tt_svd(tensor, [shape[2] for shape in shapes[:-1]])
        new = eqx.tree_at(lambda w: w.factors, weight, tuple(map(_pair, cores)))
    return new, float(np.linalg.norm(tensor - approximation)) / norm


def _pair(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.ascontiguousarray(np.real(array)), np.ascontiguousarray(np.imag(array))
