"""Networks trained with the PyTorch code of papers and libraries, as operators of this library."""

from collections.abc import Callable, Mapping
from typing import Any

from neuralop_jax._checks import one_of
from neuralop_jax.errors import ConfigError
from neuralop_jax.interop._classic_fno import port_classic_fno
from neuralop_jax.interop._deepxde import port_deeponet
from neuralop_jax.interop._factformer import port_factformer
from neuralop_jax.interop._lsm import port_lsm
from neuralop_jax.interop._mgno import port_mgno
from neuralop_jax.interop._multionet import port_multionet
from neuralop_jax.interop._neuraloperator import port_neuraloperator_fno
from neuralop_jax.interop._ported import AbstractPorted

FAMILIES: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], AbstractPorted]] = {
    "neuraloperator_fno": port_neuraloperator_fno,
    "classic_fno": port_classic_fno,
    "deeponet": port_deeponet,
    "multionet": port_multionet,
    "lsm": port_lsm,
    "factformer": port_factformer,
    "mgno": port_mgno,
}
"""Every family that `from_torch` knows, and its converter."""


def from_torch(family: str, config: Mapping[str, Any], state_dict: Mapping[str, Any]) -> Any:
    """A PyTorch network as a JAX callable that returns the same numbers, $f(x)$ in the layout of the original.

    The result is an `equinox.Module`: a pytree whose leaves are the weights, so it can be jitted, differentiated and
    trained. It is called as `ported(x=batch)` with the batch axis first, and holds the operator of this library, which acts
    on one channel-first sample, as `ported.model`.

    | family | original | layout in → out | result |
    |---|---|---|---|
    | `"neuraloperator_fno"` | `neuralop.models.FNO` of neuraloperator 2.0.0 | `(B, C, *S)` → `(B, C, *S)` | `NeuralOperatorFNO` |
    | `"classic_fno"` | the first FNO-2D, with `weights1` and `weights2` | `(B, X, Y, C)` → `(B, X, Y, C)` | `LiFNO` |
    | `"deeponet"` | DeepXDE's DeepONets, named by `cls` | branch `(B, m)`, trunk `(N, d)` → `(B, N[, k])` | `DeepXDENet` |
    | `"multionet"` | DGenNO's MultiONets, named by `cls` | x `([B,] N, d)`, a `(B, m[, k])` → `(B, N[, k])` | `DGenNOMultiONet` |
    | `"lsm"` | `LSM_2D`, `LSM_3D` of thuml/Latent-Spectral-Models | `(B, *S, C)` → `(B, *S, C)` | `ThumlLSM` |
    | | `LSM_Irregular_Geo` there, its `IPHI` behind `iphi.` | `(B, N, C)` → `(B, N, C)` | `ThumlIrregularLSM` |
    | | `LSM` of thuml/Neural-Solver-Library (`n_hidden` given) | `(B, N, C)` → `(B, N, C)` | `NeuralSolverLSM` |
    | `"factformer"` | the models of BaratiLab/FactFormer and their blocks | see the result | `BaratiFactFormer` |
    | `"mgno"` | the classes of `models.py` of MgNO, by `cls` | `(B, C, X, Y)` → `(B, C, X, Y)` | `HeMgNO` |

    The two may differ, mostly where the original assigns a weight to another wavenumber than the one it was trained on: the
    ported callable returns the original's numbers on every grid, `.model` is right by wavenumber. `ported.difference` says in
    one sentence where, and is empty if nowhere.

    **Arguments:**

    - `family`: a family of the table.
    - `config`: the keyword arguments of the original's constructor, of JSON types (an activation by its name, `"gelu"`);
      what is absent takes the original's default. What an original is told elsewhere is an option, too: `train_mode` of an LSM,
      `extent` of a FactFormer, `num_points` of an LSM on scattered points (see the results).
    - `state_dict`: names to arrays, whatever `numpy.asarray` reads: numpy arrays, or PyTorch tensors in CPU memory.

    **Returns:** the callable, in float64 if the state dict is and JAX has `jax_enable_x64` set, else in float32.

    **Raises:** `ConfigError` if the family or an option is unknown or not supported; `CheckpointError` if entries of the state
    dict are missing, not expected, or of the wrong shape.

    !!! example

        ```python
        import jax.numpy as jnp
        import numpy as np

        from neuralop_jax.interop import from_torch

        config = {"in_dim": 1, "out_dim": 1, "d_model": 4, "num_basis": 3, "padding": "0,0"}
        shapes = {"fc0": (4, 3), "fc1": (128, 4), "fc2": (1, 128)} | {f"w{i}": (4, 4, 1, 1) for i in range(4)}
        state = {f"{name}.weight": np.ones(shape, np.float32) for name, shape in shapes.items()}
        state |= {f"{name}.bias": np.zeros(shape[0], np.float32) for name, shape in shapes.items()}
        state |= {f"conv{i}.weights{j}": np.ones((4, 4, 3, 3), np.complex64) for i in range(4) for j in (1, 2)}
        ported = from_torch("classic_fno", config, state)
        assert ported(x=jnp.ones((2, 8, 8, 1))).shape == (2, 8, 8, 1)
        ```
    """
    one_of("family", family, FAMILIES, ConfigError)
    return FAMILIES[family](config, state_dict)
