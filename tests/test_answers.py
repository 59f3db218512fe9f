"""Predictions, what is kept of them, and how a class's are read: each question, each bad input."""

import contextlib
import io
import itertools
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import labkit
import labkit.answers.store
from labkit.answers import card
from labkit.answers.collect import MOST_DEPTH, collect
from labkit.answers.exercise import NotYet
from labkit.answers.handing_in import export
from labkit.answers.predictions import decide
from labkit.answers.question import Question, Undecided
from labkit.answers.questions import NOTEBOOKS, exercises, question, questions
from labkit.answers.store import Store, answers_file
from labkit.answers.summary import gradebook, question_rows, summarise
from labkit.whole_file import write_file

ROOT = Path(__file__).resolve().parent.parent
LABKIT = [sys.executable, "-m", "labkit"]

# For each question the facts of one possible machine, and what is right there.
FACTS: dict[str, tuple[Mapping[str, Any], Any]] = {
    "00-1": ({"copies": 2}, 2),
    "00-2": ({"round_trip_ns": 8000.0}, "b"),
    "01-1": ({"mode_switches": 2, "context_switches": 0}, "b"),
    "01-2": ({"system_calls": 2}, 2),
    "01-3": ({"calls_when_ready": 0, "calls_when_waiting": 2}, "b"),
    "02-1": (
        {"nattch_after_removal": 2, "readable_after_removal": True, "removal_refused": False},
        "b",
    ),
    "02-2": ({"nattch": 2}, 2),
    "02-3": ({"same_address": False, "same_bytes": True}, "b"),
    "02-4": (
        {
            "resident_after_shmget": 0,
            "resident_after_shmat": 0,
            "resident_after_first_touch": 4096,
            "resident_after_touch": 8192,
            "resident_after_removal": 8192,
            "resident_after_last_detach": 0,
            "page_bytes": 4096,
        },
        "touched",
    ),
    "03-1": ({"second_read": {"pipe": False, "sysv_mq": False, "sysv_shm": True}}, "b"),
    "03-2": ({"pipe_after_exit": True, "queue_after_exit": True}, "c"),
    "03-3": ({"fifo_file_bytes": 0, "fifo_waiting_bytes": 5}, 0),
    "03-4": ({"message_bytes": 3, "pipe_first_read": 6, "queue_first_read": 3}, "c"),
    "04-1": ({"nattch_after_fork": 2}, 2),
    "04-2": ({"parent_sees_segment": True, "parent_sees_private": False}, "b"),
    "04-3": ({"ended_with_forgotten_end": False, "ended_after_closing": True}, "b"),
    "05-1": ({"nattch_after_exec": 0}, 0),
    "05-2": ({"segment_exists": True, "bytes_kept": True}, "b"),
    "05-3": ({"same_pid": True, "same_program": False}, "b"),
    "06-1": ({"factor": [1.2, 1.1, 1.3]}, "b"),
    "06-2": ({"factor_small": [1.1, 1.0, 1.2], "factor_large": [3.5, 3.2, 3.9]}, "a"),
    "06-3": ({"pipe": 4, "spin": 0}, 0),
    "06-4": (
        {
            "low": {"pipe": 60e3, "futex": 50e3, "spin": 200.0},
            "high": {"pipe": 70e3, "futex": 65e3, "spin": 300.0},
        },
        (frozenset({"spin"}), frozenset({"futex", "pipe"})),
    ),
    "06-5": ({"growth": [1.05, 1.0, 1.1]}, "a"),
    "06-6": (
        {
            "factors": [1.0, 1.04, 5.1, 75.5],
            "least": [1.0, 0.85, 4.2, 61.0],
            "most": [1.0, 1.24, 5.8, 79.0],
        },
        "bend",
    ),
    "07-1": ({"expected": 2000, "counted": 1200}, "b"),
    "07-2": ({"counted_after_stop": 1}, 1),
    "07-3": ({"value_after_kill": 0, "value_after_kill_with_undo": 1}, "b"),
    "08-1": ({"smaller_refused": False, "larger_refused": True}, "b"),
    "08-2": ({"asked_bytes": 5000, "reported_bytes": 5000, "mapped_bytes": 8192}, "b"),
    "08-3": ({"holds": 17, "statements": 21}, 17),
    "09-1": ({"changed": True, "ratio": 1.7}, "c"),
    "09-2": ({"one_cpu": 1.1, "two_cpus": 3.0}, "b"),
    "10-1": ({"factor": [9.0, 8.1, 9.9]}, "c"),
    "10-2": ({"failed": True, "wrong_message": True}, "b"),
}


# For each drawing a line of every shape that it knows.
DRAWN: dict[str, dict[str, list[float]]] = {
    "02-4": {
        "touched": [0, 0, 1, 2, 2, 0],
        "made": [2, 2, 2, 2, 2, 0],
        "attached": [0, 2, 2, 2, 2, 0],
        "at_once": [0, 0, 2, 2, 2, 0],
        "marked": [0, 0, 1, 2, 0, 0],
        "stays": [0, 0, 1, 2, 2, 2],
        "other": [0, 0, 0, 2, 2, 0],
    },
    "06-6": {
        "bend": [1, 1, 10, 200],
        "bytes": [1, 50, 1000, 20_000],
        "steady": [1, 10, 100, 1000],
        "flat": [1, 1, 1, 2],
        "levels": [1, 20, 100, 100],
        "other": [1, 10, 1, 100],
    },
}


@pytest.fixture(autouse=True)
def own_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Answers of nobody: a data folder of the test's own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv(card.SHOWN_AS, raising=False)
    monkeypatch.setattr(labkit.answers.store, "_in_memory", None)
    return tmp_path / "data" / "labkit"


