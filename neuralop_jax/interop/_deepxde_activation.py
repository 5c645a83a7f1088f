"""The activations of DeepXDE's networks: names, lists of them, and those with a trained slope."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neuralop_jax._checks import one_of
from neuralop_jax.errors import ConfigError

_NAMES = {name: name for name in ("elu", "gelu", "relu", "selu", "sigmoid", "silu", "sin", "tanh")} | {"swish": "silu"}


@dataclasses.dataclass(frozen=True)
class Rule:
    """The activations of the hidden layers of one network; `slope` $n$ if they are $\\sigma(n a x)$ with a trained $a$."""

    names: str | tuple[str, ...]
    slope: float | None = None


@dataclasses.dataclass(frozen=True)
class Rules:
    """Those of branch and trunk; `shared` if both were given as one."""

    branch: Rule
    trunk: Rule
    shared: bool

    def entries(self, networks: Sequence[str], *, whole: bool) -> list[str]:
        """The names of all trained slopes in the state dict; `whole` where the network keeps the branch's activation too."""
        adaptive = {"branch": self.branch.slope is not None, "trunk": self.trunk.slope is not None}
        names = [f"{network}.activation.a" for network in networks if adaptive[network.partition(".")[0]]]
        names += ["activation_trunk.a"] * adaptive["trunk"]
        return names + ["activation_branch.a"] * (adaptive["branch"] and self.shared and whole)

    def fold(self, places: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The arrays of `places`, with the slope of what follows an affine map multiplied into the map."""
        folded = {name: arrays[name] for name in places}
        for name in [name for name in places if ".linears." in name]:
            network, _, rest = name.partition(".linears.")
            branch, last = network.startswith("branch"), f"{network}.linears.{int(rest.partition('.')[0]) + 1}.bias" not in places
            slope = (self.branch if branch else self.trunk).slope
            if slope is not None and not (branch and last):
                a = arrays["activation_trunk.a" if last else f"{network}.activation.a"]
                folded[name] = arrays[name] * (slope * a)
        return folded


def read_rules(family: str, activation: Any, num_layers: int) -> Rules:
    """The rules of an `activation` argument, for a branch of `num_layers` affine maps.

    **Raises:** `ConfigError` for what the original refuses, or a function instead of a name.
    """
    if not isinstance(activation, Mapping):
        rule = _rule(family, activation)
        return Rules(rule, rule, True)
    if set(activation) != {"branch", "trunk"}:
        raise ConfigError(f"{family}: activation must have the entries branch and trunk, got {sorted(map(str, activation))}.")
    branch, trunk = activation["branch"], _rule(family, activation["trunk"])
    if not isinstance(branch, list | tuple):
        return Rules(_rule(family, branch), trunk, False)
    if len(branch) != num_layers:
        raise ConfigError(f"{family}: activation['branch'] must name {num_layers} activations, one per layer, got {len(branch)}.")
    # Slopes in a list are neither trained nor saved by the original, so that n a = 1; the last entry is not used.
    return Rules(Rule(tuple(str(_rule(family, name).names) for name in branch[:-1])), trunk, False)


def _rule(family: str, name: Any) -> Rule:
    if name is None:
        return Rule("identity")
    if not isinstance(name, str):
        raise ConfigError(f"{family}: an activation must be a name, got {name!r}.")
    slope, plain = None, name
    if name.startswith("LAAF"):
        try:
            head, plain = name.split()
            slope = float(head.split("-")[1])
        except (IndexError, ValueError):
            raise ConfigError(f"{family}: an adaptive activation is written 'LAAF-10 tanh', got {name!r}.") from None
    one_of(f"{family}: activation", plain.lower(), _NAMES, ConfigError)
    return Rule(_NAMES[plain.lower()], slope)
