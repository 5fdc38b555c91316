"""Questions and answers: two noisy counts, paid for once, whatever is asked."""

from __future__ import annotations

import json
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataworth.errors import BudgetExceeded, DataError, InputError, LedgerError, MethodError
from dataworth.privacy.ledger import Ledger
from dataworth.records import Fidelity, Owner, Points, Row
from dataworth.records.sealed import write_sealed
from dataworth.valuation import fidelity as module
from dataworth.valuation import release_request
from dataworth.valuation.fidelity import Question, Reply, agreement, answer, ask
from dataworth.valuation.games import RidgeAccuracy
from tests.valuation.provider_problems import PROMISE, Fixed, new_ledger, package_of, rows

pytest.importorskip("opendp")
pytest.importorskip("dp_accounting")
pytest.importorskip("sqlalchemy")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return new_ledger(tmp_path / "ledger.db")


def asked(**more: Any) -> Question:
    return ask([package_of("a", rows(80, 1)), package_of("b", rows(60, 2)), package_of("c", None)], **more)


# -- questions -------------------------------------------------------------------------------------


def test_a_question_is_the_same_in_any_order() -> None:
    some = [package_of("a", rows(80, 1)), package_of("b", rows(60, 2)), package_of("c", None)]
    one, other = ask(some), ask(reversed(some))
    assert one.digest == other.digest
    assert len(one.points) == 140
    assert set(one.packages) == {"a", "b", "c"}


def test_a_question_knows_every_part_of_it() -> None:
    digests = [
        asked().digest,
        asked(model=RidgeAccuracy(penalty=2)).digest,
        asked(model=RidgeAccuracy(random_features=8)).digest,
        ask([package_of("a", rows(80, 1)), package_of("b", rows(60, 3)), package_of("c", None)]).digest,
        ask([package_of("a", rows(80, 1)), package_of("b", rows(60, 2))]).digest,
    ]
    assert len(set(digests)) == len(digests)


def test_a_question_comes_back(tmp_path: Path) -> None:
    question = asked(model=RidgeAccuracy(penalty=0.5, random_features=16, seed=3))
    again = Question.load(question.save(tmp_path / "question.npz"))
    assert again.digest == question.digest
    assert again.model == question.model
    probe = rows(50, 9)
    assert np.array_equal(again.fit().predict(probe.x), question.fit().predict(probe.x))


def test_packages_must_fit_together() -> None:
    a = package_of("a", rows(9))
    for other, words in (
        (package_of("a", rows(8)), "several of 'a'"),
        (package_of("b", rows(9, names=("dose", "age"))), "column 1"),
        (package_of("b", Points([[1.0]], ["ill"])), "columns"),
        (package_of("b", rows(9, names=None), classes=np.array(["dead", "ill", "well"])), "other classes"),
        (package_of("b", rows(9), image_shape=(1, 2)), "images"),
    ):
        with pytest.raises(DataError, match=words):
            ask([a, other])
    with pytest.raises(DataError, match="nothing to ask"):
        ask([package_of("a", None)])
    with pytest.raises(DataError, match="no packages"):
        ask([])
    with pytest.raises(InputError, match="takes packages, not Points"):
        ask([a, rows(9)])  # type: ignore[list-item]


def test_columns_without_names_go_with_those_with() -> None:
    assert ask([package_of("a", rows(9, names=None)), package_of("b", rows(9))]).points.features == ("age", "dose")


@pytest.mark.parametrize(
    "change",
    [
        {"classes": ["well", "ill"]}, {"features": 3}, {"packages": {}}, {"packages": {"": "0"}}, {"packages": []},
        {"model": {}}, {"model": {"penalty": 1, "random_features": 10**9, "seed": 0}}, {"image_shape": [9]},
        {"model": {"penalty": -1.0, "random_features": None, "seed": 0}},
        {"model": {"penalty": "1", "random_features": None, "seed": 0}},
    ],
    ids=str,
)  # fmt: skip
def test_a_strange_question_is_not_answered(tmp_path: Path, change: dict[str, Any]) -> None:
    about, arrays = asked()._parts()
    path = write_sealed(tmp_path / "q.npz", module.QUESTION, {**about, **change}, arrays)
    with pytest.raises(DataError, match=r"q\.npz"):
        Question.load(path)
    about.pop(next(iter(change)))
    with pytest.raises(DataError, match=r"q\.npz"):
        Question.load(write_sealed(path, module.QUESTION, about, arrays))
    with pytest.raises(DataError):
        Question.load(write_sealed(path, "dataworth-package-1", *asked()._parts()))


