"""A release whose values are files: what it tells whom, what it refuses, and what it hands over."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dataworth as dw
from dataworth.records.release import NOT_COVERED
from dataworth.records.stored import encode_rows, part_name, read_part
from dataworth.records.stored_release import ROWS, StoredRelease, note_rows
from tests.records.test_release import made

OWNERS = ["bob", "ann", "bob", "zoë", "ann", "bob", 'a "quoted", name', "../../x"]


def stored(folder: Path, owners: Any = OWNERS, cuts: tuple[int, ...] = (3, 3, 5), **more: Any) -> StoredRelease:
    """The release of :func:`made`, its values in files that end at ``cuts``."""
    whole = made(owners, **more)
    (folder / ROWS).mkdir(parents=True)
    columns = {"id": "ids", "owner": "owners", "value": "values"}
    columns |= {name: name for name in ("band", "vote", "proxy", "reason")}
    stops = [*cuts, len(owners)]
    for number, (start, stop) in enumerate(zip([0, *stops], stops, strict=False)):
        some = {name: whole.rows[ours][start:stop] for name, ours in columns.items()}
        (folder / ROWS / part_name(number)).write_bytes(encode_rows({"part": number, "key": "k"}, some))
    note_rows(folder, whole, len(stops), "k")
    whole.write_public(folder)
    return StoredRelease.open(folder)


@pytest.mark.parametrize("owners", [OWNERS, [3, 1, 3, 2, 1, 3, 7, -8]])
@pytest.mark.parametrize(
    "name",
    [
        "bob",
        "ann",
        "zoë",
        "nobody",
        "",
        "ann\0",
        "a",
        3,
        "3",
        -8,
        3.5,
        10**30,
        True,
        None,
        "../../x",
        pytest.param("9" * 5000, id="digits"),
        pytest.param(10**5000, id="large"),
        "-" + "9" * 19,
    ],
)
def test_each_owner_is_told_what_a_release_in_memory_tells(tmp_path: Path, owners: Any, name: Any) -> None:
    one, other = stored(tmp_path / "out", owners).for_owner(name), made(owners).for_owner(name)
    assert one.to_json() == other.to_json()
    assert one.ids.dtype == other.ids.dtype
    for part in ("values", "band", "vote", "proxy"):
        assert getattr(one, part).tobytes() == getattr(other, part).tobytes()


def test_all_files_are_read_for_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who is not in the data costs what an owner does."""
    seen: list[str] = []

    def read(path: Path) -> Any:
        seen.append(path.name)
        return read_part(path)

    monkeypatch.setattr("dataworth.records.stored_release.read_part", read)
    release = stored(tmp_path / "out")
    for name in ("bob", "nobody", "", None, 5):
        seen.clear()
        release.for_owner(name)  # type: ignore[arg-type]
        assert seen == [part_name(number) for number in range(4)]


def test_what_it_shows_is_what_anybody_may_see(tmp_path: Path) -> None:
    release = stored(tmp_path / "out")
    head = made()
    assert (release.guarantee, release.stamp, release.words) == (head.guarantee, head.stamp, head.words)
    assert repr(release) == f"Stored{head!r}"
    assert release.head.manifest() == head.manifest()
    assert stored(tmp_path / "seeded", private=False).stamp == "NOT PRIVATE"


@pytest.mark.parametrize("asked", ["publish", "by_owner", "ranking", "payout"])
def test_what_is_not_covered_is_refused_with_the_reason(tmp_path: Path, asked: str) -> None:
    with pytest.raises(dw.MethodError, match="not covered by joint differential privacy: each owner's values"):
        getattr(stored(tmp_path / "out"), asked)()


@pytest.mark.parametrize("owners", [OWNERS, [3, 1, 3, 2, 1, 3, 7, -8]])
@pytest.mark.parametrize("cuts", [(), (3, 3, 5), (1, 2, 3, 4, 5, 6, 7)])
def test_it_hands_over_what_a_release_in_memory_does(tmp_path: Path, owners: Any, cuts: tuple[int, ...]) -> None:
    def handed(folder: Path) -> dict[str, str]:
        with (folder / "deliver.csv").open(encoding="utf-8", newline="") as lines:
            files = {line["owner"]: line["file"] for line in csv.DictReader(lines)}
        assert {path.name for path in (folder / "owners").iterdir()} == set(files.values())
        assert all(len(name) == len("0" * 32 + ".json") for name in files.values())
        assert sorted(path.name for path in folder.iterdir()) == [
            "counts.csv", "deliver.csv", "manifest.json", "owners",
        ]  # fmt: skip
        public = {name: (folder / name).read_text("utf-8") for name in ("counts.csv", "manifest.json")}
        return public | {owner: (folder / "owners" / file).read_text("utf-8") for owner, file in files.items()}

    one = handed(stored(tmp_path / "out", owners, cuts).deliver(tmp_path / "one"))
    assert one == handed(made(owners).save(tmp_path / "other"))
    assert all(json.loads(one[str(owner)])["not_covered"] == NOT_COVERED for owner in set(owners))


