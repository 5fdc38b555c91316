"""``dataworth generated`` from files to files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dataworth as dw
from dataworth.data.images import read_image
from tests.cli.conftest import Outcome, Run

N, M = 40, 12


@pytest.fixture
def train(tmp_path: Path) -> Path:
    """Vectors by three owners, the first half of which the model really saw."""
    path = tmp_path / "train.parquet"
    x = _vectors()
    pq.write_table(
        pa.table(
            {
                "name": [f"item-{i}" for i in range(N)],
                "who": [f"owner-{i % 3}" for i in range(N)],
                "kind": ["even" if i % 2 == 0 else "odd" for i in range(N)],
                "x": x.tolist(),
                "seen": np.arange(N) < N // 2,
            }
        ),
        path,
    )
    return path


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Vectors near those of the items that the model saw."""
    path = tmp_path / "made.parquet"
    pq.write_table(pa.table({"x": _made().tolist()}), path)
    return path


@pytest.fixture
def generated(run: Run, train: Path, made: Path) -> Any:
    """The command with the sources named; more options come behind."""

    def call(*more: Any) -> Outcome:
        return run("generated", made, "--train", train, "--column", "x", "--id", "name", *more)

    return call


def _vectors() -> Any:
    return np.random.default_rng(0).normal(size=(N, 5))


def _made() -> Any:
    return _vectors()[:M] + np.random.default_rng(1).normal(scale=0.1, size=(M, 5))


def expected(method: dw.SimilarityMatch | None = None, **parts: Any) -> dw.Values:
    """The same through the library."""
    items = dw.Items(_vectors(), ids=[f"item-{i}" for i in range(N)], **parts)
    return dw.value_generated(dw.Items(_made()), items, method=method)


# -- what comes out ------------------------------------------------------------------------------


def test_the_values_are_those_of_the_library(generated: Any, tmp_path: Path) -> None:
    out = tmp_path / "credit.parquet"
    done = generated("--k", 3, "--out", out)
    assert (done.code, done.err) == (0, "")
    wanted = expected(dw.SimilarityMatch(k=3))
    saved = dw.Values.load(out)
    np.testing.assert_array_equal(saved.values, wanted.values)
    assert saved.method == wanted.method
    assert saved.attributions is not None
    assert wanted.attributions is not None
    np.testing.assert_array_equal(saved.attributions.share, wanted.attributions.share)
    assert f"values written to {out}" in done.out
    assert "not what they would be without" in done.out


@pytest.mark.parametrize(
    ("options", "method"),
    [
        ([], dw.SimilarityMatch()),
        (["--metric", "euclidean", "--temperature", "0.3"], dw.SimilarityMatch(metric="euclidean", temperature=0.3)),
        (
            ["--k", "2", "--recall", "hnsw", "--links", "8", "--depth-build", "50", "--depth", "40", "--floor", "0.5"],
            dw.SimilarityMatch(k=2, recall=dw.HNSW(links=8, depth_build=50, depth=40, floor=0.5)),
        ),
    ],
)
def test_options_set_the_method(generated: Any, tmp_path: Path, options: list[str], method: dw.SimilarityMatch) -> None:
    out = tmp_path / "credit.parquet"
    assert generated(*options, "--out", out).code == 0
    wanted, saved = expected(method), dw.Values.load(out)
    assert saved.method == wanted.method
    np.testing.assert_array_equal(saved.values, wanted.values)


def test_every_setting_of_an_index_has_an_option() -> None:
    from dataclasses import fields

    import typer.main

    from dataworth.cli.app import app

    command: Any = typer.main.get_command(app)
    options = {name for parameter in command.commands["generated"].params for name in parameter.opts}
    settings = {field.name for record in (dw.IVFPQ, dw.HNSW, dw.SimilarityMatch) for field in fields(record)}
    assert {f"--{name.replace('_', '-')}" for name in settings} <= options


def test_an_index_that_may_miss_says_what_it_found(generated: Any) -> None:
    done = generated("--k", 3, "--recall", "hnsw")
    assert "What the approximate index found of the exactly nearest" in done.out
    check = json.loads(generated("--k", 3, "--recall", "hnsw", "--json").out)["recall_check"]
    assert check[0]["recall@k"] == 1.0
    assert check[0]["sample"] == M


