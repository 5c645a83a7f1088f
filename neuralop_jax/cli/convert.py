"""`convert FILE OUT`: weights of a paper's PyTorch code as an operator of this library."""

import os
from pathlib import Path

from tyro.conf import Positional

from neuralop_jax._checks import shown_path
from neuralop_jax.cli._console import say
from neuralop_jax.errors import CheckpointError, ConfigError


def convert(
    file: Positional[Path], output: Positional[Path], *, family: str = "", config: Path | None = None, prefix: str = ""
) -> None:
    """Turn weights that were trained with a paper's PyTorch code into an operator, in the new directory OUTPUT.

    FILE is .safetensors, .npz, or a .pt of torch.save, of which the numbers are read and nothing is run; PyTorch is not needed.
    Every name and shape is compared with the configuration before anything is written.
    One line says where the operator is another function than the original, if anywhere.

    Args:
        file: The state dict.
        output: The directory to write; load it with neuralop_jax.checkpoint.load.
        family: Whose code it is: neuraloperator_fno, mgno, lsm and others; may be stated beside the configuration.
        config: JSON file with the arguments of the original's constructor. FILE with the ending .json, or the metadata of a
            safetensors file, if left out.
        prefix: Take only the names that begin so, without it, such as module.
    """
    from neuralop_jax import checkpoint, models
    from neuralop_jax.interop import FAMILIES, HeMgNO, from_torch, read_architecture, read_weights

    if os.path.exists(output) and (not output.is_dir() or any(output.iterdir())):
        raise CheckpointError(f"{output} exists and is not overwritten. Choose another path, or move it away.")
    if not os.path.exists(file):
        raise CheckpointError(f"no such file: {shown_path(file)} (looked in {Path.cwd()}). Check the path.")
    known = read_architecture(file, config)
    family = family or known.get("family", "")
    if not family:
        raise ConfigError(f"whose code made {file} is not known. Say it with --family: {', '.join(FAMILIES)}.")
    ported = from_torch(family, known["config"], read_weights(file, prefix=prefix))
    model = ported.model
    if not isinstance(model, models.AbstractOperator):
        raise ConfigError(f"{family}: {file} holds a {type(model).__name__}, a part of an operator. Use from_torch in Python.")
    if isinstance(ported, HeMgNO) and ported.scale is not None:
        raise ConfigError(f"{family}: {ported.difference}, which no operator here does. Use from_torch in Python.")
    checkpoint.save_model(output, model)
    network = model.model if isinstance(model, models.Normalized) else model
    say(f"{type(network).__name__}, {models.count_parameters(model):,} parameters, written to {output}.")
    if ported.difference:
        say(f"It is not the original everywhere: {ported.difference}.")
    say(f'Use it: neuralop_jax.checkpoint.load("{output}")')
