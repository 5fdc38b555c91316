from __future__ import annotations

import pytest

from benchmarks.measure import Finding, Pace, Rounds, Section, interleave


def test_ratios_are_formed_inside_a_round() -> None:
    rounds = Rounds({"a": [1.0, 4.0, 3.0], "b": [2.0, 2.0, 1.0]}, {"a": [1.0, 1.0, 9.0], "b": [1.0, 2.0, 3.0]})
    assert rounds.ratio("a", "b") == [0.5, 2.0, 3.0]
    assert rounds.core_ratio("a", "b") == 1.0


def test_every_task_runs_once_a_round_after_a_warm_up() -> None:
    calls: list[str] = []

    def task(name: str) -> float:
        calls.append(name)
        return float(len(calls))

    rounds = interleave({"a": lambda: task("a"), "b": lambda: task("b"), "c": lambda: task("c")}, Pace(0, least=4))
    assert len(calls) == 3 * 5
    for start in range(0, len(calls), 3):
        assert sorted(calls[start : start + 3]) == ["a", "b", "c"]
    counted = sorted(second for name in "abc" for second in rounds.of(name))
    assert counted == [float(number) for number in range(4, 16)]  # 1 to 3 were the warm-up


def test_pace_keeps_to_its_bounds() -> None:
    pace = Pace(seconds=10, least=3, most=20)
    assert [pace.rounds(one) for one in (100.0, 2.0, 0.01, 0.0)] == [3, 5, 20, 20]


@pytest.mark.parametrize(
    ("sign", "middle", "met"), [("<=", 1.25, True), ("<=", 1.26, False), (">=", 1.6, True), (">=", 1.59, False)]
)
def test_a_goal_is_a_ceiling_or_a_floor(sign: str, middle: float, met: bool) -> None:
    goal = 1.25 if sign == "<=" else 1.6
    assert Finding.of("x", [0.0, middle, 9.0], sign=sign, goal=goal).met is met


def test_no_goal_is_neither_met_nor_missed() -> None:
    assert Finding.of("x", [1.0]).met is None


def test_a_section_comes_back_from_its_dictionary() -> None:
    section = Section(
        "s", "S", "text", [Finding.of("x", [1.0, 2.0, 4.0], goal=2.0, note="n")], machine={"date": "today"}
    )
    assert Section.from_dict(section.to_dict()) == section