# -- answers ---------------------------------------------------------------------------------------


def test_an_answer_is_two_noisy_counts(ledger: Ledger) -> None:
    mine = rows(2000, 5, wrong=0.25)
    reply = answer(asked(), mine, provider="a", epsilon="0.25", ledger=ledger)
    found = reply.fidelity
    assert found.scale == Fraction(4)
    assert found.question == asked().digest
    assert (found.guarantee.private, found.guarantee.joint) == (True, False)
    assert abs(found.size - 2000) < 150
    assert 0.6 < found.rate < 0.85
    assert str(ledger.remaining).startswith("epsilon = 9.75, delta = 0.000999999999999999")


def test_asked_again_the_answer_is_the_same_and_free(ledger: Ledger) -> None:
    first = answer(asked(), rows(500), provider="a", epsilon="0.25", ledger=ledger)
    again = answer(asked(), rows(20, 8), provider="a", epsilon="0.250", ledger=ledger)  # the data changed meanwhile
    assert first == again
    assert first.to_json() == again.to_json()
    assert len(ledger.history()) == 1
    with pytest.raises(LedgerError, match="key"):
        answer(asked(), rows(500), provider="a", epsilon=1, ledger=ledger)
    answer(asked(model=RidgeAccuracy(2)), rows(500), provider="a", epsilon="0.25", ledger=ledger)
    assert len(ledger.history()) == 2


def test_two_at_once_give_one_answer(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn while another run commits is never seen."""
    inner: list[Reply] = []
    fit = Question.fit

    def meanwhile(self: Question) -> Any:
        if not inner:
            inner.append(None)  # type: ignore[arg-type]
            inner[0] = answer(asked(), rows(500), provider="a", epsilon="0.25", ledger=ledger)
        return fit(self)

    monkeypatch.setattr(Question, "fit", meanwhile)
    outer = answer(asked(), rows(500), provider="a", epsilon="0.25", ledger=ledger)
    assert [outer] == inner
    assert len(ledger.history()) == 1


def test_the_same_noisy_counts_make_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    said = []
    for points in (rows(300), Points([[12345.678, 0.0]], ["ill"], ids=["secret"], owners=["secret"])):
        source = Fixed()
        monkeypatch.setattr(release_request, "random_source", lambda _, source=source: source)
        reply = answer(asked(), points, provider="a", epsilon=1, ledger=None, insecure_seed=1)
        assert source.seen[0].sum() == len(points)
        said.append(reply.to_json())
    assert said[0] == said[1]
    assert "secret" not in said[0]


def test_what_is_counted_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Fixed()
    monkeypatch.setattr(release_request, "random_source", lambda _: source)
    mine = rows(400, 5, wrong=0.2)
    answer(asked(), mine, provider="a", epsilon=1, ledger=None, insecure_seed=1)
    said = np.array(["ill", "well"])[asked().fit().predict(mine.x.astype(np.float32))]
    right = int((said == mine.y).sum())
    assert source.seen[0].tolist() == [right, 400 - right]


def test_rows_are_judged_one_by_one() -> None:
    """A row added moves one count by one and the other not at all, even for a model whose rows hang together."""
    sizes = Counter[int]()

    class Together:
        def predict(self, x: Any) -> Any:
            sizes[len(x)] += 1
            return np.full(len(x), len(x) % 2)

    x, codes = np.zeros((9, 2), dtype=np.float32), np.ones(9, dtype=np.int64)
    for n in range(1, 10):
        assert agreement(Together(), x[:n], codes[:n]).tolist() == [n, 0]
    assert set(sizes) == {1}


def test_owners_count_at_most_so_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Fixed()
    monkeypatch.setattr(release_request, "random_source", lambda _: source)
    points = Points(rows(30).x, rows(30).y, owners=["ann"] * 28 + ["bob"] * 2)
    reply = answer(asked(), points, provider="a", epsilon=1, ledger=None, unit=Owner(3), insecure_seed=1)
    assert source.seen[0].sum() == 5
    assert reply.fidelity.scale == 3


def test_a_label_that_the_question_leaves_out_is_no_reason_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks chooses the classes, and would learn without noise whether a row has another."""
    source = Fixed()
    monkeypatch.setattr(release_request, "random_source", lambda _: source)
    known = rows(20)
    strange = Points(known.x, ["dead", "dead", *known.y[2:].tolist()])
    for points in (known, strange):
        answer(asked(), points, provider="a", epsilon=1, ledger=None, unit=Row(), insecure_seed=1)
    (right, wrong), (still, worse) = source.seen
    assert right + wrong == still + worse == 20
    assert worse >= 2
    assert still <= right


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"provider": "nobody"}, DataError, "none is called"),
        ({"points": Points([[1.0]], ["ill"])}, DataError, "columns"),
        ({"points": Points([[1.0, 2.0]], [3])}, DataError, "numbers"),
        ({"points": rows(5, names=("dose", "age"))}, DataError, "column 1"),
        ({"epsilon": 0}, MethodError, "epsilon"),
        ({"epsilon": 11}, BudgetExceeded, "nothing was spent"),
        ({"insecure_seed": 1}, LedgerError, "seeded"),
        ({"question": "what?"}, InputError, "Question"),
        ({"ledger": None}, InputError, "insecure_seed"),
    ],
)  # fmt: skip
def test_bad_input_spends_nothing(ledger: Ledger, change: dict[str, Any], error: Any, words: str) -> None:
    given = {"question": asked(), "points": rows(9), "provider": "a", "epsilon": 1, "ledger": ledger, **change}
    with pytest.raises(error, match=words):
        answer(given.pop("question"), given.pop("points"), **given)
    assert len(ledger.history()) == 0


