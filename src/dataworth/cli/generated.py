"""``dataworth generated``: what each training item is worth to what a generative model made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataworth.cli.items import Columns, read_ids
from dataworth.cli.matching import WORDS, Quality, Recall, Rerank, choose_match
from dataworth.cli.methods import told_in_options
from dataworth.cli.output import check_file, check_report, show, show_json
from dataworth.cli.parts import ENGINE, MEMORY, WHERE, Parts
from dataworth.cli.reading import Embed
from dataworth.cli.streamed_credit import StreamedCredit
from dataworth.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dataworth.records import Items, Table, Values
    from dataworth.valuation.match_index import MatchIndex
    from dataworth.valuation.methods import SimilarityMatch

SHOWN = 5
SHOWN_OWNERS = 20
TOLD = ("recall-check", "held-out-test", "nearest-trained")  # tables that are printed if they are there
CAVEAT = "A value says what generated items resemble, not what they would be without the training item."


class Metric(StrEnum):
    """How far apart two vectors are."""

    COSINE = "cosine"
    EUCLIDEAN = "euclidean"


def _data(*names: str, help: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel="Data")


def _match(*names: str, help: str, metavar: str | None = None, min: int | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, min=min, rich_help_panel="Matching")


def _recall(*names: str, help: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel="Approximate recall")


def _stream(*names: str, help: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel="Batches")


def _output(*names: str, help: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel="Output")


@told_in_options(WORDS)
def generated(
    *,
    made: Annotated[
        Path | None,
        typer.Argument(
            metavar="GENERATED",
            help="What the model made: a folder of images, or a Parquet, CSV, Arrow or NPZ file of images, texts or "
            "vectors.",
        ),
    ] = None,
    train: Annotated[
        Path | None, _data("--train", metavar="SOURCE", help="The items to value, which it was trained on, likewise.")
    ] = None,
    column: Annotated[
        str | None,
        _data("--column", metavar="COLUMN", help="Images, texts or vectors, in a table. Default: the only one left."),
    ] = None,
    id_: Annotated[
        str | None, _data("--id", metavar="COLUMN", help="Unique names. Default: numbers; in a folder, paths.")
    ] = None,
    owner: Annotated[
        str | None,
        _data("--owner", metavar="COLUMN", help="Whose each training item is. In a folder of images: folder."),
    ] = None,
    label: Annotated[
        str | None,
        _data("--label", metavar="COLUMN", help="The class of each training item. In a folder of images: folder."),
    ] = None,
    made_column: Annotated[
        str | None, _data("--generated-column", metavar="COLUMN", help="--column of GENERATED, if it is another one.")
    ] = None,
    made_label: Annotated[
        str | None,
        _data("--generated-label", metavar="COLUMN", help="The class that each generated item was made for."),
    ] = None,
    embed: Annotated[
        Embed | None,
        _data(
            "--embed",
            metavar="MODEL",
            help="Makes vectors of images (default efficientnet-lite0) or of texts (default minilm).",
        ),
    ] = None,
    skip_bad: Annotated[
        bool, _data("--skip-bad", help="Leave out what cannot be read, and say what, instead of stopping.")
    ] = False,
    trained: Annotated[
        str | None,
        _data(
            "--trained",
            metavar="FILE|COLUMN",
            help="Which items of --train the model really saw, as ids line by line or as a column of true and false; "
            "the others were held out. Do values tell them apart?",
        ),
    ] = None,
    k: Annotated[
        int | None, _match("--k", help="How many training items share in each generated item; default 10.")
    ] = None,
    metric: Annotated[
        Metric | None, _match("--metric", metavar="NAME", help="Of vectors: cosine (default) or euclidean.")
    ] = None,
    temperature: Annotated[
        float | None,
        _match("--temperature", help="The smaller, the more goes to the nearest; in the unit of distances, default 1."),
    ] = None,
    quality: Annotated[
        Quality | None,
        _match("--quality", metavar="NAME", help=f"What an image is worth: {', '.join(Quality)}. Default: 1 each."),
    ] = None,
    rerank: Annotated[
        Rerank | None,
        _match("--rerank", metavar="NAME", help=f"Compare the nearest images again: {', '.join(Rerank)}."),
    ] = None,
    candidates: Annotated[
        int | None, _match("--candidates", help="How many to compare again; default 50, or 5 k if that is more.")
    ] = None,
    threads: Annotated[
        int | None, _match("--threads", metavar="N", help="Threads to use. Default: all.", min=1)
    ] = None,
    recall: Annotated[
        Recall | None,
        _recall(
            "--recall", metavar="NAME", help="exact (default), or an index of FAISS that may miss some: ivfpq or hnsw."
        ),
    ] = None,
    lists: Annotated[int | None, _recall("--lists", help="Lists of items; default 256 (ivfpq).")] = None,
    subvectors: Annotated[
        int | None, _recall("--subvectors", help="Parts that a vector is cut into; default 8 (ivfpq).")
    ] = None,
    bits: Annotated[int | None, _recall("--bits", help="Bits of each part, 4 to 8; default 8 (ivfpq).")] = None,
    probes: Annotated[int | None, _recall("--probes", help="Lists that are looked into; default 16 (ivfpq).")] = None,
    links: Annotated[int | None, _recall("--links", help="Links of each item; default 32 (hnsw).")] = None,
    depth_build: Annotated[
        int | None, _recall("--depth-build", help="Candidates while the graph is built; default 200 (hnsw).")
    ] = None,
    depth: Annotated[int | None, _recall("--depth", help="Candidates while it is searched; default 64 (hnsw).")] = None,
    sample: Annotated[
        int | None, _recall("--sample", help="Generated items that are searched exactly too; default 200.")
    ] = None,
    floor: Annotated[
        float | None, _recall("--floor", help="Stop if it finds less than this share of the nearest; default 0.9.")
    ] = None,
    index: Annotated[
        Path | None,
        _stream("--index", metavar="FILE", help="Keep the matches here (.npz), so that other batches can follow."),
    ] = None,
    update: Annotated[
        bool,
        _stream("--update", help="Go on with the index: match GENERATED alone, if named, and value all batches."),
    ] = False,
    remove_train: Annotated[
        Path | None,
        _stream("--remove-train", metavar="FILE", help="With --update: training items that leave, ids line by line."),
    ] = None,
    memory: Annotated[str | None, MEMORY] = None,
    engine: Annotated[str | None, ENGINE] = None,
    where: Annotated[str | None, WHERE] = None,
    out: Annotated[
        Path | None,
        _output(
            "--out",
            metavar="FILE",
            help="Write the values, with all matches, here (.parquet); for a folder of tables, a new folder.",
        ),
    ] = None,
    attributions: Annotated[
        Path | None,
        _output(
            "--attributions", metavar="FILE", help="Write who earned what of each generated item (.parquet, .json)."
        ),
    ] = None,
    report: Annotated[
        Path | None, _output("--report", metavar="FILE", help="Write a page that shows and explains them (.html).")
    ] = None,
    show_rows: Annotated[
        bool, _output("--show-rows", help="Let the report show images and texts, not only their ids.")
    ] = False,
    as_json: Annotated[bool, _output("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Value each training item by what a generative model made.

    The worth of each generated item is divided among the training items that it is most like; nothing is trained.

    Training items with vectors in a folder or pattern of Parquet or Arrow files are matched part by part and need not
    fit in memory; so is one file with --memory, --engine or --where.
    """
    approximate = {
        "lists": lists, "subvectors": subvectors, "bits": bits, "probes": probes,
        "links": links, "depth_build": depth_build, "depth": depth, "sample": sample, "floor": floor,
    }  # fmt: skip
    options = {
        "k": k,
        "metric": metric and metric.value,
        "temperature": temperature,
        "quality": quality and quality.value,
        "rerank": rerank and rerank.value,
        "candidates": candidates,
    }
    columns = Columns(column, id_, owner, label, made_column, made_label, trained, skip_bad)
    parts = _in_parts(train, memory, engine, where, out)
    if parts is not None:
        others = {
            "--embed": embed, "--trained": trained, "--skip-bad": skip_bad or None, "--index": index,
            "--update": update or None, "--remove-train": remove_train, "--attributions": attributions,
            "--report": report, "--show-rows": show_rows or None, "--rerank": rerank,
            "--recall": None if recall is Recall.EXACT else recall,
        }  # fmt: skip
        streamed = StreamedCredit(parts, columns)
        there = streamed.check(made, out, {name: given is not None for name, given in others.items()})
        rule = choose_match(recall, approximate, options)
        streamed.run(there, rule, Path(str(out)), threads=threads, as_json=as_json, caveat=CAVEAT)
        return
    _check_stream(index, update, remove_train)
    _check_outputs(out, attributions, report)
    named = Path(trained) if trained else None
    _check_inputs_stay(
        {"--out": out, "--attributions": attributions, "--report": report, "--index": index},
        {"GENERATED": made, "--train": train, "--trained": named, "--remove-train": remove_train},
    )
    if show_rows and report is None:
        raise InputError("--show-rows is about the report; give --report too, or leave it out")
    if show_rows and update:
        raise InputError("--show-rows shows images or texts, and an index keeps none; leave it out with --update")
    if update and index is not None:
        _refuse_settings({"recall": recall, "embed": embed, **options, **approximate})
        done = _update(index, made, train, columns, remove_train, threads)
    else:
        done = _run(
            made, train, columns, choose_match(recall, approximate, options), embed and embed.value, index, threads
        )
    values = done.matches.values(threads=threads)
    if out is not None:
        values.save(out)  # at once: whatever fails later, hours of work are kept
    if attributions is not None and values.attributions is not None:
        values.attributions.save(attributions)
    if report is not None or done.trained is not None:
        values = _with_evidence(values, done, report is not None, show_rows, threads)
        if out is not None:
            values.save(out)
    if report is not None:
        import dataworth as dw

        dw.write_report(values, report)
    written = {"values": out, "attributions": attributions, "report": report, "index": index}
    if as_json:
        show_json(_as_json(values, done, written))
    else:
        show(_as_text(values, done, written))