def test_owners_and_names_are_told(generated: Any) -> None:
    done = generated("--owner", "who")
    wanted = expected(owners=[f"owner-{i % 3}" for i in range(N)])
    assert done.out.startswith(f"{N} training items by {wanted.method}, {M} generated items\n")
    assert f"{wanted.highest(1).columns['id'][0]} " in done.out
    assert "Values summed by owner" in done.out
    assert "owner-2" in done.out
    assert "values not kept" in done.out


def test_many_owners_are_told_in_json_alone(run: Run, made: Path, tmp_path: Path) -> None:
    file = tmp_path / "owned.npz"
    np.savez(file, x=_vectors(), owners=[f"{i:02}" for i in range(N)])
    text = run("generated", made, "--train", file, "--k", 2)
    assert "the first 20 of 40" in text.out
    assert len(json.loads(run("generated", made, "--train", file, "--k", 2, "--json").out)["owners"]) == N


def test_json_is_one_object_and_nothing_else(generated: Any, tmp_path: Path) -> None:
    out = tmp_path / "credit.parquet"
    done = generated("--owner", "who", "--out", out, "--json")
    assert (done.code, done.err) == (0, "")
    answer = json.loads(done.out)
    wanted = expected(owners=[f"owner-{i % 3}" for i in range(N)])
    assert (answer["method"], answer["train_items"], answer["generated_items"]) == (wanted.method, N, M)
    assert answer["skipped"] == {"train": [], "generated": []}
    assert [row["value"] for row in answer["highest"]] == sorted(wanted.values)[::-1][:5]
    assert sum(owner["sum of values"] for owner in answer["owners"]) == pytest.approx(M)
    assert (answer["recall_check"], answer["held_out_test"]) == ([], [])
    assert (answer["values"], answer["report"], answer["index"]) == (str(out), None, None)


