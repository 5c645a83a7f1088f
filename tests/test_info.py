import json

import pytest

from neuralop_jax.grids import Grid
from neuralop_jax.info import DatasetInfo, FieldInfo, SplitInfo


@pytest.fixture
def info():
    grid = Grid((8, 4), boundary=("periodic", "dirichlet"), unit="m")
    return DatasetInfo(
        name="flow",
        title="Flow",
        fields=(FieldInfo("pressure", "Pa", "gauge pressure"), FieldInfo("velocity", "m/s", channels=2, time_varying=True)),
        splits={"train": SplitInfo(10, grid, (0.0, 0.1), "s"), "test": SplitInfo(3, grid.with_shape((16, 8)))},
        parameters={"viscosity": 1e-3},
        license="MIT",
        citation="Someone, 2025",
        source="https://example.org",
    )


def test_json_round_trip(info):
    again = DatasetInfo.from_json(json.loads(json.dumps(info.to_json())))
    assert again == info
    assert isinstance(again.splits["train"].grid, Grid)
    assert again.splits["train"].times == (0.0, 0.1)


def test_field_by_name(info):
    assert info.field("velocity").channels == 2
    with pytest.raises(KeyError):
        info.field("temperature")
