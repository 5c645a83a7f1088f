"""The first FNO in two dimensions, with one block of weights for wavenumbers from zero up and one for negative ones."""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.interop._ported import AbstractPorted
from neuralop_jax.interop._state import fill, read_config, read_state, split_complex
from neuralop_jax.models import ClassicFNO

_FAMILY = "classic_fno"
_REQUIRED = ("in_dim", "out_dim", "d_model", "num_basis", "padding")
_DEPTH, _HIDDEN = 4, 128


class LiFNO(AbstractPorted):
    """The first FNO-2D of Li et al., from `(B, X, Y, in_dim)` to `(B, X, Y, out_dim)`.

    With $m$ modes and $N$ points on the first axis (padding counted), $m \\le N < 2m$, the two blocks of weights overlap and
    the original lets the second one win: bins $N - m \\dots N - 1$ get the weights of wavenumbers $-m \\dots -1$, although
    some of these bins hold wavenumbers from zero up. This callable does the same; `model` is right by wavenumber. Where the
    original cannot run, $N < m$ or fewer than $m$ columns in the real spectrum, this callable refuses, and `model` clips.

    **Source:** Li et al. 2021, arXiv:2010.08895, in the form of `models/FNO_2D.py` of thuml/Latent-Spectral-Models.

    !!! example

        ```python
        import jax.numpy as jnp
        import numpy as np

        from neuralop_jax.interop import from_torch

        config = {"in_dim": 1, "out_dim": 1, "d_model": 1, "num_basis": 2, "padding": "0,0"}
        shapes = {"fc0": (1, 3), "fc1": (128, 1), "fc2": (1, 128)} | {f"w{i}": (1, 1, 1, 1) for i in range(4)}
        state = {f"{name}.weight": np.full(shape, float(name in ("fc1", "fc2"))) for name, shape in shapes.items()}
        state |= {f"{name}.bias": np.full(shape[0], float(name == "fc0")) for name, shape in shapes.items()}
        state |= {f"conv{i}.weights{j}": np.full((1, 1, 2, 2), j - 1 + 0j) for i in range(4) for j in (1, 2)}
        lifno = from_torch("classic_fno", config, state)
        assert not jnp.any(lifno(x=jnp.ones((1, 4, 4, 1))))  # lifted to the field 1, wavenumber 0, whose weights are 0
        assert jnp.all(lifno(x=jnp.ones((1, 2, 4, 1))) > 1)  # on 2 points those of negative wavenumbers win
        assert "fewer than 4 points" in lifno.difference
        ```
    """

    model: ClassicFNO
    num_modes: int = eqx.field(static=True)
    padding: tuple[int, int] = eqx.field(static=True)

    @property
    def difference(self) -> str:
        """Where `model` is another function than the original: on grids on which its two blocks of weights overlap."""
        return (
            f"where x has fewer than {2 * self.num_modes} points, {self.padding[0]} of padding counted, the original gives "
            "wavenumbers from zero up the weights of negative ones"
        )

    @eqx.filter_jit
    def __call__(self, x: Float[Array, "batch *layout"]) -> Float[Array, "batch x y out"]:
        """The output of the original for a batch of inputs.

        **Raises:** `ModelInputError` for another layout, or on a grid so coarse that the original fails.
        """
        if x.ndim != 4 or x.shape[-1] != self.model.in_channels:
            raise ModelInputError(f"{_FAMILY}: x has shape {x.shape}, wanted (batch, x, y, {self.model.in_channels}).")
        points, points_y = x.shape[1] + self.padding[0], x.shape[2] + self.padding[1]
        needed = self.num_modes, 2 * (self.num_modes - 1)
        if points < needed[0] or points_y < needed[1]:
            raise ModelInputError(
                f"{_FAMILY}: the original needs {needed[0]} points on x and {needed[1]} on y for its modes, got {points} and "
                f"{points_y} with padding; use .model, which clips the modes."
            )
        model = self.model
        if points < 2 * self.num_modes:
            rows = _rows(points, self.num_modes)
            model = eqx.tree_at(_weights, model, [tuple(part[rows] for part in weight) for weight in _weights(model)])
        return jnp.moveaxis(jax.vmap(model)(jnp.moveaxis(x, -1, 1)), 1, -1)


