"""The MultiONets of DGenNO: their configurations and weights."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from neuralop_jax._checks import one_of
from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.interop._ported import AbstractPorted
from neuralop_jax.interop._state import fill, read_config, read_state
from neuralop_jax.models import MultiONet

_FAMILY = "multionet"
_CLASSES = ("MultiONetBatch", "MultiONetCartesianProd", "MultiONetBatch_X", "MultiONetCartesianProd_X")
_REQUIRED = ("cls", "in_size_x", "in_size_a", "trunk_layers", "branch_layers")
_DEFAULTS = {"activation_trunk": "SiLU_Sin", "activation_branch": "SiLU", "sum_layers": 4, "dtype": None}
_ACTIVATIONS = {
    "Identity": "identity",
    "ReLU": "relu",
    "ELU": "elu",
    "Softplus": "softplus",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "SiLU": "silu",
    "Swish": "silu",
    "Sinc": "x_sin",
    "Tanh_Sin": "tanh_sin",
    "SiLU_Sin": "silu_sin",
    "SiLU_Id": "silu_id",
}


class DGenNOMultiONet(AbstractPorted):
    """`MultiONetBatch`, `MultiONetCartesianProd`, or the `_X` form of either, for several inputs and outputs.

    It is called with the values `a` of the input functions, `(B, in_size_a)` or `(B, latent_size, in_size_a)` of the `_X` forms,
    and the points `x`, `(N, in_size_x)` of the Cartesian forms, `(B, N, in_size_x)` of the others. Layers that the original has
    and never uses, where branch and trunk are of unequal depth, are read and not kept.

    **Source:** `Networks/MultiONets.py` of github.com/yaohua32/DGenNO.

    !!! example

        ```python
        import jax.numpy as jnp
        import numpy as np

        from neuralop_jax.interop import from_torch

        config = {"cls": "MultiONetCartesianProd", "in_size_x": 1, "in_size_a": 2, "sum_layers": 1}
        config |= {"trunk_layers": [2, 2], "branch_layers": [2, 2], "activation_trunk": "Identity", "activation_branch": "ReLU"}
        state = {f"{name}.weight": np.eye(2) for name in ("fc_branch_in", "branch_net.0", "trunk_net.0")}
        state |= {"fc_trunk_in.weight": np.ones((2, 1)), "w.0": np.array(3.0), "b": np.array(0.5)}
        state |= {f"{side}.bias": np.zeros(2) for side in ("fc_branch_in", "branch_net.0", "fc_trunk_in", "trunk_net.0")}
        net = from_torch("multionet", config, state)
        x, a = jnp.asarray([[1.0], [2.0]]), jnp.asarray([[1.0, -4.0]])
        assert jnp.allclose(net(x=x, a=a), 3 * jnp.maximum(a, 0).sum(1)[:, None] * x[:, 0] + 0.5)
        ```
    """

    model: MultiONet
    original: str = eqx.field(static=True)

    @property
    def difference(self) -> str:
        """Nowhere."""
        return ""

    @eqx.filter_jit
    def __call__(
        self, x: Float[Array, "*batch_points dims"], a: Float[Array, "batch *values"]
    ) -> Float[Array, "batch points *outputs"]:
        """The output of the original, `(batch, points)`, or `(batch, points, outputs)` of the `_X` forms.

        **Raises:** `ModelInputError` for arrays of another layout.
        """
        model, many = self.model, self.original.endswith("_X")
        latent = (model.in_channels,) if many else ()
        points = "points, " if "Cartesian" in self.original else f"{len(a)}, points, "
        rank = 2 if "Cartesian" in self.original else 3
        if a.shape[1:] != (*latent, *model.sensors) or x.ndim != rank or x.shape[-1] != model.num_dims:
            wanted = ", ".join(map(str, ("batch", *latent, *model.sensors)))
            raise ModelInputError(
                f"{_FAMILY}: x {x.shape} and a {a.shape} given, wanted ({points}{model.num_dims}) and ({wanted})."
            )
        v = model.batched(a if many else a[:, None], y=x)
        return jnp.moveaxis(v, 1, 2) if many else v[:, 0]


def port_multionet(config: Mapping[str, Any], state_dict: Mapping[str, Any]) -> DGenNOMultiONet:
    """The network that the class `config["cls"]` with the other options and this state dict is."""
    cls = str(config.get("cls"))
    one_of(f"{_FAMILY}: cls", cls, _CLASSES, ConfigError)
    many = cls.endswith("_X")
    full = read_config(_FAMILY, config, _DEFAULTS, (*_REQUIRED, *(("latent_size", "out_size") if many else ())))
    for side in ("trunk", "branch"):
        one_of(f"{_FAMILY}: activation_{side}", full[f"activation_{side}"], _ACTIVATIONS, ConfigError)
    for name in ("in_size_x", "in_size_a", "sum_layers", *(("latent_size", "out_size") if many else ())):
        _check_positive(name, [full[name]])
    used, sizes = _used_layers(full), {}
    for side in ("trunk", "branch"):
        sizes[side] = [full[f"{side}_layers"][index] for index in used[side]]
    model = eqx.filter_eval_shape(
        MultiONet,
        in_channels=full["latent_size"] if many else 1,
        out_channels=full["out_size"] if many else 1,
        sensors=(full["in_size_a"],),
        num_dims=full["in_size_x"],
        width=sizes["branch"][-1],
        depth=len(used["branch"]),
        sum_layers=full["sum_layers"],
        branch_sizes=sizes["branch"],
        trunk_sizes=sizes["trunk"],
        branch_activation=_ACTIVATIONS[full["activation_branch"]],
        trunk_activation=_ACTIVATIONS[full["activation_trunk"]],
        omega_init=0.0,
        channelwise=many,
        key=jax.random.key(0),
    )
    arrays: dict[str, Any] = dict(read_state(_FAMILY, state_dict, _shapes(full, many), spectral=()))
    places: dict[str, Callable[[Any], Any]] = {}
    for side, network in (("trunk", lambda m: m.trunks[0]), ("branch", lambda m: m.branches[0])):
        for position, index in enumerate(used[side]):
            name = _layer_name(side, index)
            places[f"{name}.weight"] = lambda m, k=position, network=network: network(m).layers[k].weight
            places[f"{name}.bias"] = lambda m, k=position, network=network: network(m).layers[k].bias
    if many:
        places |= {"fc_out.weight": lambda m: m.head.weight, "fc_out.bias": lambda m: m.head.bias}
    else:
        arrays["w"] = np.stack([arrays[f"w.{k}"] for k in range(full["sum_layers"])])
        places |= {"w": lambda m: m.head.omega, "b": lambda m: m.head.bias}
    return DGenNOMultiONet(fill(model, places, {name: arrays[name] for name in places}), cls)


def _used_layers(config: Mapping[str, Any]) -> dict[str, list[int]]:
    """The layers that the original computes: it pairs those of trunk and branch, and skips what has no partner.

    **Raises:** `ConfigError` where the original cannot run, or divides by another number of layers than it sums.
    """
    layers, last = {side: config[f"{side}_layers"] for side in ("trunk", "branch")}, config["sum_layers"]
    for side, sizes in layers.items():
        if not isinstance(sizes, Sequence):
            raise ConfigError(f"{_FAMILY}: {side}_layers must be a list of positive integers, got {sizes!r}.")
        _check_positive(f"{side}_layers", sizes)
        if last >= len(sizes):
            raise ConfigError(f"{_FAMILY}: sum_layers {last} must be less than the {len(sizes)} entries of {side}_layers.")
    paired, used = min(map(len, layers.values())) - last, {}
    for side, sizes in layers.items():
        used[side] = [*range(paired), *range(len(sizes) - last, len(sizes))]
        if sizes[paired - 1] != sizes[len(sizes) - last - 1]:
            raise ConfigError(
                f"{_FAMILY}: {side}_layers {list(sizes)} is longer than its partner; the original skips layers {paired + 1} to "
                f"{len(sizes) - last}, which only works if their sizes are equal."
            )
    if layers["trunk"][-last:] != layers["branch"][-last:]:
        raise ConfigError(f"{_FAMILY}: the last {last} entries of trunk_layers and branch_layers must agree, got {layers}.")
    return used


def _shapes(config: Mapping[str, Any], many: bool) -> dict[str, tuple[int, ...]]:
    """Every entry of the state dict."""
    shapes: dict[str, tuple[int, ...]] = {}
    for side, inputs in (("trunk", config["in_size_x"]), ("branch", config["in_size_a"])):
        before = inputs
        for index, size in enumerate(config[f"{side}_layers"]):
            shapes |= {f"{_layer_name(side, index)}.weight": (size, before), f"{_layer_name(side, index)}.bias": (size,)}
            before = size
    if many:
        latent, out = config["latent_size"], config["out_size"]
        return shapes | {"fc_out.weight": (out, latent), "fc_out.bias": (out,)}
    return shapes | {f"w.{k}": () for k in range(config["sum_layers"])} | {"b": ()}


def _layer_name(side: str, index: int) -> str:
    return f"{side}_net.{index - 1}" if index else f"fc_{side}_in"


def _check_positive(name: str, values: Sequence[Any]) -> None:
    if not values or not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in values):
        raise ConfigError(f"{_FAMILY}: {name} must be positive integers, got {list(values)!r}.")
