"""`predict RUN IN OUT`: a trained operator applied to the fields of a file."""

import warnings
from pathlib import Path

from tyro.conf import Positional

from neuralop_jax.cli._console import say


def predict(run: Positional[Path], input: Positional[Path], output: Positional[Path], *, split: str = "") -> None:
    """Apply a trained operator to the fields of INPUT and write what it predicts to the new file OUTPUT.

    Args:
        run: The run directory, or what export made of it.
        input: Fields in physical units, on any grid: HDF5 (in the library's schema or plain), .npy or .npz.
        output: Where to write, one array per predicted field: .h5, .hdf5 or .npz.
        split: Which split of INPUT, if it has several.
    """
    from neuralop_jax.serving import Predictor
    from neuralop_jax.serving._run import data_of

    predictor = Predictor.load(run)

    import numpy as np

    from neuralop_jax.cli._fields import check_new, read_fields, write_fields

    check_new(output)
    card = predictor.card
    info, data = data_of(card, run)
    u, grid = read_fields(input, data, card.grid.num_dims, split)
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        values = predictor(u, grid=grid)
    for note in notes:
        say(f"Note: {note.message}")
    write_fields(output, values, info, data, grid or card.grid.with_shape(u.shape[2:]))
    if broken := int((~np.isfinite(values)).reshape(len(values), -1).any(axis=1).sum()):
        say(f"{broken} of them are not finite: the operator failed on these inputs. Compare them with the training data.")
    say(f"{len(values)} predictions of {', '.join(data.target)} in {output}.")