@pytest.mark.parametrize("ending", [".parquet", ".json"])
def test_attributions_are_written(generated: Any, tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"who{ending}"
    assert generated("--k", 2, "--owner", "who", "--attributions", file).code == 0
    wanted = expected(dw.SimilarityMatch(k=2)).attributions
    assert wanted is not None
    if ending == ".json":
        first = json.loads(file.read_text())["generated"][0]
        names = [one["id"] for one in first["contributors"]]
        assert names == list(wanted.of_generated(0).columns["id"])
    else:
        table = pq.read_table(file)
        assert table.column_names == ["generated", "rank", "id", "owner", "distance", "share"]
        assert table.num_rows == 2 * M


@pytest.mark.parametrize("how", ["column", "file"])
def test_items_that_the_model_saw_are_told_apart(generated: Any, tmp_path: Path, how: str) -> None:
    ids = tmp_path / "seen.txt"
    ids.write_text("".join(f"item-{i}\n" for i in range(N // 2)))
    out = tmp_path / "credit.parquet"
    done = generated("--k", 1, "--trained", "seen" if how == "column" else ids, "--out", out)
    assert (done.code, done.err) == (0, "")
    test = dw.held_out_test(expected(dw.SimilarityMatch(k=1)), np.arange(N) < N // 2)
    assert test.title in done.out
    kept = {piece.name: piece for piece in dw.Values.load(out).evidence}
    assert kept["held-out-test"].columns == test.columns  # type: ignore[union-attr]
    assert "nearest-trained" in kept


def test_numbered_items_are_named_by_numbers(run: Run, made: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "train.npy", _vectors())
    ids = tmp_path / "seen.txt"
    ids.write_text("\ufeff" + "\n".join(map(str, range(N // 2))) + "\n\n", encoding="utf-8")
    asked = ["generated", made, "--train", tmp_path / "train.npy", "--k", 1, "--trained"]
    assert json.loads(run(*asked, ids, "--json").out)["held_out_test"][0]["items trained on"] == N // 2
    ids.write_text("one\ntwo\n")
    refused(run(*asked, ids), "called by numbers")


def test_the_report_is_written_with_its_evidence(generated: Any, tmp_path: Path) -> None:
    out, page = tmp_path / "credit.parquet", tmp_path / "report.html"
    done = generated("--k", 3, "--label", "kind", "--trained", "seen", "--out", out, "--report", page)
    assert (done.code, done.err) == (0, "")
    assert f"report written to {page}" in done.out
    names = {piece.name for piece in dw.Values.load(out).evidence}
    assert {"evenness", "highest-items", "held-out-test", "credit-by-group", "sensitivity", "map"} <= names
    assert page.read_text(encoding="utf-8").lstrip().lower().startswith("<!doctype html>")


# -- pictures ------------------------------------------------------------------------------------


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the packaged model, the four corners of a picture."""

    def embed(pictures: list[Any], model: Any, **_: Any) -> Any:
        assert model == "efficientnet-lite0"
        read = [read_image(at, picture)[::8, ::8].reshape(-1) for at, picture in enumerate(pictures)]
        return np.array(read, dtype=np.float64) + 1.0

    monkeypatch.setattr("dataworth.valuation.items.embed_images", embed)


def pictures(folder: Path, pixels: Any) -> Path:
    """A folder of small pictures in two sub-folders."""
    from PIL import Image

    for number, picture in enumerate(pixels):
        (folder / f"group-{number % 2}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"group-{number % 2}" / f"{number:02}.png")
    return folder


@pytest.fixture
def gallery(tmp_path: Path, tiny: None) -> tuple[Path, Path]:
    """Folders of twelve training pictures and of four slightly noisy copies of the first of them."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(8, 248, (12, 16, 16, 3), dtype=np.uint8)
    noise = rng.integers(0, 8, (4, 16, 16, 3), dtype=np.uint8)
    return pictures(tmp_path / "made", pixels[:4] + noise), pictures(tmp_path / "train", pixels)


def test_folders_of_pictures(run: Run, gallery: tuple[Path, Path], tmp_path: Path) -> None:
    made, train = gallery
    out, page = tmp_path / "credit.parquet", tmp_path / "report.html"
    groups = ["--owner", "folder", "--label", "folder", "--generated-label", "folder"]
    done = run("generated", made, "--train", train, "--k", 1, *groups, "--out", out, "--report", page, "--show-rows")
    assert (done.code, done.err) == (0, "")
    saved = dw.Values.load(out)
    assert set(saved.highest(4).columns["id"]) == {f"group-{i % 2}/{i:02}.png" for i in range(4)}
    assert set(saved.by_owner().columns["owner"]) == {"group-0", "group-1"}
    names = {piece.name for piece in saved.evidence}
    assert {"same-class", "train-items", "generated-items"} <= names
    assert run("generated", made, "--train", train, "--k", 2, "--report", page, "--out", out).code == 0
    assert "train-items" not in {piece.name for piece in dw.Values.load(out).evidence}


def test_pictures_are_compared_again_and_judged(run: Run, gallery: tuple[Path, Path], tmp_path: Path) -> None:
    made, train = gallery
    out = tmp_path / "credit.parquet"
    more = ["--rerank", "pixels", "--candidates", 6, "--quality", "entropy", "--temperature", 0.5]
    assert run("generated", made, "--train", train, "--k", 2, *more, "--out", out).code == 0
    saved = dw.Values.load(out)
    assert "rerank='pixels', quality='entropy', temperature=0.5" in saved.method
    assert saved.attributions is not None
    assert (saved.attributions.quality < 1).all()


def test_what_cannot_be_read_stops_the_run_or_is_left_out_and_named(
    run: Run, gallery: tuple[Path, Path], tmp_path: Path
) -> None:
    made, train = gallery
    (train / "group-0" / "empty.png").touch()
    (train / "group-0" / "text.png").write_text("no picture")
    for number in range(6):
        (made / f"broken-{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    asked = ["generated", made, "--train", train, "--k", 2]
    refused(run(*asked, "--out", tmp_path / "credit.parquet"), "empty.png", "text.png", "skip")
    assert not (tmp_path / "credit.parquet").exists()
    done = run(*asked, "--skip-bad")
    assert (done.code, done.err) == (0, "")
    assert "left out of train, since they cannot be used: 2 ('group-0/empty.png', 'group-0/text.png')" in done.out
    assert "left out of generated, since they cannot be used: 6 ('broken-0.png'," in done.out
    assert "'broken-5.png'" not in done.out
    assert json.loads(run(*asked, "--skip-bad", "--json").out)["skipped"]["generated"][5] == "broken-5.png"


# -- batches -------------------------------------------------------------------------------------


def test_batches_add_up_to_one_run(run: Run, generated: Any, train: Path, made: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.parquet", tmp_path / "second.parquet"
    whole = pq.read_table(made)
    pq.write_table(whole[:5], first)
    pq.write_table(whole[5:], second)
    index, out, once = tmp_path / "credit.npz", tmp_path / "credit.parquet", tmp_path / "once.parquet"
    start = run("generated", first, "--train", train, "--column", "x", "--id", "name", "--k", 3, "--index", index)
    assert (start.code, start.err) == (0, "")
    assert f"index written to {index}" in start.out
    follow = run("generated", second, "--index", index, "--update", "--out", out)
    assert (follow.code, follow.err) == (0, "")
    assert generated("--k", 3, "--out", once).code == 0
    together, alone = dw.Values.load(out), dw.Values.load(once)
    np.testing.assert_array_equal(together.values, alone.values)
    assert together.attributions is not None
    assert together.attributions.generated_ids[[0, 5]].tolist() == ["first.parquet/0", "second.parquet/0"]


def test_training_items_leave(run: Run, generated: Any, tmp_path: Path) -> None:
    index, out, ids = tmp_path / "credit.npz", tmp_path / "credit.parquet", tmp_path / "gone.txt"
    assert generated("--k", 3, "--index", index).code == 0
    ids.write_text("item-0\nitem-7\n")
    done = run("generated", "--index", index, "--update", "--remove-train", ids, "--out", out)
    assert (done.code, done.err) == (0, "")
    stay = [i for i in range(N) if i not in (0, 7)]
    left = dw.Items(_vectors()[stay], ids=[f"item-{i}" for i in stay])
    wanted = dw.value_generated(dw.Items(_made()), left, method=dw.SimilarityMatch(k=3))
    np.testing.assert_array_equal(dw.Values.load(out).values, wanted.values)
    refused(run("generated", "--index", index, "--update", "--remove-train", ids), "2 of the 2 ids")


def test_an_index_is_valued_again_and_reported(run: Run, generated: Any, train: Path, tmp_path: Path) -> None:
    index, out, again = tmp_path / "credit.npz", tmp_path / "credit.parquet", tmp_path / "again.parquet"
    assert generated("--owner", "who", "--k", 3, "--index", index, "--out", out).code == 0
    before = index.read_bytes()
    more = ["--trained", "seen", "--train", train, "--column", "x", "--id", "name", "--report", tmp_path / "page.html"]
    done = run("generated", "--index", index, "--update", "--out", again, *more)
    assert (done.code, done.err) == (0, "")
    assert index.read_bytes() == before
    one, two = dw.Values.load(out), dw.Values.load(again)
    np.testing.assert_array_equal(one.values, two.values)
    np.testing.assert_array_equal(one.owners, two.owners)
    assert {"held-out-test", "map"} <= {piece.name for piece in two.evidence}


def test_batches_of_pictures_may_have_the_same_names(run: Run, gallery: tuple[Path, Path], tmp_path: Path) -> None:
    made, train = gallery
    index = tmp_path / "credit.npz"
    assert run("generated", made, "--train", train, "--k", 2, "--index", index).code == 0
    tomorrow = made.rename(tmp_path / "tomorrow")
    done = run("generated", tomorrow, "--index", index, "--update", "--json")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["generated_items"] == 8
    refused(run("generated", tomorrow, "--index", index, "--update"), "4 of 4", "id that the index holds")


def test_pictures_that_are_compared_again_come_in_batches(run: Run, gallery: tuple[Path, Path], tmp_path: Path) -> None:
    made, train = gallery
    index, ids = tmp_path / "credit.npz", tmp_path / "gone.txt"
    assert run("generated", made, "--train", train, "--k", 2, "--rerank", "pixels", "--index", index).code == 0
    follow = ["generated", made.rename(tmp_path / "tomorrow"), "--index", index, "--update"]
    refused(run(*follow), "give train=")
    assert json.loads(run(*follow, "--train", train, "--json").out)["generated_items"] == 8
    ids.write_text("group-0/00.png\n")
    refused(run(*follow, "--train", train, "--remove-train", ids), "without their images")


def test_items_with_names_keep_them(run: Run, train: Path, tmp_path: Path) -> None:
    made = tmp_path / "named.parquet"
    pq.write_table(pa.table({"name": [f"new-{i}" for i in range(M)], "x": _made().tolist()}), made)
    out = tmp_path / "credit.parquet"
    asked = ["--train", train, "--column", "x", "--id", "name", "--index", tmp_path / "credit.npz"]
    assert run("generated", made, *asked, "--out", out).code == 0
    saved = dw.Values.load(out).attributions
    assert saved is not None
    assert saved.generated_ids[0] == "new-0"


# -- what is refused -----------------------------------------------------------------------------


def refused(done: Outcome, *words: str) -> None:
    assert done.code == 2, done.err
    assert done.out == ""
    assert done.err.startswith("dataworth: ")
    assert len(done.err.splitlines()) == 1
    for word in words:
        assert word in done.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--lists", 10], "--lists is not used by --recall exact, but by ivfpq"),
        (["--recall", "hnsw", "--bits", 8], "--bits is not used by --recall hnsw, but by ivfpq"),
        (["--recall", "ivfpq", "--depth-build", 8], "--depth-build is not used by --recall ivfpq, but by hnsw"),
        (["--floor", 0.5], "--floor is not used by --recall exact, but by ivfpq and hnsw"),
        (["--candidates", 50], "--candidates is how many --rerank measures"),
        (["--k", 0], "1 or more"),
        (["--temperature", 0], "above 0"),
        (["--temperature", "nan"], "above 0"),
        (["--recall", "ivfpq", "--lists", 4, "--probes", 5], "at most lists"),
        (["--recall", "hnsw", "--floor", 2], "from 0 to 1"),
        (["--rerank", "ssim", "--candidates", 3], "10, or more"),
    ],
)
def test_wrong_settings_are_told_before_any_file_is_read(run: Run, options: list[Any], words: str) -> None:
    refused(run("generated", "nothing", "--train", "nothing", *options), words)


@pytest.mark.parametrize(
    ("option", "name", "words"),
    [
        ("--out", "nowhere/credit.parquet", "does not exist"),
        ("--out", "credit.csv", "ends in .parquet"),
        ("--attributions", "who.csv", "ends in .parquet or .pq or .json"),
        ("--report", "report.pdf", "ends in .html"),
        ("--index", "credit.parquet", "ends in .npz"),
        ("--index", "nowhere/credit.npz", "does not exist"),
        ("--index", "there.npz", "--update"),
    ],
)
def test_outputs_are_checked_before_anything_is_read(
    run: Run, tmp_path: Path, option: str, name: str, words: str
) -> None:
    (tmp_path / "there.npz").touch()
    refused(run("generated", "nothing", "--train", "nothing", option, tmp_path / name), option, words)


def test_options_that_do_not_go_together(run: Run, tmp_path: Path) -> None:
    sources = ["nothing", "--train", "nothing"]
    refused(run("generated", *sources, "--show-rows"), "--show-rows", "--report")
    refused(run("generated", *sources, "--update"), "--index")
    refused(run("generated", *sources, "--remove-train", "ids.txt"), "--update")
    refused(run("generated", "nothing"), "--train")
    refused(run("generated", "--train", "nothing"), "GENERATED")
    update = ["nothing", "--index", tmp_path / "credit.npz", "--update"]
    refused(run("generated", *update, "--k", 3, "--metric", "cosine", "--embed", "minilm"), "--embed, --k, --metric")
    refused(run("generated", *update, "--show-rows", "--report", tmp_path / "page.html"), "--show-rows", "--update")


@pytest.mark.parametrize(
    ("module", "options", "words"),
    [
        ("faiss", ["--recall", "hnsw"], "pip install 'dataworth[generated]'"),
        ("pypiqe", ["--quality", "piqe"], "pip install 'dataworth[quality]'"),
    ],
)
def test_what_is_not_installed_is_told_first(
    run: Run, monkeypatch: pytest.MonkeyPatch, module: str, options: list[str], words: str
) -> None:
    monkeypatch.setattr("dataworth.cli.matching.find_spec", lambda name: None if name == module else name)
    refused(run("generated", "nothing", "--train", "nothing", *options), words)


@pytest.mark.parametrize("missing", ["made", "train"])
def test_a_missing_source(run: Run, train: Path, made: Path, missing: str) -> None:
    sources = {"made": made, "train": train, missing: "nothing.parquet"}
    done = run("generated", sources["made"], "--train", sources["train"], "--column", "x", "--id", "name")
    refused(done, "there is no file 'nothing.parquet'")


def test_a_missing_index(run: Run, made: Path, tmp_path: Path) -> None:
    refused(run("generated", made, "--index", tmp_path / "credit.npz", "--update"), "there is no file")
    (tmp_path / "credit.npz").write_bytes(b"PK and then nothing")
    refused(run("generated", made, "--index", tmp_path / "credit.npz", "--update"), "damaged")


def test_too_few_training_items(generated: Any) -> None:
    refused(generated("--k", N + 1), f"--k {N + 1}", f"there are {N}")


def test_too_few_for_an_index_are_told_before_anything_is_embedded(
    run: Run, gallery: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("dataworth.valuation.items.embed_images")
    refused(run("generated", gallery[0], "--train", gallery[1], "--k", 1, "--recall", "ivfpq"), "learns from")


def test_texts_are_not_matched_with_pictures(run: Run, gallery: tuple[Path, Path], tmp_path: Path) -> None:
    texts = tmp_path / "texts.parquet"
    pq.write_table(pa.table({"text": ["one", "two"]}), texts)
    refused(run("generated", texts, "--train", gallery[1], "--k", 1), "texts", "images")


def test_who_was_trained_on_must_be_known(generated: Any, tmp_path: Path) -> None:
    refused(generated("--trained", "nothing"), "'nothing' is neither")
    refused(generated("--trained", "who"), "'who'", "true or false")
    ids = tmp_path / "ids.txt"
    ids.write_text("item-1\nstranger\n")
    done = generated("--trained", ids)
    refused(done, "1 of the 2 ids")
    assert "stranger" not in done.err
    ids.write_text("item-1\n")
    refused(generated("--trained", ids), "saw 1 of 40")
    ids.write_text("\n\n")
    refused(generated("--trained", ids), "holds no ids")
    ids.write_bytes(b"\xff\xfe\x00")
    refused(generated("--trained", ids), "UTF-8")


def test_vectors_cannot_be_embedded(generated: Any) -> None:
    refused(generated("--embed", "minilm"), "vectors", "minilm")


def test_one_file_for_two_things(generated: Any, tmp_path: Path) -> None:
    file = tmp_path / "credit.parquet"
    refused(generated("--out", file, "--attributions", tmp_path / "." / "credit.parquet"), "both name")


def test_folders_in_one_another(run: Run, gallery: tuple[Path, Path]) -> None:
    _, train = gallery
    for made, other in ((train / "group-0", train), (train, train), (train.parent, train)):
        refused(run("generated", made, "--train", other, "--k", 1), "meet themselves")


def test_nothing_is_written_when_a_run_fails(generated: Any, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    names = {"--out": "c.parquet", "--report": "r.html", "--attributions": "a.json", "--index": "i.npz"}
    outputs = [part for option, name in names.items() for part in (option, tmp_path / name)]
    assert generated("--k", N + 1, *outputs).code == 2
    assert set(tmp_path.iterdir()) == before


def test_what_took_hours_is_kept_when_the_report_fails(
    generated: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> NoReturn:
        raise RuntimeError("boom")

    monkeypatch.setattr(dw, "gather_matches", fail)
    out, index = tmp_path / "credit.parquet", tmp_path / "credit.npz"
    assert generated("--out", out, "--index", index, "--report", tmp_path / "page.html").code == 1
    assert len(dw.Values.load(out)) == N
    assert len(dw.MatchIndex.load(index)) == M


def test_nothing_that_is_read_is_written_over(run: Run, train: Path, made: Path, generated: Any) -> None:
    before = train.read_bytes()
    done = generated("--k", 3, "--out", train)
    assert done.code == 2
    assert "would replace" in done.err
    assert train.read_bytes() == before
    assert "--attributions" in generated("--k", 3, "--attributions", made).err


def test_ids_beyond_what_floats_tell_apart(run: Run, tmp_path: Path, made: Path) -> None:
    ids = [2**63, 2**63 + 1, 2**63 + 2, 5, 6, 7]
    path, seen, gone = tmp_path / "large.parquet", tmp_path / "seen.txt", tmp_path / "gone.txt"
    pq.write_table(pa.table({"id": pa.array(ids, pa.uint64()), "x": _vectors()[:6].tolist()}), path)
    options = ["--train", path, "--column", "x", "--id", "id", "--k", 2]
    seen.write_text(f"{2**63 + 1}\n5\n")
    done = run("generated", made, *options, "--trained", seen, "--json")
    assert done.code == 0, done.err
    assert '"items trained on": 2' in json.dumps(json.loads(done.out))
    index = tmp_path / "index.npz"
    assert run("generated", made, *options, "--index", index).code == 0
    gone.write_text(f"{2**63 + 1}\n5\n999\n888\n")
    done = run("generated", "--index", index, "--update", "--remove-train", gone)
    assert done.code == 2
    assert "2 of the 4 ids" in done.err
