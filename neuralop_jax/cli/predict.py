"""`predict RUN IN OUT`: a trained operator applied to the fields of a file."""

from pathlib import Path

from tyro.conf import Positional

from neuralop_jax.cli._console import say
from neuralop_jax.cli._run import read_config
from neuralop_jax.errors import CheckpointError, DataError


def predict(run: Positional[Path], input: Positional[Path], output: Positional[Path], *, split: str = "") -> None:
    """Apply a trained operator to the fields of INPUT and write what it predicts to the new file OUTPUT.

    Args:
        run: The run directory.
        input: Fields in physical units, on any grid: HDF5 (in the library's schema or plain), .npy or .npz.
        output: Where to write, one array per predicted field: .h5, .hdf5 or .npz.
        split: Which split of INPUT, if it has several.
    """
    config = read_config(run)

    import jax
    import numpy as np

    from neuralop_jax import checkpoint, models
    from neuralop_jax.cli._fields import check_new, read_fields, write_fields

    check_new(output)
    info = checkpoint.load_info(run)
    if info is None:
        raise CheckpointError(f"{run} does not say what data it was trained on. Train it again.")
    trained = info.splits[config.data.train_split].grid
    u, grid = read_fields(input, config.data, trained.num_dims, split)
    operator = checkpoint.load(run)
    if u.shape[1] != operator.in_channels or u.ndim != trained.num_dims + 2:
        wanted = f"{operator.in_channels} channels and {trained.num_dims} space axes"
        raise DataError(
            f"{input} holds samples of shape {u.shape[1:]}; the operator takes {wanted}: {', '.join(config.data.input)}."
        )
    grid = grid or trained.with_shape(u.shape[2:])
    if grid.shape != trained.shape:
        here, there = (" x ".join(map(str, shape)) for shape in (grid.shape, trained.shape))
        say(f"Note: the input has {here} points, the operator was trained on {there}.")
    apply = jax.jit(models.apply_batched)
    size = config.data.batch_size
    values = np.concatenate([np.asarray(apply(operator, u[start : start + size])) for start in range(0, len(u), size)])
    write_fields(output, values, info, config.data, grid)
    if broken := int((~np.isfinite(values)).reshape(len(values), -1).any(axis=1).sum()):
        say(f"{broken} of them are not finite: the operator failed on these inputs. Compare them with the training data.")
    say(f"{len(values)} predictions of {', '.join(config.data.target)} in {output}.")
