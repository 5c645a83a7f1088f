"""The operator networks of DeepXDE: their configurations and weights."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from neuralop_jax._checks import one_of
from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.interop._deepxde_activation import read_rules
from neuralop_jax.interop._ported import AbstractPorted
from neuralop_jax.interop._state import fill, read_config, read_state
from neuralop_jax.models import DeepONet, PODDeepONet

_FAMILY = "deeponet"
_CLASSES = ("DeepONet", "DeepONetCartesianProd", "PODDeepONet")
_INITIALIZERS = {
    "Glorot normal": "glorot_normal",
    "Glorot uniform": "glorot_uniform",
    "He normal": "he_normal",
    "He uniform": "he_uniform",
    "zeros": "zeros",
}
_STRATEGIES = (None, "independent", "split_both", "split_branch", "split_trunk")
_WITHOUT_EFFECT = {"kernel_initializer": "Glorot normal", "regularization": None, "dropout_rate": 0}


class DeepXDENet(AbstractPorted):
    """DeepXDE's `DeepONet`, `DeepONetCartesianProd` or `PODDeepONet` for inference.

    It is called with sensor values `branch`, `(B, m)`, and points `trunk`, `(N, d)`, of which `DeepONet` takes one for each
    function, $N = B$, and a `PODDeepONet` without a trunk network reads none. An adaptive activation, `"LAAF-10 tanh"`, is part
    of the weights before it here. The modes of `PODDeepONet` are not in its state dict: they are the entry `pod_basis`,
    `(points, modes)`, of the configuration.

    **Source:** `deepxde/nn/pytorch/deeponet.py` of DeepXDE 1.15.0.

    !!! example

        ```python
        import jax.numpy as jnp
        import numpy as np

        from neuralop_jax.interop import from_torch

        config = {"cls": "DeepONetCartesianProd", "layer_sizes_branch": [2, 1], "layer_sizes_trunk": [1, 1], "activation": "relu"}
        state = {"branch.linears.0.weight": np.ones((1, 2)), "trunk.linears.0.weight": np.ones((1, 1)), "b.0": np.array(0.5)}
        state |= {"branch.linears.0.bias": np.zeros(1), "trunk.linears.0.bias": np.zeros(1)}
        net = from_torch("deeponet", config, state)
        u, x = jnp.asarray([[1.0, 2.0], [3.0, 4.0]]), jnp.asarray([[-1.0], [0.0], [2.0]])
        assert jnp.allclose(net(branch=u, trunk=x), u.sum(1)[:, None] * jnp.maximum(x[:, 0], 0) + 0.5)
        ```
    """

    model: DeepONet | PODDeepONet
    original: str = eqx.field(static=True)

    @property
    def difference(self) -> str:
        """Nowhere."""
        return ""

    @eqx.filter_jit
    def __call__(
        self, branch: Float[Array, "batch sensors"], trunk: Float[Array, "points dims"]
    ) -> Float[Array, "batch *points_outputs"]:
        """The output of the original: `(batch, outputs)` of pairs, else `(batch, points)`, with several outputs behind.

        **Raises:** `ModelInputError` for arrays of another layout.
        """
        model = self.model
        points = {"DeepONet": len(branch), "PODDeepONet": model.output_shape[0]}.get(self.original, len(trunk))
        read = not (isinstance(model, PODDeepONet) and model.trunk is None)  # without a trunk network the points say nothing
        if branch.shape[1] != model.sensors[0] or (read and trunk.shape != (points, model.num_dims)):
            raise ModelInputError(
                f"{_FAMILY}: branch {branch.shape} and trunk {trunk.shape} given, wanted (batch, {model.sensors[0]}) and "
                f"{points, model.num_dims}."
            )
        u = branch[:, None]
        if self.original == "DeepONet":
            return model.batched(u, y=trunk[:, None])[:, :, 0]
        v = model.evaluate(u, trunk.T) if read else model.batched(u)
        return v[:, 0] if model.out_channels == 1 else jnp.moveaxis(v, 1, 2)


def port_deeponet(config: Mapping[str, Any], state_dict: Mapping[str, Any]) -> DeepXDENet:
    """The network that DeepXDE's class `config["cls"]` with the other options and this state dict is."""
    cls = str(config.get("cls"))
    one_of(f"{_FAMILY}: cls", cls, _CLASSES, ConfigError)
    if cls == "PODDeepONet":
        return _port_pod(config, state_dict)
    required = ("cls", "layer_sizes_branch", "layer_sizes_trunk", "activation")
    full = read_config(_FAMILY, config, {**_WITHOUT_EFFECT, "num_outputs": 1, "multi_output_strategy": None}, required)
    branch, trunk = (_sizes(full, name) for name in ("layer_sizes_branch", "layer_sizes_trunk"))
    number, strategy = _outputs(full)
    rules = read_rules(_FAMILY, full["activation"], len(branch) - 1)
    model = eqx.filter_eval_shape(
        DeepONet,
        in_channels=1,
        out_channels=number,
        sensors=(branch[0],),
        num_dims=trunk[0],
        width=max(branch[1:]),
        num_basis=_num_basis(branch[-1], trunk[-1], number, strategy),
        branch_hidden=branch[1:-1],
        trunk_hidden=trunk[1:-1],
        branch_activation=rules.branch.names,
        trunk_activation=str(rules.trunk.names),
        multi_output=strategy,
        initializer=_initializer(full),
        key=jax.random.key(0),
    )
    several = strategy == "independent" and number > 1
    places: dict[str, Callable[[Any], Any]] = {}
    for i in range(number if several else 1):
        dot = f".{i}" if several else ""
        places |= _affine_maps(f"branch{dot}", len(branch) - 1, lambda m, i=i: m.branches[i].network)
        places |= _affine_maps(f"trunk{dot}", len(trunk) - 1, lambda m, i=i: m.trunks[i])
    shapes = {name: tuple(where(model).shape) for name, where in places.items()}
    biases = [f"b.{i}" for i in range(number)]
    adaptive = rules.entries(list({name.partition(".linears")[0] for name in places}), whole=True)
    arrays = read_state(_FAMILY, state_dict, {**shapes, **dict.fromkeys([*biases, *adaptive], ())}, spectral=())
    values: dict[str, Any] = rules.fold(places, arrays) | {"b": np.stack([arrays[name] for name in biases])}
    return DeepXDENet(fill(model, {**places, "b": lambda m: m.bias}, values), cls)


