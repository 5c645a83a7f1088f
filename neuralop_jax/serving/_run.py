"""The operator of a training run with all that its files say about it."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from neuralop_jax._frames import frames
from neuralop_jax._run_files import read_config, read_json, read_results
from neuralop_jax.config import to_json
from neuralop_jax.errors import CheckpointError
from neuralop_jax.info import DatasetInfo, FieldInfo, SplitInfo
from neuralop_jax.serving._card import ModelCard

if TYPE_CHECKING:
    from neuralop_jax.models import AbstractOperator


def load_run(run: str | Path) -> tuple["AbstractOperator", ModelCard]:
    """The operator of a run directory, and its card: what the configuration, the data and the results say.

    **Raises:** `RunDirError` or `CheckpointError` if they are damaged, or do not say what the run was trained on.

    !!! example

        ```python
        from neuralop_jax.serving import export_operator, load_run

        def export(run, out):
            operator, card = load_run(run)
            return export_operator(out, operator, card)
        ```
    """
    run = Path(run)
    config = read_config(run)

    from neuralop_jax import checkpoint, models  # model code is for runs alone; exported operators do without

    info, operator = checkpoint.load_info(run), checkpoint.load(run)
    if info is None:
        raise CheckpointError(f"{run} does not say what data it was trained on. Train it again.")
    data, train = config.data, info.splits[config.data.train_split]
    card = ModelCard(
        _channels(info, train, data.input, data.input_time),
        _channels(info, train, data.target, data.target_time),
        train.grid,
        None if models.sensors_of(operator) else (1,) * train.grid.num_dims,
        batch_size=data.batch_size,
        record={
            "parameters": models.count_parameters(operator),
            **checkpoint.operator_record(operator, info),
            "configuration": to_json(config),
            "results": read_results(run),
            "trained_with": read_json(run / "env.json")["versions"],
        },
    )
    return operator, card


def _channels(info: DatasetInfo, split: SplitInfo, names: tuple[str, ...], time: str) -> tuple[FieldInfo, ...]:
    """The fields called `names` with all channels that they have in a sample."""
    fields = [info.field(name) for name in names]
    number = len(split.times[frames(time)])
    return tuple(dataclasses.replace(f, channels=f.channels * number) if f.time_varying else f for f in fields)