def stored(id: str) -> Any:
    return json.loads(answers_file().read_text())["questions"][id]


class TestQuestions:
    def test_every_notebook_has_two_or_more_and_ids_say_which(self) -> None:
        assert set(FACTS) == {each.id for each in questions()}
        for number in NOTEBOOKS:
            assert len(questions(number)) >= 2
            assert all(each.id.startswith(f"{number}-") for each in questions(number))
            assert all(each.id.startswith(f"{number}-e") for each in exercises(number))

    @pytest.mark.parametrize("each", questions(), ids=lambda each: str(each.id))
    def test_the_rule_finds_the_right_answer_in_the_facts(self, each: Question) -> None:
        facts, right = FACTS[each.id]
        read = each.read(facts)
        assert each.right(read) == right
        assert len(each.saw(read)) > 8
        assert each.misconception

    @pytest.mark.parametrize("each", questions(), ids=lambda each: str(each.id))
    def test_every_likely_answer_is_explained(self, each: Question) -> None:
        kinds = [bool(each.choices), bool(each.items), bool(each.unit), bool(each.drawing)]
        assert kinds.count(True) == 1
        given: list[Any] = list(each.choices) or list(each.slips) or [list(each.items) or 1]
        if each.drawing is not None:
            given = list(DRAWN[each.id].values())
        said = [each.explain(each.parse(answer)) for answer in given]
        assert all(len(words) > 30 for words in said)
        assert len(set(said)) == len(said)
        each.parse(json.loads(each.example))

    @pytest.mark.parametrize("each", questions(), ids=lambda each: str(each.id))
    def test_no_fact_may_be_missing_or_of_another_kind(self, each: Question) -> None:
        facts = dict(FACTS[each.id][0])
        for name in facts:
            with pytest.raises(labkit.RequestError, match=f"{name!r} is missing"):
                each.read({key: value for key, value in facts.items() if key != name})
            with pytest.raises(labkit.RequestError, match=name):
                each.read(facts | {name: "nonsense"})
        with pytest.raises(labkit.RequestError, match="cannot be held against"):
            each.read(object())

    def test_other_facts_make_other_answers_right(self) -> None:
        """A rule that always gave the same answer would be a written-down truth."""
        assert question("01-1").right({"mode_switches": 2, "context_switches": 2}) == "a"
        assert question("01-3").right({"calls_when_ready": 2, "calls_when_waiting": 2}) == "c"
        assert question("00-2").right({"round_trip_ns": 120.0}) == "a"
        assert question("00-2").right({"round_trip_ns": 3e6}) == "c"
        assert question("09-1").right({"changed": False, "ratio": 1.02}) == "b"
        assert question("09-2").right({"one_cpu": 2.0, "two_cpus": 1.1}) == "a"
        assert question("09-2").right({"one_cpu": 1.1, "two_cpus": 1.2}) == "c"
        assert question("06-1").right({"factor": [5.0, 4.5, 5.5]}) == "a"
        assert question("06-1").right({"factor": [0.6, 0.55, 0.7]}) == "b"  # as its words say
        assert question("06-1").right({"factor": [0.4, 0.35, 0.45]}) == "c"
        lead = {"factor_small": [2.0, 1.9, 2.1], "factor_large": [1.0, 0.9, 1.1]}
        assert question("06-2").right(lead) == "c"
        assert question("08-1").right({"smaller_refused": False, "larger_refused": False}) == "a"
        assert (
            question("07-3").right({"value_after_kill": 1, "value_after_kill_with_undo": 1}) == "a"
        )

    def test_the_statements_are_as_many_as_is_said(self) -> None:
        from labkit.claims.trying import CLAIMS

        said = sum(bool(each.said) for each in CLAIMS)
        assert f"make {said} statements" in question("08-3").text

    def test_what_settles_nothing_is_said_to(self) -> None:
        unsettled: dict[str, Mapping[str, Any]] = {
            "02-3": {"same_address": True, "same_bytes": True},
            "06-4": {"low": dict.fromkeys(["pipe", "futex", "spin"], 1.0)}
            | {"high": dict.fromkeys(["pipe", "futex", "spin"], 2.0)},
            "06-1": {"factor": [1.9, 1.7, 2.2]},
            "06-2": {"factor_small": [1, 0.5, 2], "factor_large": [2, 1, 3]},
            "06-5": {"growth": [1.5, float("nan"), float("nan")]},
            "07-1": {"expected": 100, "counted": 100},
            "10-1": {"factor": [1.2, 1.1, 1.4]},
            "09-1": {"changed": False, "ratio": float("nan")},
        }
        for id, facts in unsettled.items():
            with pytest.raises(Undecided):
                question(id).right(facts)
            labkit.answer(
                id, next(iter(question(id).choices)) if question(id).choices else "pipe futex spin"
            )
            assert "again" in repr(labkit.reveal(id, facts))

    def test_level_items_may_stand_either_way(self) -> None:
        asked, right = question("06-4"), FACTS["06-4"][1]
        assert asked.matches(("spin", "futex", "pipe"), right)
        assert asked.matches(("spin", "pipe", "futex"), right)
        assert not asked.matches(("pipe", "spin", "futex"), right)

    @pytest.mark.parametrize("id", DRAWN)
    def test_every_shape_can_be_drawn_and_is_told_from_the_others(self, id: str) -> None:
        asked = question(id)
        assert asked.drawing is not None
        assert list(DRAWN[id]) == list(asked.drawing.shapes)
        for key, line in DRAWN[id].items():
            assert asked.counts_as(asked.parse(line)) == key
            assert asked.matches(asked.parse(line), key)
            assert asked.drawing.shapes[key].text.lower() in asked.say(asked.parse(line)).lower()

    def test_a_line_that_came_out_otherwise_makes_another_shape_right(self) -> None:
        """Pages of 64 KiB: both touches hit one page. And a machine on which only bytes count."""
        large = {"page_bytes": 1 << 16, "resident_after_first_touch": 1 << 16}
        large |= {"resident_after_touch": 1 << 16, "resident_after_removal": 1 << 16}
        assert question("02-4").right(dict(FACTS["02-4"][0]) | large) == "at_once"
        line = [1.0, 60.0, 1000.0, 16000.0]
        assert question("06-6").right({"factors": line, "least": line, "most": line}) == "bytes"

    def test_a_line_in_times_that_jumped_settles_nothing(self) -> None:
        asked, facts = question("06-6"), dict(FACTS["06-6"][0])
        with pytest.raises(Undecided, match="measure again"):
            asked.right(facts | {"most": [1.0, 9.0, 5.8, 79.0]})
        with pytest.raises(Undecided, match="Too few repeats"):
            asked.right(facts | {"most": [1.0, *[float("nan")] * 3]})

    def test_the_growth_is_read_from_a_run(self) -> None:
        asked = question("06-6")
        for folder in sorted((ROOT / "data" / "reference").iterdir()):
            facts = asked.read(labkit.load(folder))
            assert facts["factors"][0] == 1
            assert facts["least"] <= facts["factors"] <= facts["most"]
            assert asked.right(facts) == "bend"

    def test_facts_are_read_from_a_walkthrough(self) -> None:
        class Walk:
            facts = FACTS["04-1"][0]

        labkit.answer("04-1", 2)
        assert "As you predicted" in repr(labkit.reveal("04-1", Walk()))