# -- what is asked -------------------------------------------------------------------------------


def _in_parts(
    train: Path | None, memory: str | None, engine: str | None, where: str | None, out: Path | None
) -> Parts | None:
    """What was said about files that are matched part by part; None where items are in memory."""
    if train is None:
        return None
    parts = Parts(train, memory, engine, where)
    if out is not None and not out.suffix:  # a folder is meant, so tables are: say first if there are none
        parts.check_there()
    return parts if parts.asked else None


def _check_stream(index: Path | None, update: bool, remove_train: Path | None) -> None:
    if index is None and update:
        raise InputError("--update adds to matches that were kept; name their file with --index")
    if remove_train is not None and not update:
        raise InputError(
            "--remove-train goes with --index and --update; in a fresh run, leave the items out of --train"
        )
    if index is not None and not update and index.exists():
        raise InputError(f"{str(index)!r} (--index) is there already; add to it with --update, or name another file")
    check_file(index, "--index", ".npz")


def _check_outputs(out: Path | None, attributions: Path | None, report: Path | None) -> None:
    check_file(out, "--out", ".parquet", ".pq")
    check_file(attributions, "--attributions", ".parquet", ".pq", ".json")
    check_report(report, "--report")
    if out is not None and attributions is not None and out.resolve() == attributions.resolve():
        raise InputError(f"--out and --attributions both name {str(out)!r}; one would replace the other")


