"""The operator of a training run with all that its files say about it."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from neuralop_jax._checks import reason
from neuralop_jax._frames import frames
from neuralop_jax._json_schema import check_json
from neuralop_jax._run_files import read_config, read_json, read_results
from neuralop_jax.config import DataConfig, from_json, to_json
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
        *_fields(info, data),
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


class _Record(TypedDict):
    """What the record of a card has of the run."""

    configuration: dict[str, Any]
    info: DatasetInfo


def data_of(card: ModelCard, path: str | Path) -> tuple[DatasetInfo, DataConfig]:
    """The data that the operator of a run was trained on, and which of them it reads and predicts, by the record of its card.

    **Raises:** `CheckpointError` if the record, of the operator at `path`, does not say so, or says something else than the card.
    """
    try:
        check_json(_Record, card.record, "record")
        data = from_json(card.record["configuration"], f"the card of {path}").data
        info = DatasetInfo.from_json(card.record["info"])
        fits = (*_fields(info, data), info.splits[data.train_split].grid) == (card.inputs, card.outputs, card.grid)
    except (ValueError, TypeError, LookupError) as error:
        raise CheckpointError(
            f"the card of {path} does not say what it was trained on: {reason(error)}. Export a run."
        ) from error
    if not fits:
        raise CheckpointError(
            f"the card of {path} is damaged: its fields and its grid are not those of the record. Export the run again."
        )
    return info, data


def _fields(info: DatasetInfo, data: DataConfig) -> tuple[tuple[FieldInfo, ...], tuple[FieldInfo, ...]]:
    """The fields that are read and those that are predicted."""
    train = info.splits[data.train_split]
    return _channels(info, train, data.input, data.input_time), _channels(info, train, data.target, data.target_time)


def _channels(info: DatasetInfo, split: SplitInfo, names: tuple[str, ...], time: str) -> tuple[FieldInfo, ...]:
    """The fields called `names` with all channels that they have in a sample."""
    fields = [info.field(name) for name in names]
    number = len(split.times[frames(time)])
    return tuple(dataclasses.replace(f, channels=f.channels * number) if f.time_varying else f for f in fields)