class TestAnswering:
    def test_the_first_answer_stays_and_later_ones_stand_beside_it(self) -> None:
        facts, _ = FACTS["01-1"]
        assert "No prediction yet" in repr(labkit.reveal("01-1", facts))
        labkit.answer("01-1", "a")
        assert "Not what you predicted first" in repr(labkit.reveal("01-1", facts))
        labkit.answer("01-1", "A ")  # the same once more is no revision
        labkit.answer("01-1", "b")
        said = repr(labkit.reveal("01-1", facts))
        assert "Not what you predicted first, but what you said then." in said
        kept = stored("01-1")
        assert kept["first"]["answer"] == "a"
        assert [each["answer"] for each in kept["later"]] == ["b"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", kept["first"]["at"])
        assert kept["seen"]["facts"] == facts

    @pytest.mark.parametrize(
        ("id", "given", "named"),
        [
            ("01-1", "d", "takes a, b or c"),
            ("01-1", 3, "takes a, b or c"),
            ("01-1", None, "takes a, b or c"),
            ("01-2", "two", "takes a number"),
            ("01-2", True, "takes a number"),
            ("01-2", float("nan"), "takes a number"),
            ("01-2", 10**400, "takes a number"),
            ("06-4", "pipe futex", "each of pipe, futex, spin once"),
            ("06-4", ["pipe", "pipe", "spin"], "each of pipe, futex, spin once"),
            ("06-4", 4, "each of pipe, futex, spin once"),
            ("06-6", "up", "takes 4 numbers (times as long as 64 B), for 64 B, 4 KiB"),
            ("06-6", [1, 2, 3], "takes 4 numbers"),
            ("06-6", [1, 2, 3, "much"], "1 MiB has none"),
            ("06-6", [1, 2, None, 4], "64 KiB has none"),
            ("06-6", [1, 2, 3, True], "1 MiB has none"),
            ("06-6", [1, 2, 3, 10**9], "takes numbers from 0.5 to 20,000"),
            ("06-6", [1, 2, 3, 10**400], "1 MiB has none"),
            ("06-6", [2, 2, 3, 4], "takes 1 for 64 B, which is so by definition"),
            ("06-6", {"64K": 3, "2M": 3}, "takes 4 numbers"),
            ("06-6", {"4K": 3, "64K": 3}, "1 MiB has none"),
            ("02-4", [0, 0, 1, 2, 9, 0], "takes numbers from 0 to 4"),
            ("99-9", "a", "there is no question '99-9'"),
            (7, "a", "there is no question '7'"),
        ],
    )
    def test_what_is_no_answer_is_refused_in_one_sentence(
        self, id: Any, given: Any, named: str
    ) -> None:
        with pytest.raises(labkit.RequestError, match=re.escape(named)) as refused:
            labkit.answer(id, given)
        assert "\n" not in str(refused.value)
        assert len(str(refused.value)) < 500
        assert not answers_file().exists()

    def test_answers_come_in_several_spellings(self) -> None:
        assert question("06-4").parse("Spin, futex,pipe") == ("spin", "futex", "pipe")
        assert question("06-4").parse(["spin", "futex", "pipe"]) == ("spin", "futex", "pipe")
        assert question("01-2").parse(" 2 ") == 2
        line = (1, 1, 2.5, 100)
        assert question("06-6").parse((1, "1", 2.5, 100)) == line
        assert question("06-6").parse({"64": 1, "4k": 1, "64 KiB": 2.5, "1M": 100}) == line
        assert question("06-6").parse({"1 mib": 100, "4 KiB": 1, "64K": 2.5}) == line
        assert question("06-6").parse(np.array(line)) == line
        assert question("06-6").parse([1, 1, np.float64(2.5), np.int64(100)]) == line
        assert question("02-4").parse([0, 0.2, 1.4, 2, 1.9, 0]) == (0, 0, 1, 2, 2, 0)

    def test_a_reveal_without_facts_says_what_is_missing_and_goes_on(self) -> None:
        labkit.answer("02-2", 2)
        assert "'nattch' is missing" in repr(labkit.reveal("02-2", {}))
        assert "cannot be held against a NoneType" in repr(labkit.reveal("02-2", None))

    def test_a_card_keeps_markup_out(self) -> None:
        for shown in (labkit.predict("01-1").card, labkit.reveal("01-1", FACTS["01-1"][0])):
            assert "<script" not in shown.html
            assert shown.html.count("<div") == shown.html.count("</div>")
        assert "&lt;b&gt;" in card.marked("<b>`x`</b>")

    def test_an_exported_page_shows_nobodys_answers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        labkit.answer("01-1", "a")
        for shown_as in ("page", "deck"):
            monkeypatch.setenv(card.SHOWN_AS, shown_as)
            asked = labkit.predict("01-1").card.html
            assert "first answer" not in asked
            assert "two mode switches, no context switch" in asked  # the choices are printed
            assert "<button" not in asked
            revealed = labkit.reveal("01-1", FACTS["01-1"][0]).html
            assert "You predicted" not in revealed
            assert "2 mode switches and 0 context switches" in revealed
            labkit.answer("01-1", "c")
        assert stored("01-1")["later"] == []


anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just(np.nan)
)