def _check_inputs_stay(outputs: Mapping[str, Path | None], inputs: Mapping[str, Path | None]) -> None:
    """Refuse to write over what is read."""
    for option, written in outputs.items():
        for source, read in inputs.items():
            if written is not None and read is not None and written.exists() and written.resolve() == read.resolve():
                raise InputError(f"{option} would replace {str(read)!r}, which is read ({source}); name another file")


def _check_apart(made: Path, train: Path) -> None:
    """Refuse folders of which one holds the other: items would be matched with themselves."""
    one, other = made.resolve(), train.resolve()
    if made.is_dir() and train.is_dir() and (one.is_relative_to(other) or other.is_relative_to(one)):
        raise InputError(
            f"{str(made)!r} and {str(train)!r} (--train) lie in one another, so items would meet themselves; "
            "keep what was made apart from what it was made from"
        )


def _refuse_settings(options: Mapping[str, object | None]) -> None:
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None]
    if given:
        raise InputError(f"with --update all batches are matched as the first one was; leave out {', '.join(given)}")


# -- what is done --------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Done:
    """What was matched.

    Args:
        matches: The matches of all batches.
        train: The training items that are valued.
        made: The generated items of all batches, if there are any.
        trained: Which training items the model was trained on, if that was asked.
        skipped: Names of what was left out in this run: of ``train`` and of ``generated``.
    """

    matches: MatchIndex
    train: Items
    made: Items | None
    trained: NDArray[np.bool_] | None
    skipped: Mapping[str, Sequence[str]]