def test_handing_over_is_whole_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = stored(tmp_path / "out")
    (tmp_path / "there").mkdir()
    with pytest.raises(dw.InputError, match="exists already"):
        release.deliver(tmp_path / "there")
    (tmp_path / "out" / ROWS / part_name(3)).unlink()
    with pytest.raises(dw.DataError, match="there is no file"):
        release.deliver(tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "there"]


def test_damage_is_named(tmp_path: Path) -> None:
    release = stored(tmp_path / "out")
    rows = tmp_path / "out" / ROWS
    first, second = ((rows / part_name(number)).read_bytes() for number in (0, 2))
    for spoiled in (second, first[:50], b""):
        (rows / part_name(0)).write_bytes(spoiled)
        with pytest.raises(dw.DataError, match=r"part-00000\.parquet' is (damaged|a file of another release)"):
            release.for_owner("bob")
    (rows / part_name(0)).unlink()
    with pytest.raises(dw.DataError, match="lacks some of its files"):
        StoredRelease.open(tmp_path / "out")
    (rows / part_name(0)).write_bytes(first)
    about = (rows / "_rows.json").read_text()
    for text in (about[:30], "{}", "[]", about.replace('"parts": 4', '"parts": 3')):
        (rows / "_rows.json").write_text(text)
        with pytest.raises(dw.DataError, match=r"_rows\.json' is damaged"):
            StoredRelease.open(tmp_path / "out")
    (rows / "_rows.json").unlink()
    with pytest.raises(dw.DataError, match="holds no finished values"):
        StoredRelease.open(tmp_path / "out")
    with pytest.raises(dw.DataError, match="holds no release"):
        StoredRelease.open(tmp_path / "nothing")


def test_values_of_other_counts_are_refused(tmp_path: Path) -> None:
    release = stored(tmp_path / "out")
    made(noisy=np.array([[1, 2]], dtype=np.int64)).write_public(tmp_path / "out")
    with pytest.raises(dw.DataError, match="not those of its noisy counts"):
        StoredRelease.open(release.folder)


def test_no_more_than_a_few_parts_are_in_memory(tmp_path: Path) -> None:
    """Neither to answer an owner nor to hand all over: as much for eight times the rows."""
    import tracemalloc

    peaks = []
    for parts in (4, 32):
        n = 500 * parts
        owners = [f"owner {at}" for at in range(n // 50)] * 50
        release = stored(tmp_path / str(parts), owners, tuple(range(500, n, 500)))
        tracemalloc.start()
        release.for_owner("owner 3")
        release.deliver(tmp_path / f"{parts} handed")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0]
    assert os.path.isdir(tmp_path / "32 handed" / "owners")


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 7])
def test_answers_are_the_same_text_some_rows_at_a_time(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = made(["bob"] * rows + ["ann"]).for_owner("bob")
    monkeypatch.setattr("dataworth.records.release._AT_A_TIME", 3)
    texts = list(answer.json_texts())
    table = answer.table()
    told = [dict(zip(table.columns, row, strict=True)) for row in table.rows()]
    whole = {"guarantee": list(answer.guarantees), "not_covered": NOT_COVERED, "rows": told}
    assert len(answer) == rows
    assert "".join(texts) == answer.to_json() == json.dumps(whole, indent=1)
    assert len(texts) == 2 + -(-rows // 3)


def test_work_that_was_left_goes_when_it_is_opened(tmp_path: Path) -> None:
    """Exact counts and links, by their name or by that of what is being removed."""
    release = stored(tmp_path / "out")
    whole = sorted(tmp_path.rglob("*"))
    for name in ("_work", ".work.abc.part", "_work/owners-4"):
        (tmp_path / "out" / name).mkdir()
        (tmp_path / "out" / name / "links-00000.npz").write_bytes(b"secret")
    (tmp_path / "out" / ROWS / ".part-00000.parquet.1.part").write_bytes(b"secret")
    (tmp_path / "out" / ".lock.part").touch()
    assert StoredRelease.open(release.folder).head.manifest() == release.head.manifest()
    assert sorted(tmp_path.rglob("*")) == whole