class TestDrawing:
    @given(id=st.sampled_from(list(DRAWN)), answer=st.lists(anything, max_size=8))
    def test_anything_is_a_line_or_is_refused_in_one_sentence(
        self, id: str, answer: list[Any]
    ) -> None:
        asked = question(id)
        for form in (answer, tuple(answer), dict(enumerate(answer)), answer[0] if answer else []):
            said = ""
            try:
                line = asked.parse(form)
                assert asked.parse(json.loads(json.dumps(line))) == line
            except labkit.RequestError as refused:
                said = str(refused)
            assert not said or f"does not answer question {id}: it takes" in said
            assert "\n" not in said

    @given(data=st.data())
    def test_every_line_has_a_shape_and_is_right_where_it_was_observed(self, data: Any) -> None:
        asked = question(data.draw(st.sampled_from(list(DRAWN))))
        drawing = asked.drawing
        assert drawing is not None
        low, high = drawing.axis.levels[0], drawing.axis.levels[-1]
        columns = [
            st.just(drawing.fixed[key]) if key in drawing.fixed else st.floats(low, high)
            for key in drawing.columns
        ]
        line = asked.parse(data.draw(st.tuples(*columns)))
        shape = asked.counts_as(line)
        assert shape in drawing.shapes
        drawn = [float(value) for value in line] if isinstance(line, tuple) else []
        facts: dict[str, Any] = dict.fromkeys(("factors", "least", "most"), drawn)
        if asked.id == "02-4":
            names = [name for name in asked.facts if name != "page_bytes"]
            pages = [round(value * 4096) for value in drawn]
            facts = dict(zip(names, pages, strict=True)) | {"page_bytes": 4096}
        assert asked.right(facts) == shape
        assert asked.matches(line, asked.right(facts))
        assert len(asked.explain(line)) > 30

    @given(
        id=st.sampled_from(list(DRAWN)),
        facts=st.dictionaries(
            st.sampled_from(["factors", "least", "most", "page_bytes", "resident_after_shmget"]),
            st.one_of(anything, st.lists(anything, max_size=5)),
        ),
    )
    @settings(max_examples=50)
    def test_facts_of_an_edited_file_are_no_traceback(self, id: str, facts: Any) -> None:
        with contextlib.suppress(labkit.RequestError):
            asked = question(id)
            decide(asked, asked.read(dict(FACTS[id][0]) | facts))

    def test_a_point_stands_where_its_value_is(self) -> None:
        drawing = question("06-6").drawing
        assert drawing is not None
        heights = [drawing.axis.height(level) for level in drawing.axis.levels]
        assert (heights[0], heights[-1]) == (0, 1)
        assert heights == sorted(heights)
        decades = [drawing.axis.height(10**power) for power in range(5)]
        steps = [round(b - a, 6) for a, b in itertools.pairwise(decades)]
        assert len(set(steps)) == 1  # equal steps are equal factors
        assert drawing.axis.height(1e9) == 1  # what was observed may lie outside
        assert drawing.axis.nearest(7) == 5

    def test_the_reveal_shows_both_lines_and_reads_them(self) -> None:
        labkit.answer("06-6", [1, 10, 100, 1000])
        assert "You predicted 64 B: 1" in repr(labkit.reveal("06-6", FACTS["06-6"][0]))
        labkit.answer("06-6", [1, 1, 10, 100])
        shown = labkit.reveal("06-6", FACTS["06-6"][0]).html
        (alt,) = re.findall(r'role="img" aria-label="([^"]*)"', shown)
        read = "64 B: {}x, 4 KiB: {}x, 64 KiB: {}x, 1 MiB: {}x".replace("x", chr(215))
        assert f"You, first: {read.format(1, 10, 100, '1,000')}" in alt
        assert f"you, then: {read.format(1, 1, 10, 100)}" in alt
        assert f"observed: {read.format(1, 1.04, 5.1, 75.5)}" in alt
        assert shown.count("<polyline") == 3
        assert shown.count("stroke-dasharray") == 2
        assert "but what you said then" in shown
        assert stored("06-6")["first"]["answer"] == [1, 10, 100, 1000]

    def test_pages_and_decks_show_axes_to_draw_on_and_the_observed_line_alone(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        labkit.answer("02-4", [0, 1, 1, 2, 2, 0])
        for shown_as in ("page", "deck"):
            monkeypatch.setenv(card.SHOWN_AS, shown_as)
            asked = labkit.predict("02-4").card.html
            assert "<svg" in asked
            assert "polyline" not in asked
            revealed = labkit.reveal("02-4", FACTS["02-4"][0]).html
            assert revealed.count("<polyline") == 1
            assert "Page frames" in revealed or "page frames" in revealed
            assert "all gone with the last detach" in revealed

    def test_a_class_is_counted_by_shape_and_its_file_keeps_the_numbers(
        self, tmp_path: Path, exports: Path
    ) -> None:
        lines = {"ada": [0, 0, 1, 2, 2, 0], "bob": [2, 2, 2, 2, 2, 0], "eve": [1, 2, 2, 2, 0, 0]}
        for id, line in lines.items():
            answers = {"02-4": line, "06-6": [1, 1, 1, len(id) * 10]}
            (tmp_path / f"{id}.json").write_bytes(handed_in(exports, id, answers))
        members = summarise(collect(tmp_path))
        rows = [row for row in question_rows(members) if row["question"] == "02-4"]
        assert {row["answer"].split(",")[0]: row["first"] for row in rows} == {
            "Frames from the moment it is made": 2,
            "A frame with each page that is touched": 1,
        } | dict.fromkeys({row["answer"].split(",")[0] for row in rows if not row["first"]}, 0)
        assert [row["right"] for row in rows if row["first"] == 1] == [3]
        ada, bob, _ = members.students
        assert (ada.answers["02-4"].first, ada.answers["02-4"].fits(question("02-4"))) == (
            (0, 0, 1, 2, 2, 0),
            True,
        )
        assert bob.answers["02-4"].fits(question("02-4")) is False
        book = gradebook(members)
        assert "02-4" in book
        assert "06-6" not in book  # hangs on times


class TestKeeping:
    def test_two_hundred_writers_at_once_lose_nothing(self, own_answers: Path) -> None:
        ids = [each.id for each in questions() if each.kind == "number"]
        script = (
            "import sys, labkit\n"
            "for number in range(10): labkit.answer(sys.argv[1], int(sys.argv[2]) * 100 + number)\n"
        )
        tasks = [(id, str(part)) for id in ids for part in range(2)]

        def write(task: tuple[str, str]) -> int:
            command = [sys.executable, "-c", script, *task]
            return subprocess.run(command, cwd=ROOT, timeout=120).returncode

        with ThreadPool(4) as pool:
            assert pool.map(write, tasks) == [0] * len(tasks)
        for id in ids:
            kept = stored(id)
            found = [kept["first"]["answer"], *(each["answer"] for each in kept["later"])]
            assert sorted(found) == [*range(10), *range(100, 110)]
        assert {each.name for each in own_answers.iterdir()} == {"answers.json", "answers.lock"}

    def test_a_damaged_file_is_set_aside_not_lost(self, own_answers: Path) -> None:
        for content in (b'{"labkit answers": 1, "questi', b"\xff\xfe", b"[]", b"[" * 100_000):
            own_answers.mkdir(parents=True, exist_ok=True)
            answers_file().write_bytes(content)
            assert "No prediction yet" in repr(labkit.reveal("01-1", FACTS["01-1"][0]))
            assert "could not be read" in repr(labkit.answer("01-1", "a"))
            (aside,) = own_answers.glob("answers.damaged-*")
            assert aside.read_bytes() == content
            aside.unlink()
            assert stored("01-1")["first"]["answer"] == "a"

    def test_an_edited_file_is_no_traceback(self, own_answers: Path) -> None:
        own_answers.mkdir(parents=True)
        entries: list[Any] = [{"first": {"answer": "zzz"}}, {"first": 3}, {"first": {}}, {}]
        for entry in entries:
            content = {"labkit answers": 1, "questions": {"01-1": entry}, "exercises": {"x": {}}}
            answers_file().write_text(json.dumps(content))
            assert "No prediction yet" in repr(labkit.reveal("01-1", FACTS["01-1"][0]))
            assert labkit.predict("01-1").card.text

    @pytest.mark.skipif(not os.access("/proc/self/status", os.R_OK), reason="needs /proc")
    def test_where_nothing_can_be_written_it_goes_on_in_memory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))  # no folder can be made there
        said = repr(labkit.answer("01-1", "b"))
        assert "cannot be kept in a file" in said
        assert "XDG_DATA_HOME" in said
        assert "As you predicted" in repr(labkit.reveal("01-1", FACTS["01-1"][0]))

    def test_a_relative_data_folder_is_ignored(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_DATA_HOME", "somewhere")
        assert answers_file() == Path.home() / ".local/share/labkit/answers.json"

    def test_import_stays_light(self) -> None:
        script = "import sys, labkit; labkit.answer; print('pandas' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert done.stdout.strip() == "False"

    def test_entries_that_somebody_has_edited_are_mended(self) -> None:
        for later in (5, [5], {"a": 1}, None):
            labkit.answer("04-1", 2)
            file = answers_file()
            kept = json.loads(file.read_text())
            kept["questions"]["04-1"]["later"] = later
            kept["exercises"]["04-e1"] = {"tries": "many"}
            file.write_text(json.dumps(kept))
            assert "4" in repr(labkit.answer("04-1", 4))
            assert stored("04-1")["later"][-1]["answer"] == 4
            labkit.check("04-e1", 1)
            assert json.loads(file.read_text())["exercises"]["04-e1"]["tries"] == 1

    def test_what_cannot_be_read_is_not_called_nothing(self, tmp_path: Path) -> None:
        file = answers_file()
        file.parent.mkdir(parents=True)
        for make in (
            lambda: file.write_text("half"),
            lambda: file.write_text('{"labkit answers": 99}'),
            lambda: os.mkfifo(file),
        ):
            make()
            for args in (["answers"], ["answers", "export", "--id", "ada"]):
                done = command(*args, cwd=tmp_path, home=file.parent.parent)
                assert done.returncode == 1, done
                assert f"Your answers in {file} cannot be read: " in done.stderr
            file.unlink()

    @pytest.mark.parametrize(
        "value",
        [10**5000, np.array([1, 2]), [np.array([1, 2])] * 6, float("nan"), object()],
        ids=["long", "array", "arrays", "nan", "object"],
    )
    def test_values_that_cannot_be_printed_are_refused_in_one_sentence(self, value: Any) -> None:
        for id in ("02-4", "04-1", "01-1", "06-4"):
            with pytest.raises(labkit.RequestError) as refused:
                labkit.answer(id, value)
            assert "\n" not in str(refused.value)


class TestExercises:
    def test_checks_look_at_the_live_kernel(self) -> None:
        reader, writer = os.pipe()
        try:
            os.set_blocking(writer, False)
            held = 0
            try:
                while True:
                    held += os.write(writer, bytes(4096))
            except BlockingIOError:
                pass
            os.set_inheritable(reader, True)
            assert "Solved" in repr(labkit.check("03-e1", held))
            assert "Not yet" in repr(labkit.check("03-e1", held + 1))
            assert "Solved" in repr(labkit.check("05-e1", reader))
            assert "close-on-exec" in repr(labkit.check("05-e1", writer))
        finally:
            os.close(reader)
            os.close(writer)
        assert "is not open" in repr(labkit.check("05-e1", writer + 500))
        kept = json.loads(answers_file().read_text())["exercises"]
        assert kept["03-e1"]["tries"] == 2
        assert kept["03-e1"]["passed"]
        most = int(Path("/proc/sys/kernel/shmmni").read_text())
        largest = int(Path("/proc/sys/kernel/shmmax").read_text())
        assert "Solved" in repr(labkit.check("08-e1", most))
        assert "largest size" in repr(labkit.check("08-e1", largest))

    @pytest.mark.parametrize("each", exercises(), ids=lambda each: str(each.id))
    @pytest.mark.parametrize("value", [None, "words", object(), -1, {}, []])
    def test_whatever_is_handed_in_is_no_traceback(self, each: Any, value: object) -> None:
        assert "Not yet." in repr(labkit.check(each.id, value))

    def test_lost_updates_are_counted(self) -> None:
        assert "Solved" in repr(labkit.check("07-e1", {"counted": 90, "expected": 100}))
        assert "none lost" in repr(labkit.check("07-e1", {"counted": 100, "expected": 100}))

    def test_an_unknown_exercise_is_named(self) -> None:
        with pytest.raises(labkit.RequestError, match="no exercise '01-e9'"):
            labkit.check("01-e9", 1)
        assert issubclass(NotYet, Exception)


def test_a_segment_is_checked_where_it_lives(world: Any) -> None:
    world.passes(
        """
        import os, sysv_ipc, labkit
        os.environ["XDG_DATA_HOME"] = os.environ["TMPDIR"] + "/data"
        small = sysv_ipc.SharedMemory(None, sysv_ipc.IPC_CREX, size=4096)
        assert "not 10,000" in repr(labkit.check("02-e1", small))
        small.detach(); small.remove()
        made = sysv_ipc.SharedMemory(None, sysv_ipc.IPC_CREX, size=10_000)
        assert "attach it once more" in repr(labkit.check("02-e1", made))
        again = sysv_ipc.attach(made.id)
        assert "Solved" in repr(labkit.check("02-e1", made.id))
        made.detach(); again.detach(); made.remove()
        assert "No segment" in repr(labkit.check("02-e1", made.id))
        import shutil; shutil.rmtree(os.environ["XDG_DATA_HOME"])
        """
    )


def handed_in(folder: Path, id: str, answers: Mapping[str, Any], **more: Any) -> bytes:
    """What a student's export looks like, made by exporting."""
    data = folder / f"data-{len(list(folder.iterdir()))}"
    before = os.environ["XDG_DATA_HOME"]
    os.environ["XDG_DATA_HOME"] = str(data)
    try:
        for question_id, given in answers.items():
            labkit.answer(question_id, given)
            labkit.reveal(question_id, FACTS[question_id][0])
        path = export(id, data / "out.json")
    finally:
        os.environ["XDG_DATA_HOME"] = before
    content = json.loads(path.read_text()) | more
    return json.dumps(content).encode()


@pytest.fixture
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exports")


class TestHandingIn:
    def test_a_class_is_read_from_whatever_a_course_system_hands_out(
        self, tmp_path: Path, exports: Path
    ) -> None:
        ada = handed_in(exports, "ada", {"01-1": "a", "04-1": 2})
        bob = handed_in(exports, "=HYPERLINK(1)", {"01-1": "b", "06-1": "a"})
        old = handed_in(exports, "ADA", {"01-1": "b"}, exported="2000-01-01T00:00:00Z")
        inner = io.BytesIO()
        with zipfile.ZipFile(inner, "w") as archive:
            archive.writestr("../../../../etc/ada.json", ada)
            archive.writestr("__MACOSX/._ada.json", b"\0")
            archive.writestr("notes.docx", b"not ours")
        place = tmp_path / "downloads"
        place.mkdir()
        with zipfile.ZipFile(place / "lab 1 (all).ZIP", "w") as archive:
            archive.writestr("Müller, Bob_123_assign/ans wers.json", bob)
            archive.writestr("Ada/inner.zip", inner.getvalue())
            archive.writestr("Ada/again.json", ada)
            archive.writestr("Ada/first try.json", old)
        (place / "damaged.zip").write_bytes(inner.getvalue()[:200])
        (place / "empty.json").write_bytes(b"")
        (place / "other.json").write_text('{"a": 1}')
        (place / "loop").symlink_to(place)
        members = summarise(collect(place))
        assert [each.id for each in members.students] == ["=HYPERLINK(1)", "ada"]
        bobs, adas = members.students
        assert (adas.submissions, bobs.submissions) == (2, 1)
        assert adas.answers["01-1"].fits(question("01-1")) is False
        assert bobs.answers["01-1"].fits(question("01-1")) is True
        assert {where for where, _ in members.refused} == {
            "damaged.zip",
            "empty.json",
            "other.json",
        }
        assert not (tmp_path.parent / "etc").exists()

    def test_the_gradebook_cannot_carry_formulas(self, tmp_path: Path, exports: Path) -> None:
        import csv

        for number, id in enumerate(("=1+1", "@x", "-2", "+3", "plain, with comma", 'q"uote')):
            (tmp_path / f"={number}.json").write_bytes(handed_in(exports, id, {"01-1": "b"}))
        text = gradebook(summarise(collect(tmp_path)))
        rows = list(csv.DictReader(io.StringIO(text)))
        assert len(rows) == 6
        for row in rows:
            assert not [cell for cell in row.values() if cell.startswith(("=", "+", "-", "@"))]
            assert row["01-1"] == "1"
            assert row["04-1"] == ""
        assert {row["id"] for row in rows} >= {"'=1+1", "plain, with comma", 'q"uote'}
        assert "06-1" not in rows[0]  # hangs on times, and is not graded
        assert "06-3" in rows[0]

    def test_marks_follow_the_facts_not_the_file(self, tmp_path: Path, exports: Path) -> None:
        content = json.loads(handed_in(exports, "eve", {"01-1": "a", "04-1": 1}))
        content["questions"]["01-1"]["seen"]["right"] = "a"  # what a file claims counts nothing
        content["questions"]["04-1"]["seen"]["facts"] = {"nattch_after_fork": "one"}
        content["questions"]["02-1"] = {"first": {"answer": {"x": []}}, "later": 7}
        content["questions"]["nonsense"] = {"first": None}
        (tmp_path / "eve.json").write_text(json.dumps(content))
        (student,) = summarise(collect(tmp_path)).students
        assert set(student.answers) == {"01-1", "04-1"}
        assert student.answers["01-1"].fits(question("01-1")) is False
        assert student.answers["04-1"].fits(question("04-1")) is None

    def test_bombs_are_refused_unread(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        data = b"0" * (5 << 20)
        nested = b""
        for _ in range(MOST_DEPTH + 1):
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("in.zip" if nested else "big.json", nested or data)
            nested = packed.getvalue()
        (tmp_path / "deep.zip").write_bytes(nested)
        with zipfile.ZipFile(tmp_path / "wide.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(6):
                archive.writestr(f"{number}.json", data)
        monkeypatch.setattr("labkit.answers.collect.MOST_UNPACKED", 9 << 20)
        found = collect(tmp_path)
        assert found.submissions == []
        assert found.unpacked <= (9 << 20) + 6
        reasons = {why for _, why in found.refused}
        assert "it unpacks to too much" in reasons
        assert f"more than {MOST_DEPTH} archives one inside the other" in reasons

    def test_a_locked_archive_is_named(self, tmp_path: Path) -> None:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("a.json", b"{}")
        data = bytearray(packed.getvalue())
        data[6] |= 1  # the flag for encryption, in both heads
        data[data.index(b"PK\x01\x02") + 8] |= 1
        (tmp_path / "locked.zip").write_bytes(data)
        found = collect(tmp_path)
        assert "encrypted" in found.refused[0][1]

    def test_nobody_hurts_the_others(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """An archive that unpacks to too much, a number beyond a float, half a character."""
        labkit.answer("00-2", "b")
        labkit.reveal("00-2", FACTS["00-2"][0])
        handed = tmp_path / "handed"
        handed.mkdir()
        content = export("ada", tmp_path / "export.json").read_text()
        (tmp_path / "export.json").unlink()
        huge = json.loads(content.replace('"ada"', '"bob"'))
        facts = huge["questions"]["00-2"]["seen"]["facts"]
        huge["questions"]["00-2"]["seen"]["facts"] = dict.fromkeys(facts, 10**400)
        half = json.loads(content.replace('"ada"', '"cid"')) | {"exported": "\ud800"}
        with zipfile.ZipFile(handed / "1.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(6):
                archive.writestr(f"{number}.json", b"0" * (3 << 20))
        for number, each in enumerate((json.loads(content), huge, half), 2):
            with zipfile.ZipFile(handed / f"{number}.zip", "w") as archive:
                archive.writestr("a.json", json.dumps(each))
        monkeypatch.setattr("labkit.answers.collect.MOST_UNPACKED", 9 << 20)
        members = summarise(collect(handed))
        assert [student.id for student in members.students] == ["ada", "bob", "cid"]
        assert {where.partition("/")[0] for where, _ in members.refused} == {"1.zip"}
        write_file(tmp_path / "book.csv", gradebook(members))
        assert "cid" in (tmp_path / "book.csv").read_text()

    @pytest.mark.parametrize("name", ["a.json.txt", "a", "A (final)[2].TXT", "a.json"])
    def test_an_export_is_known_by_its_content_too(self, tmp_path: Path, name: str) -> None:
        labkit.answer("01-1", "a")
        content = export("ada", tmp_path / "export.json").read_bytes()
        (tmp_path / "export.json").unlink()
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + content)  # saved anew by an editor
        with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
            archive.writestr(f"s1/{name}", content.replace(b'"ada"', b'"bob"'))
            archive.writestr("s1/picture.png", b"\x89PNG")
        found = collect(tmp_path)
        assert sorted(s.id for s in summarise(found).students) == ["ada", "bob"]
        assert found.passed_over == ["all.zip/s1/picture.png"]
        assert found.refused == []


def command(*args: str, cwd: Path, home: Path) -> Any:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "XDG_DATA_HOME": str(home)}
    return subprocess.run(
        [*LABKIT, *args],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


class TestCommand:
    def test_from_answers_to_gradebook(self, tmp_path: Path) -> None:
        home = tmp_path / "data"
        nothing = command("answers", cwd=tmp_path, home=home)
        assert (nothing.returncode, nothing.stdout[:18]) == (0, "No predictions yet")
        none = command("answers", "export", "--id", "ada", cwd=tmp_path, home=home)
        assert none.returncode == 1
        assert "there are no answers yet" in none.stderr
        labkit.answer("01-1", "a")
        labkit.reveal("01-1", FACTS["01-1"][0])
        labkit.answer("01-1", "b")
        labkit.answer("06-4", "spin futex pipe")
        shown = command("answers", cwd=tmp_path, home=home)
        assert "01-1" in shown.stdout
        assert "not as predicted" in shown.stdout
        rows = json.loads(command("answers", "--format", "json", cwd=tmp_path, home=home).stdout)
        assert [row["question"] for row in rows] == ["01-1", "06-4"]
        done = command("answers", "export", "--id", "ada", cwd=tmp_path, home=home)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "labkit-answers-ada.json").is_file()
        again = command("answers", "export", "--id", "ada", cwd=tmp_path, home=home)
        assert again.returncode == 2
        assert "exists already" in again.stderr
        (tmp_path / "handed-in").mkdir()
        handed = tmp_path / "handed-in" / "labkit-answers-ada.json"
        (tmp_path / handed.name).rename(handed)
        ask = ("answers", "summary", "handed-in", "--out", "book.csv")
        (handed.parent / "report.pdf").write_bytes(b"%PDF")
        book = command(*ask, cwd=tmp_path, home=home)
        assert book.returncode == 0, book.stderr
        assert "passed over 1 file that is no export and no archive: report.pdf." in book.stderr
        (handed.parent / "half.json").write_bytes(handed.read_bytes()[:50])
        assert command(*ask[:-2], cwd=tmp_path, home=home).returncode == 1  # one was left out
        assert "1 student" in book.stdout
        assert "0 of 1 predicted what they then saw" in book.stdout
        assert (tmp_path / "book.csv").read_text().startswith("id,file,")

    @pytest.mark.parametrize(
        ("args", "status", "said"),
        [
            (["answers", "export"], 2, "an id is needed"),
            (["answers", "export", "--id", " "], 2, "1 to 64 visible characters"),
            (["answers", "export", "--id", "a" * 65], 2, "1 to 64 visible characters"),
            (["answers", "summary"], 2, "missing argument"),
            (["answers", "summary", "nowhere"], 2, "does not exist"),
            (["answers", "summary", "."], 1, "holds nothing that labkit answers export"),
            (["answers", "sumary", "."], 2, "did you mean 'summary'"),
        ],
    )
    def test_bad_requests_are_one_sentence(
        self, args: list[str], status: int, said: str, tmp_path: Path
    ) -> None:
        done = command(*args, cwd=tmp_path, home=tmp_path / "data")
        assert done.returncode == status
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
        assert done.stdout == ""


def test_the_store_says_nothing_when_all_is_well() -> None:
    store = Store()
    store.commit("01-1", "a")
    assert store.notice == ""


def test_each_reveal_of_the_notebooks_finds_its_facts_in_what_was_observed() -> None:
    """The walkthroughs and the claims say what the questions ask for, under the names they use."""
    seen = {
        "00-1": labkit.walk("mode_switches", mechanism="pipe", message="hello"),
        "01-1": (pipe := labkit.walk("mode_switches", mechanism="pipe")),
        "01-2": pipe,
        "01-3": labkit.walk("mode_switches", mechanism="pipe", beside="posix_shm", waiting="futex"),
        **dict.fromkeys(("02-1", "02-2", "02-3", "02-4"), labkit.walk("shm_lifecycle")),
        **dict.fromkeys(
            ("03-1", "03-2", "03-3", "03-4"), labkit.walk("persistence_after_read", message="hello")
        ),
        **dict.fromkeys(("04-1", "04-2", "04-3"), labkit.walk("fork_inheritance", message="hello")),
        **dict.fromkeys(("05-1", "05-2", "05-3"), labkit.walk("exec_detachment")),
        **dict.fromkeys(("07-1", "07-2", "07-3"), labkit.walk("synchronisation")),
        **dict.fromkeys(("08-1", "08-2", "08-3"), labkit.check_claims(progress=False)),
    }
    measured = ["00-2", *(each.id for nb in ("06", "09", "10") for each in questions(nb))]
    assert sorted([*seen, *measured]) == sorted(each.id for each in questions())
    for id, observed in seen.items():
        asked = question(id)
        facts = asked.read(observed)
        assert len(asked.saw(facts)) > 8
        with contextlib.suppress(Undecided):
            right = asked.right(facts)
            assert asked.say(right)
            if asked.choices:
                assert right in asked.choices
