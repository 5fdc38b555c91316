"""Providers' files: every cell and every pixel as it was, whole or nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import dataworth as dw
from dataworth.data.image_points import read_image_points
from dataworth.data.images import encoded, read_image
from dataworth.data.partition_files import MANIFEST, partition_source
from dataworth.errors import DataError, InputError, MethodError

RNG = np.random.default_rng(0)
N = 20


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.parquet"
    rows = pa.table(
        {
            "name": [f"r{i}" for i in range(N)],
            "hospital": [("north", "south")[i % 2] for i in range(N)],
            "a": pa.array(RNG.normal(size=N), pa.float32()),
            "when": pa.array(range(N), pa.date32()),
            "y": pa.array([("cat", "dog")[i % 2] for i in range(N)]).dictionary_encode(),
        }
    )
    pq.write_table(rows, path)
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """JPEG, palette, alpha, 16 bits and a nested folder: what decoding and writing again would change."""
    folder = tmp_path / "pictures"
    for label in ("cat", "dog"):
        (folder / label / "deep").mkdir(parents=True)
        for at in range(4):
            colours = RNG.integers(0, 256, (8, 9, 3), dtype=np.uint8)
            Image.fromarray(colours).save(folder / label / f"{at}.jpg", quality=40)
        Image.fromarray(colours).quantize(7).save(folder / label / "deep" / "5.png")
    return folder


def parts(out: Path) -> dict[str, pa.Table]:
    return {path.stem: pq.read_table(path) for path in sorted(out.glob("*.parquet"))}


def test_tables_come_together_again(table: Path, tmp_path: Path) -> None:
    partition_source(table, tmp_path / "out", providers=3)
    found = parts(tmp_path / "out")
    assert list(found) == ["usr0", "usr1", "usr2"]
    whole = pq.read_table(table)
    assert pa.concat_tables(found.values()).combine_chunks().equals(whole.combine_chunks())


def test_a_column_names_providers(table: Path, tmp_path: Path) -> None:
    partition_source(table, tmp_path / "out", how="column", column="hospital")
    found = parts(tmp_path / "out")
    assert list(found) == ["north", "south"]
    assert set(found["south"]["hospital"].to_pylist()) == {"south"}
    assert found["north"]["name"].to_pylist() == [f"r{i}" for i in range(0, N, 2)]


def test_label_noise_changes_labels_alone(table: Path, tmp_path: Path) -> None:
    split = partition_source(table, tmp_path / "out", providers=2, label="y", label_noise=[0, 0.3])
    whole, (first, second) = pq.read_table(table), parts(tmp_path / "out").values()
    assert first.equals(whole.slice(0, 10))
    assert second.schema == whole.schema
    assert second.drop(["y"]).equals(whole.slice(10).drop(["y"]))
    other = np.array(second["y"].to_pylist()) != np.array(whole["y"].to_pylist()[10:])
    assert other.sum() == 3
    np.testing.assert_array_equal(other, split.changed[1])


def test_copies_get_names_of_their_own(table: Path, tmp_path: Path) -> None:
    partition_source(table, tmp_path / "out", providers=2, id="name", duplicates=[0.5, 0])
    first = dw.read_points(tmp_path / "out" / "usr0.parquet", label="y", id="name", features=["a"])
    assert len(first) == 15
    assert sum(str(name).endswith("-copy1") for name in first.ids) == 5
    assert len(dw.read_points(tmp_path / "out" / "usr1.parquet", label="y", id="name", features=["a"])) == 10


def test_sizes_leave_rows_out_and_an_empty_provider_gets_no_file(table: Path, tmp_path: Path) -> None:
    split = partition_source(table, tmp_path / "out", how="sizes", sizes=[7, 0, 3], allow_empty=True)
    assert {name: part.num_rows for name, part in parts(tmp_path / "out").items()} == {"usr0": 7, "usr2": 3}
    assert len(split.left_out) == 10


def test_the_manifest_has_what_was_asked_and_nothing_of_the_rows(table: Path, tmp_path: Path) -> None:
    partition_source(
        table, tmp_path / "out", how="dirichlet", providers=2, label="y", alpha=5, seed=3, label_noise=0.1,
        duplicates=0.2,
    )  # fmt: skip
    manifest = json.loads((tmp_path / "out" / MANIFEST).read_text())
    assert "nothing here is private" in manifest.pop("note")
    assert manifest == {
        "format": "dataworth-partition/1",
        "how": "dirichlet",
        "providers": 2,
        "seed": 3,
        "alpha": 5.0,
        "label_noise": [0.1, 0.1],
        "duplicates": [0.2, 0.2],
        "allow_empty": False,
        "names": [{"provider": "usr0", "file": "usr0.parquet"}, {"provider": "usr1", "file": "usr1.parquet"}],
    }


def images(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def test_image_files_are_copied_byte_by_byte(pictures: Path, tmp_path: Path) -> None:
    partition_source(pictures, tmp_path / "out", how="iid", providers=3)
    found = images(tmp_path / "out")
    del found[MANIFEST]
    assert {name.partition("/")[0] for name in found} == {"usr0", "usr1", "usr2"}
    assert {name.partition("/")[2]: raw for name, raw in found.items()} == images(pictures)
    assert len(found) == 10


def test_relabelled_and_copied_images_keep_their_pixels(pictures: Path, tmp_path: Path) -> None:
    partition_source(pictures, tmp_path / "out", providers=1, label_noise=0.4, duplicates=1.0, seed=1)
    found = images(tmp_path / "out" / "usr0")
    assert len(found) == 20
    assert sorted(found.values()) == sorted([*images(pictures).values()] * 2)
    moved = [name for name in images(pictures) if found.get(name) != images(pictures)[name]]
    assert len(moved) >= 1


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1), (6, 5, 3)])
def test_pixels_of_arrays_are_unchanged(shape: tuple[int, ...], tmp_path: Path) -> None:
    """Dark halves included."""
    x = np.concatenate([np.arange(256, dtype=np.uint8)] * 10)[: 12 * int(np.prod(shape))]
    x = np.resize(x, (12, *shape))
    y = np.arange(12) % 3
    np.savez(tmp_path / "set.npz", x=x, y=y, classes=np.array(["a", "b", "c"]))
    split = partition_source(tmp_path / "set.npz", tmp_path / "out", providers=2)
    for at, name in enumerate(split.names):
        points, found = read_image_points(tmp_path / "out" / name)
        assert found == (shape if shape[-1] == 3 else shape[:2])
        order = [int(Path(place).stem) for place in points.ids.tolist()]
        np.testing.assert_array_equal(np.sort(order), split.rows[at])
        np.testing.assert_array_equal(points.x.reshape(len(order), -1), x[order].reshape(len(order), -1))
        np.testing.assert_array_equal(points.y, y[order].astype(str))


def test_arrays_that_are_no_images_stay_a_table(tmp_path: Path) -> None:
    x = RNG.normal(size=(6, 4))
    np.savez(tmp_path / "set.npz", x=x, y=np.arange(6) % 2, owners=np.array(list("aabbcc")))
    partition_source(tmp_path / "set.npz", tmp_path / "out", how="column", column="owners")
    again = np.concatenate([np.array(part["x"].to_pylist()) for part in parts(tmp_path / "out").values()])
    np.testing.assert_array_equal(again, x)


def test_whole_or_nothing(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = pq.write_table

    def fails(part: pa.Table, path: Path) -> None:
        if path.stem == "usr1":
            raise KeyboardInterrupt
        written(part, path)

    monkeypatch.setattr(pq, "write_table", fails)
    with pytest.raises(KeyboardInterrupt):
        partition_source(table, tmp_path / "out", providers=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["table.parquet"]


def test_an_empty_folder_is_filled(table: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    partition_source(table, tmp_path / "out", providers=2)
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_what_is_there_stays(table: Path, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something already"):
        partition_source(table, tmp_path / "out", providers=2)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]
    with pytest.raises(InputError, match="is no folder"):
        partition_source(table, table, providers=2)
    with pytest.raises(InputError, match="does not exist"):
        partition_source(table, tmp_path / "no" / "out", providers=2)
    with pytest.raises(InputError, match="is to be split"):
        partition_source(pictures, pictures / "out", providers=2)


@pytest.mark.parametrize("label", ["../up", "a/b", ".hidden", "a\nb", "", "x" * 101])
def test_labels_that_name_no_file_are_refused(label: str, tmp_path: Path) -> None:
    x = np.zeros((2, 3, 3), np.uint8)
    np.savez(tmp_path / "set.npz", x=x, y=np.array([label, "fine"]))
    with pytest.raises(DataError, match="cannot name a file"):
        partition_source(tmp_path / "set.npz", tmp_path / "out", providers=1)
    assert not (tmp_path / "out").exists()


def test_providers_that_differ_in_capitals_alone_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"who": ["North", "north"], "a": [1, 2]}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="capital letters"):
        partition_source(tmp_path / "t.parquet", tmp_path / "out", how="column", column="who")


@pytest.mark.parametrize(
    ("options", "kind", "says"),
    [
        ({"providers": 21}, DataError, "21 providers cannot share 20 rows"),
        ({"how": "column", "column": "clinic"}, DataError, r"no column 'clinic' \(column=\); it has 'name'"),
        ({"how": "dirichlet"}, MethodError, "needs labels"),
        ({"label": "z"}, DataError, "no column 'z'"),
        ({"label_noise": 0.5}, MethodError, "needs labels"),
        ({"id": "a"}, DataError, "integers or strings"),
    ],
)
def test_bad_input(options: dict[str, Any], kind: type[Exception], says: str, table: Path, tmp_path: Path) -> None:
    with pytest.raises(kind, match=says):
        partition_source(table, tmp_path / "out", **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["table.parquet"]


def test_folders_have_no_columns(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no columns.*leave out label="):
        partition_source(pictures, tmp_path / "out", label="y")
    (tmp_path / "set.npz").write_bytes(b"")
    with pytest.raises(DataError, match="cannot be read as NPZ"):
        partition_source(tmp_path / "set.npz", tmp_path / "out")


def test_a_png_is_what_was_given() -> None:
    pixels = RNG.integers(0, 256, (4, 4), dtype=np.uint8)
    np.testing.assert_array_equal(read_image(0, encoded(pixels))[..., 0], pixels)