def _weights(model: ClassicFNO) -> list[Any]:
    return [block.conv.weight for block in model.blocks]


def _rows(points: int, num_modes: int) -> np.ndarray:
    """For each row of the weight, wavenumbers -m to m - 1, the row that the original uses in its place."""
    rows = np.arange(2 * num_modes)
    kept = min(points, 2 * num_modes)
    for wavenumber in range(-(kept // 2), kept - kept // 2):
        bin_ = wavenumber % points
        from_end = bin_ - (points - num_modes)
        rows[num_modes + wavenumber] = from_end if from_end >= 0 else num_modes + bin_
    return rows


def port_classic_fno(config: Mapping[str, Any], state_dict: Mapping[str, Any]) -> LiFNO:
    """The network that the original's `Model(args)` with this state dict is."""
    full = read_config(_FAMILY, config, {}, _REQUIRED)
    width, num_modes, padding = full["d_model"], full["num_basis"], _padding(full["padding"])
    model = eqx.filter_eval_shape(
        ClassicFNO,
        in_channels=full["in_dim"],
        out_channels=full["out_dim"],
        n_modes=(2 * num_modes, max(2 * (num_modes - 1), 1)),
        width=width,
        depth=_DEPTH,
        padding=padding,
        key=jax.random.key(0),
    )
    places = _places(full["in_dim"], full["out_dim"], width, num_modes)
    shapes = {name: shape for name, (shape, _) in places.items()}
    spectral = [f"conv{i}.weights{j}" for i in range(_DEPTH) for j in (1, 2)]
    shapes |= dict.fromkeys(spectral, (width, width, num_modes, num_modes))
    arrays: dict[str, Any] = {**read_state(_FAMILY, state_dict, shapes, spectral=spectral)}
    where = {name: leaf for name, (_, leaf) in places.items()}
    for i in range(_DEPTH):  # (in, out, modes, modes): negative wavenumbers first
        both = [arrays.pop(f"conv{i}.weights{j}").transpose(2, 3, 0, 1) for j in (2, 1)]
        arrays[f"conv{i}"] = split_complex(np.concatenate(both))
        where[f"conv{i}"] = lambda m, i=i: m.blocks[i].conv.weight
    return LiFNO(fill(model, where, arrays), num_modes, padding)


def _padding(padding: Any) -> tuple[int, int]:
    """Points of padding after x and after y; the original lists them the other way round, as text."""
    try:
        after_y, after_x = (int(points) for points in (padding.split(",") if isinstance(padding, str) else padding)[:2])
    except (TypeError, ValueError):
        raise ConfigError(f'{_FAMILY}: padding must be two whole numbers such as "0,0", got {padding!r}.') from None
    if after_x < 0 or after_y < 0 or (after_x == 0) != (after_y == 0):
        raise ConfigError(
            f"{_FAMILY}: padding {padding!r} is not supported: the original crops an axis without padding to nothing; give two "
            "positive numbers or two zeros."
        )
    return after_x, after_y


def _places(in_dim: int, out_dim: int, width: int, num_modes: int) -> dict[str, tuple[tuple[int, ...], Callable[[Any], Any]]]:
    """The real entries of the state dict, their shapes there, and the leaves of the operator that they become."""
    affine: dict[str, tuple[tuple[int, ...], Callable[[Any], Any]]] = {
        "fc0": ((width, in_dim + 2), lambda m: m.lifting.layers[0]),
        "fc1": ((_HIDDEN, width), lambda m: m.projection.layers[0]),
        "fc2": ((out_dim, _HIDDEN), lambda m: m.projection.layers[1]),
    }
    for i in range(_DEPTH):
        affine[f"w{i}"] = (width, width, 1, 1), lambda m, i=i: m.blocks[i].bypass
    places: dict[str, tuple[tuple[int, ...], Callable[[Any], Any]]] = {}
    for name, (shape, where) in affine.items():
        places[f"{name}.weight"] = shape, lambda m, where=where: where(m).weight
        places[f"{name}.bias"] = shape[:1], lambda m, where=where: where(m).bias
    return places
