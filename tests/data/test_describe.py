import json

import h5py
import numpy as np

from neuralop_jax.data import describe


def test_our_schema(toy):
    found = describe(toy.path)
    assert found["kind"] == "neuralop_jax schema 1"
    assert found["bytes"] == toy.path.stat().st_size
    assert found["problem"] == ""
    assert found["info"] == toy.info.to_json()
    objects = {item["name"]: item for item in found["objects"]}
    assert objects["/train/t0_fields/heat"] == {
        "name": "/train/t0_fields/heat",
        "shape": [7, 3, 4, 6],
        "dtype": "float32",
        "unit": "K",
        "note": "",
    }
    assert all(item["note"] == "" for item in found["objects"])
    json.dumps(found)


def test_hostile_file_is_described_without_following_anything(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["a"] = np.ones((5, 8))
        group = file.create_group("g")
        group["self"] = group
        group["root"] = file["/"]
        group["soft"] = h5py.SoftLink("/g/soft")
        group["out"] = h5py.ExternalLink("/etc/none", "/u")
        group.create_dataset("far", (4,), "u1", external=[("/etc/none", 0, 4)])
        group.create_dataset("huge", (10**12,), "f8", chunks=(1000,))
        group["text"] = "words"
        file.create_dataset("null", data=h5py.Empty("f8"))
    found = describe(path)
    objects = {item["name"]: item for item in found["objects"]}
    assert set(objects) == {"/a", "/null", *(f"/g/{name}" for name in ("soft", "out", "far", "huge", "text"))}
    assert objects["/g/soft"]["note"] == "soft link to '/g/soft'"
    assert objects["/g/out"]["note"] == "external link to '/u' in '/etc/none'"
    assert "external storage" in objects["/g/far"]["note"]
    assert "claims 7.3 TiB" in objects["/g/huge"]["note"]
    assert "holds strings" in objects["/g/text"]["note"]
    assert found["kind"] == "plain HDF5"
    assert found["info"]["fields"][0]["name"] == "a"
    json.dumps(found)


def test_file_without_fields_says_why(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = np.arange(3)
    found = describe(tmp_path / "x.h5")
    assert found["info"] is None
    assert "no array of two or more axes" in found["problem"]
    assert found["objects"][0]["shape"] == [3]