def test_a_reply_comes_back(tmp_path: Path) -> None:
    found = Fidelity(-3, 12, Fraction(9, 2), PROMISE, "ab12")
    reply = Reply("clinic \u00e9", found, RidgeAccuracy(random_features=4))
    assert Reply.load(reply.save(tmp_path / "reply.json")) == reply


def test_a_strange_reply_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "reply.json"
    plain = json.loads(Reply("a", Fidelity(3, 1, Fraction(4), PROMISE, "ab"), RidgeAccuracy()).to_json())

    def refused(change: dict[str, Any], words: str, seal: bool = True) -> None:
        other = {**plain, **change}
        other.pop("digest")
        path.write_text(json.dumps({**other, "digest": module._sha(other) if seal else plain["digest"]}))
        with pytest.raises(DataError, match=words):
            Reply.load(path)

    refused({"provider": "b"}, "digest", seal=False)
    refused({"format": "dataworth-reply-9"}, "format")
    refused({"provider": "a\nb"}, "other parts")
    refused({"more": 1}, "other parts")
    refused({"fidelity": {**plain["fidelity"], "scale": "1/8"}}, "takes noise of scale")
    refused({"fidelity": {**plain["fidelity"], "agree": 1e9}}, "whole number")
    refused({"fidelity": {**plain["fidelity"], "scale": f"{10**30}/1"}}, "cannot be kept")
    refused({"fidelity": 3}, "answer must say")
    refused({"model": {"penalty": 1}}, "recipe")
    for text in ("", "[]", "{}", "null", "[" * 10**5, '{"digest": 3}'):
        path.write_text(text)
        with pytest.raises(DataError, match=r"reply\.json"):
            Reply.load(path)
    path.write_bytes(b"\xff" * 9)
    with pytest.raises(DataError, match=r"reply\.json"):
        Reply.load(path)
    path.write_bytes(b" " * 2**21)
    with pytest.raises(DataError, match="too large"):
        Reply.load(path)
    with pytest.raises(DataError, match="no file"):
        Reply.load(tmp_path / "nothing.json")
    with pytest.raises(DataError, match="cannot be read"):
        Reply.load(tmp_path)
