"""Files of weights: the arrays in them by name, read without running anything."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from neuralop_jax._checks import did_you_mean, reason, shown, shown_path
from neuralop_jax._untrusted_files import parse_json, read_file
from neuralop_jax.data import read_torch
from neuralop_jax.data.formats import read_npz
from neuralop_jax.errors import CheckpointError, ConfigError, DataError

SUFFIXES = (".safetensors", ".npz", ".pt", ".pth")


def read_weights(path: str | Path, *, prefix: str = "") -> dict[str, np.ndarray]:
    """The arrays of a file of weights by name: a state dict for `from_torch`.

    **Arguments:**

    - `path`: `.safetensors`; `.npz` of real or complex arrays; `.pt` or `.pth` of `torch.save` (PyTorch 1.6 and newer), whose
        pickle is read as a description and never run.
    - `prefix`: takes only the names that begin so, without it: `"module."` of a network trained in parallel, `"model_state/"` of
        a dictionary inside a dictionary.

    **Raises:** `DataError` if the file is missing, damaged, or of another kind; `CheckpointError` if no name has the prefix.

    !!! example

        ```python
        import tempfile

        import numpy as np
        from neuralop_jax.interop import read_weights

        with tempfile.NamedTemporaryFile(suffix=".npz") as file:
            np.savez(file.name, **{"module.fc.weight": np.ones((2, 3))})
            weights = read_weights(file.name, prefix="module.")
        assert weights["fc.weight"].shape == (2, 3)
        ```
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path} is none of {', '.join(SUFFIXES)}. Save the state dict as one of these.")
    if not os.path.isfile(path):
        raise DataError(f"{shown_path(path)} is not a file. Check the path.")
    if path.suffix == ".safetensors":
        found = _read_safetensors(path)
    elif path.suffix == ".npz":
        found = {name: array[slice(None)] for name, array in read_npz(path, kinds="fiubc", whole=True).items()}
    else:
        found = {name: np.asarray(array) for name, array in read_torch(path).items()}
    taken = {name.removeprefix(prefix): array for name, array in found.items() if name.startswith(prefix)}
    if not taken:
        hint = did_you_mean(prefix, {name[: len(prefix)] for name in found})
        raise CheckpointError(
            f"{path} holds no name that begins with {shown(prefix)}; the first is {shown(next(iter(found), None))}.{hint} "
            "Check the prefix."
        )
    return taken


def read_architecture(path: str | Path, config: str | Path | None = None) -> dict[str, Any]:
    """What is known of the network in a file of weights: a dictionary with `"config"`, and `"family"` where it is stated.

    **Arguments:**

    - `path`: the file of weights.
    - `config`: a JSON file with the arguments of the original's constructor, or with a table `"config"` of them and the name
        `"family"`. By default the file beside the weights that ends in `.json` instead, or the entries of the same names in the
        metadata of a safetensors file.

    **Returns:** a dictionary that, with `"family"` in it, is the first two arguments of `from_torch`.

    **Raises:** `ConfigError` if there is none, or it is no JSON table; `DataError` if a safetensors file is damaged.

    !!! example

        ```python
        import json
        import tempfile

        import numpy as np
        from safetensors.numpy import save_file

        from neuralop_jax.interop import from_torch, read_architecture, read_weights

        config = {"cls": "DeepONet", "layer_sizes_branch": [2, 1], "layer_sizes_trunk": [1, 1], "activation": "relu"}
        state = {"branch.linears.0.weight": np.ones((1, 2)), "trunk.linears.0.weight": np.ones((1, 1)), "b.0": np.array(0.5)}
        state |= {"branch.linears.0.bias": np.zeros(1), "trunk.linears.0.bias": np.zeros(1)}
        with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
            save_file(state, file.name, {"family": "deeponet", "config": json.dumps(config)})
            ported = from_torch(**read_architecture(file.name), state_dict=read_weights(file.name))
        assert ported.original == "DeepONet"
        ```
    """
    path = Path(path)
    beside = path.parent / f"{path.stem}.json" if config is None else Path(config)
    if config is None and not os.path.exists(beside):
        metadata = _metadata(path) if path.suffix == ".safetensors" and os.path.isfile(path) else {}
        if "config" not in metadata:
            raise ConfigError(f"{path}: the arguments of the constructor are not known. Name a JSON file of them with --config.")
        family = {"family": metadata["family"]} if "family" in metadata else {}
        return {"config": _table(metadata["config"], f"{path}: config in the metadata"), **family}
    try:
        text = read_file(beside)
    except OSError as error:
        raise ConfigError(f"{shown_path(beside)} cannot be read: {error.strerror}. Name a JSON file with --config.") from error
    table = _table(text, str(beside))
    if not isinstance(table.get("config"), Mapping):
        return {"config": table}
    return {name: table[name] for name in ("config", "family") if name in table}


def _table(text: str | bytes, where: str) -> dict[str, Any]:
    try:
        table = parse_json(text)
    except ValueError as error:
        raise ConfigError(
            f"{where} is not JSON: {reason(error)}. Write the arguments of the constructor as a JSON table."
        ) from error
    if not isinstance(table, dict):
        raise ConfigError(f"{where} holds a {type(table).__name__}, wanted a JSON table of the constructor's arguments.")
    return table


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no mapping


def _metadata(path: Path) -> Mapping[str, str]:
    with _opened(path) as file:
        return file.metadata() or {}


def _opened(path: Path) -> Any:
    try:
        return safetensors.safe_open(str(path), framework="numpy")
    except (safetensors.SafetensorError, OSError) as error:
        raise DataError(f"{path} is no safetensors file, or damaged: {error}. Download or write it again.") from error