def _run(
    made: Path | None,
    train: Path | None,
    columns: Columns,
    rule: SimilarityMatch,
    model: str | None,
    index: Path | None,
    threads: int | None,
) -> _Done:
    if made is None or train is None:
        raise InputError("name what was made and what it was made from: dataworth generated GENERATED --train SOURCE")
    _check_apart(made, train)
    import dataworth as dw
    from dataworth.valuation.sides import check_kinds, check_task, x_of

    items, fresh = columns.read_train(train), columns.read_made(made, batch=index is not None)
    check_task(items, rule)
    check_kinds(items, fresh, rule)
    trained = columns.read_trained(train, items.ids)  # like all checks, before hours of work
    matches = dw.index_items(items, method=rule, embed=model, threads=threads).add(fresh, threads=threads)
    if index is not None:
        matches.save(index)  # at once: whatever fails later, hours of work are kept
    if matches.generated is not None:  # the index keeps vectors; a report may want more
        items, fresh = items.with_vectors(x_of(matches.train)), fresh.with_vectors(x_of(matches.generated))
    return _Done(matches, items, fresh, trained, _skipped(items, fresh))


def _update(
    index: Path,
    made: Path | None,
    train: Path | None,
    columns: Columns,
    remove_train: Path | None,
    threads: int | None,
) -> _Done:
    import dataworth as dw

    items = None if train is None else columns.read_train(train)
    fresh = None if made is None else columns.read_made(made, batch=True)
    matches = dw.MatchIndex.load(index, items, threads=threads)
    if remove_train is not None:
        matches = matches.remove(read_ids(remove_train, matches.train.ids, "--remove-train"), threads=threads)
    trained = columns.read_trained(train, matches.train.ids)
    if fresh is not None:
        matches = matches.add(fresh, threads=threads)
    matches.save(index)
    return _Done(matches, matches.train, matches.generated, trained, _skipped(items, fresh))


def _skipped(train: Items | None, made: Items | None) -> dict[str, Sequence[str]]:
    return {side: () if items is None else items.skipped for side, items in (("train", train), ("generated", made))}


def _with_evidence(values: Values, done: _Done, report: bool, show_rows: bool, threads: int | None) -> Values:
    """What the report shows, or without one the tests of who was trained on."""
    import dataworth as dw
    from dataworth.valuation.held_out import nearest_trained

    if report and done.made is not None:
        return dw.gather_matches(
            values, done.train, done.made, trained=done.trained, show_rows=show_rows, threads=threads
        )
    if done.trained is None or values.attributions is None:
        return values
    tests = dw.held_out_test(values, done.trained), nearest_trained(values.attributions, done.trained)
    return values.with_evidence(*tests)


# -- what is told --------------------------------------------------------------------------------


def _as_text(values: Values, done: _Done, written: Mapping[str, Path | None]) -> list[str | Table]:
    lines: list[str | Table] = [
        f"{len(values)} training items by {values.method}, {values.n_validation} generated items"
    ]
    lines += [
        f"left out of {side}, since they cannot be used: {len(names)} ({_few(names)})"
        for side, names in done.skipped.items()
        if names
    ]
    lines += [CAVEAT, values.highest(SHOWN)]
    if values.owners is not None:
        lines.append(_beginning(values.by_owner()))
    lines += [_upright(table) for name in TOLD for table in _tables(values, name)]
    lines.append("")
    lines += [] if written["values"] else ["values not kept; --out credit.parquet keeps them"]
    lines += [f"{what} written to {path}" for what, path in written.items() if path is not None]
    return lines


def _as_json(values: Values, done: _Done, written: Mapping[str, Path | None]) -> dict[str, Any]:
    return {
        "method": values.method,
        "train_items": len(values),
        "generated_items": values.n_validation,
        "skipped": {side: list(names) for side, names in done.skipped.items()},
        "highest": _records(values.highest(SHOWN)),
        "owners": None if values.owners is None else _records(values.by_owner()),
        **{
            name.replace("-", "_"): [record for table in _tables(values, name) for record in _records(table)]
            for name in TOLD
        },
        **{what: path and str(path) for what, path in written.items()},
    }


def _tables(values: Values, name: str) -> list[Table]:
    from dataworth.records import Table

    return [piece for piece in values.evidence if isinstance(piece, Table) and piece.name == name]


def _beginning(table: Table) -> Table:
    """The first rows of a table that may be long."""
    rows = len(table.rows())
    if rows <= SHOWN_OWNERS:
        return table
    columns = {name: cells[:SHOWN_OWNERS] for name, cells in table.columns.items()}
    return replace(table, title=f"{table.title}, the first {SHOWN_OWNERS} of {rows}", columns=columns)


def _upright(table: Table) -> Table:
    """A single row of many figures as a list of them, which can be read on a terminal."""
    rows = table.rows()
    if len(rows) != 1:
        return table
    return replace(table, columns={"figure": list(table.columns), "value": list(rows[0])})


def _few(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:SHOWN])) + (", ..." if len(names) > SHOWN else "")


def _records(table: Table) -> list[dict[str, Any]]:
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows()]