def _port_pod(config: Mapping[str, Any], state_dict: Mapping[str, Any]) -> DeepXDENet:
    required = ("cls", "pod_basis", "layer_sizes_branch", "activation")
    full = read_config(_FAMILY, config, {**_WITHOUT_EFFECT, "layer_sizes_trunk": None}, required)
    branch = _sizes(full, "layer_sizes_branch")
    trunk = None if full["layer_sizes_trunk"] is None else _sizes(full, "layer_sizes_trunk")
    basis = np.asarray(full["pod_basis"], np.float32)  # the original keeps it in single precision
    if basis.ndim != 2 or branch[-1] != basis.shape[1] + (trunk[-1] if trunk else 0):
        raise ConfigError(
            f"{_FAMILY}: layer_sizes_branch must end in the number of modes{' and trunk outputs' if trunk else ''}; pod_basis "
            f"has shape {basis.shape}, layer_sizes_branch is {branch}."
        )
    rules = read_rules(_FAMILY, full["activation"], len(branch) - 1)
    model = eqx.filter_eval_shape(
        PODDeepONet,
        in_channels=1,
        out_channels=1,
        sensors=(branch[0],),
        num_dims=trunk[0] if trunk else None,
        width=max(branch[1:]),
        num_modes=basis.shape[1],
        branch_hidden=branch[1:-1],
        branch_activation=rules.branch.names,
        scaling="none",
        num_basis=trunk[-1] if trunk else 0,
        trunk_hidden=trunk[1:-1] if trunk else None,
        trunk_activation=str(rules.trunk.names),
        output_shape=(len(basis),),
        initializer=_initializer(full),
        key=jax.random.key(0),
    )
    places = _affine_maps("branch", len(branch) - 1, lambda m: m.branch_network.network)
    if trunk:
        places |= _affine_maps("trunk", len(trunk) - 1, lambda m: m.trunk) | {"b": lambda m: m.bias}
    shapes = {name: () if name == "b" else tuple(where(model).shape) for name, where in places.items()}
    adaptive = rules.entries(["branch", "trunk"] if trunk else ["branch"], whole=False)
    arrays = read_state(_FAMILY, state_dict, {**shapes, **dict.fromkeys(adaptive, ())}, spectral=())
    values = rules.fold(places, arrays)
    kept = {"modes": basis.T, "mean": np.zeros(len(basis))}
    values |= {name: array.astype(arrays["branch.linears.0.weight"].dtype) for name, array in kept.items()}
    where = {**places, "modes": lambda m: m.modes.modes, "mean": lambda m: m.modes.mean}
    return DeepXDENet(fill(model, where, values), "PODDeepONet")


def _affine_maps(name: str, number: int, network: Callable[[Any], Any]) -> dict[str, Callable[[Any], Any]]:
    places: dict[str, Callable[[Any], Any]] = {}
    for j in range(number):
        places[f"{name}.linears.{j}.weight"] = lambda m, j=j: network(m).layers[j].weight
        places[f"{name}.linears.{j}.bias"] = lambda m, j=j: network(m).layers[j].bias
    return places


def _sizes(config: Mapping[str, Any], name: str) -> tuple[int, ...]:
    sizes = config[name]
    whole = isinstance(sizes, Sequence) and all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in sizes)
    if not whole or len(sizes) < 2:
        raise ConfigError(f"{_FAMILY}: {name} must be a list of two or more positive integers, got {sizes!r}.")
    return tuple(sizes)


def _initializer(config: Mapping[str, Any]) -> str:
    one_of(f"{_FAMILY}: kernel_initializer", config["kernel_initializer"], _INITIALIZERS, ConfigError)
    return _INITIALIZERS[config["kernel_initializer"]]


def _outputs(config: Mapping[str, Any]) -> tuple[int, str]:
    """The number of outputs and how they are had."""
    number, strategy = config["num_outputs"], config["multi_output_strategy"]
    one_of(f"{_FAMILY}: multi_output_strategy", strategy, _STRATEGIES, ConfigError)
    if not isinstance(number, int) or isinstance(number, bool) or number < 1 or (number == 1 and strategy is not None):
        raise ConfigError(
            f"{_FAMILY}: num_outputs {number!r} with multi_output_strategy {strategy!r} is refused by the original; a strategy "
            "is for two or more outputs."
        )
    return number, strategy or "independent"


def _num_basis(branch: int, trunk: int, number: int, strategy: str) -> int:
    """Basis functions per output; `ConfigError` where the original has none because the sizes do not match."""
    in_branch = number if strategy in ("split_both", "split_branch") else 1
    in_trunk = number if strategy in ("split_both", "split_trunk") else 1
    if branch % in_branch or trunk % in_trunk or branch // in_branch != trunk // in_trunk:
        raise ConfigError(
            f"{_FAMILY}: layer_sizes_branch ends in {branch} and layer_sizes_trunk in {trunk}, which do not match for "
            f"{number} outputs with {strategy!r}."
        )
    return branch // in_branch
