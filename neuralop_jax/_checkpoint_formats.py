"""The formats of checkpoints: what changed between them, and how what an older one holds is brought up to date."""

from typing import Any

import numpy as np

FORMAT = 2
"""Version of the layout described in `CheckpointStore`; a newer one is refused.

1. Steps written by Orbax's manager; the record and the table of leaves in `meta/metadata`.
2. `meta.json` with the sha256 of every file besides; of a training also the tree `guard`, and in `progress` the line that is not
   logged yet, the number of rollbacks and how the time was spent.
"""

Arrays = dict[str, np.ndarray]


def migrate(
    found: int, record: dict[str, Any], arrays: dict[str, Arrays], names: tuple[str, ...] | None
) -> tuple[dict[str, Any], dict[str, Arrays]]:
    """What format `FORMAT` would hold in place of a record and the arrays called `names` (all if `None`) of format `found`."""
    if found < 2 and "progress" in record:
        record, arrays = _from_1(record, arrays, names)
    return record, arrays


def _from_1(
    record: dict[str, Any], arrays: dict[str, Arrays], names: tuple[str, ...] | None
) -> tuple[dict[str, Any], dict[str, Arrays]]:
    """A training had skipped no step, and its seconds were those of steps, evaluations and compilations together."""
    old = record["progress"]
    seconds = {"steps": old["seconds"] - old["compile_seconds"], "compile": old["compile_seconds"]}
    progress = {"early_stop": old["early_stop"], "goodput": seconds, "line": None, "rollbacks": 0}
    guard = {"in_a_row": np.zeros((), np.int32), "skipped": np.zeros((), np.int32), "mean_norm": np.zeros((), np.float32)}
    wanted = names is None or "guard" in names
    return {**record, "progress": progress}, {**arrays, "guard": guard} if wanted else arrays
