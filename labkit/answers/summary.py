"""How a class predicted, against what it then saw; and a gradebook.

What a submission says of right and wrong is not believed: each answer is held anew, by the rules
of this labkit, against the facts that the student's machine showed. Counts and orderings are
graded; what hangs on a machine's times is shown, never graded.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from labkit.answers.collect import Collected, Submission
from labkit.answers.handing_in import clean_id
from labkit.answers.predictions import decide, first_and_latest
from labkit.answers.question import Given, Question, Right
from labkit.answers.questions import exercises, questions
from labkit.errors import LabkitError, RequestError

BAR = 24  # characters of a full bar
NAMED = 5  # files that are passed over, by name
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


@dataclass(frozen=True)
class Answered:
    """What one student said to one question, and how it came out on their machine."""

    first: Given
    latest: Given
    revisions: int
    right: Right | None  # None: not revealed, or undecided
    revealed: bool

    def fits(self, question: Question) -> bool | None:
        """Whether the first answer was the right one; None where that is open."""
        return None if self.right is None else question.matches(self.first, self.right)


@dataclass
class Student:
    """One student's latest submission."""

    id: str
    source: str
    exported: str
    submissions: int = 1
    answers: dict[str, Answered] = field(default_factory=dict)
    solved: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Class:
    """All students, whatever was refused: (where, why), and what was no export at all."""

    students: list[Student]
    refused: list[tuple[str, str]]
    passed_over: list[str] = field(default_factory=list)


def summarise(collected: Collected) -> Class:
    """A class out of its submissions: one entry per id, the latest export counts."""
    latest: dict[str, Student] = {}
    seen: dict[str, set[str]] = {}
    refused = list(collected.refused)
    for submission in collected.submissions:
        try:
            student = _student(submission)
        except RequestError:
            refused.append((submission.source, "it carries no id: export it with --id"))
            continue
        key = student.id.casefold()
        before = latest.get(key)
        seen.setdefault(key, set()).add(repr(submission.content))
        student.submissions = len(seen[key])
        if before is None or student.exported >= before.exported:
            latest[key] = student
        else:
            before.submissions = student.submissions
    members = sorted(latest.values(), key=lambda each: each.id.casefold())
    return Class(members, refused, collected.passed_over)


def _student(submission: Submission) -> Student:
    content = submission.content
    id, exported = content.get("id"), content.get("exported")
    student = Student(
        clean_id(id if isinstance(id, str) else ""),
        submission.source,
        exported if isinstance(exported, str) else "",
    )
    for question in questions():
        kept = content["questions"].get(question.id)
        if kept is not None:
            answered = _answered(question, kept)
            if answered is not None:
                student.answers[question.id] = answered
    for exercise in exercises():
        if content["exercises"].get(exercise.id, {}).get("passed"):
            student.solved.add(exercise.id)
    return student


def _answered(question: Question, kept: Mapping[str, Any]) -> Answered | None:
    """One answer; None where the entry is no answer to this question, whatever it is."""
    try:
        first, latest = first_and_latest(question, kept)
    except (LabkitError, LookupError, TypeError, AttributeError):
        return None
    later = kept.get("later")
    revisions = len(later) if isinstance(later, list) else 0
    # The first observation decides: an answer must not be held against a later, chosen run.
    seen = kept.get("seen")
    right: Right | None = None
    if isinstance(seen, dict):
        try:
            _, right, _ = decide(question, question.read(seen.get("facts")))
        except RequestError:
            seen = None
    return Answered(first, latest, revisions, right, isinstance(seen, dict))


def question_rows(members: Class) -> list[dict[str, Any]]:
    """One row for each question and answer that somebody gave, for a table or for JSON.

    Columns: question, asks, answered (students), answer, first (how many predicted it), now (how
    many say it after revising), right (how many then saw it on their machine).
    """
    rows = []
    for question in questions():
        given = [s.answers[question.id] for s in members.students if question.id in s.answers]
        firsts = Counter(question.counts_as(each.first) for each in given)
        nows = Counter(question.counts_as(each.latest) for each in given)
        shapes = question.drawing.shapes if question.drawing is not None else {}
        options: list[Given] = list(question.choices or shapes)
        options += sorted(
            {*firsts, *nows} - set(options), key=lambda each: (-firsts[each], str(each))
        )
        for option in options if given else []:
            shown = [
                each.right is not None and question.matches(option, each.right) for each in given
            ]
            rows.append(
                {
                    "question": question.id,
                    "asks": question.text.replace("`", ""),
                    "answered": len(given),
                    "answer": question.say(option).replace("`", ""),
                    "first": firsts[option],
                    "now": nows[option],
                    "right": sum(shown),
                }
            )
    return rows


def lines(members: Class) -> Iterator[str]:
    """The class in words and bars, for a terminal."""
    number = len(members.students)
    yield f"{number} student{'s' if number != 1 else ''}"
    for question in questions():
        rows = [row for row in question_rows(members) if row["question"] == question.id]
        if not rows:
            continue
        given = [s.answers[question.id] for s in members.students if question.id in s.answers]
        fits = [each.fits(question) for each in given]
        yield ""
        yield f"{question.id}  {question.text.replace('`', '')}"
        told = f"{sum(f is True for f in fits)} of {len(given)} predicted what they then saw"
        still_open = sum(f is None for f in fits)
        told += f", {still_open} not revealed or undecided" if still_open else ""
        revised = sum(each.revisions > 0 for each in given)
        yield f"      {told}; {revised} revised. Misconception: {question.misconception}"
        for row in rows:
            bar = "#" * round(BAR * row["first"] / row["answered"])
            mark = "*" if row["right"] else " "
            now = f" (now {row['now']})" if row["now"] != row["first"] else ""
            yield f"    {mark} {bar:<{BAR}} {row['first']:>4}  {row['answer']}{now}"
    if number:
        yield ""
        yield "* what the machines then showed"


def gradebook(members: Class) -> str:
    """The gradebook as CSV: one row a student, one column a question and exercise.

    A question's cell is 1 where the first answer was what the student's machine then showed, 0
    where it was not, and empty where there is no prediction, no reveal, or nothing to grade.
    """
    graded = [each for each in questions() if each.graded]
    tasks = exercises()
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\r\n")  # RFC 4180
    write.writerow(
        ["id", "file", "exported", "submissions", "predicted", "as_predicted", "revised", "solved"]
        + [each.id for each in graded]
        + [each.id for each in tasks]
    )
    for student in members.students:
        marks = [_mark(each, student.answers.get(each.id)) for each in graded]
        write.writerow(
            [_safe(each) for each in (student.id, student.source, student.exported)]
            + [student.submissions, len(student.answers), sum(m == 1 for m in marks)]
            + [sum(a.revisions > 0 for a in student.answers.values()), len(student.solved)]
            + marks
            + [1 if each.id in student.solved else 0 for each in tasks]
        )
    return out.getvalue()


def _mark(question: Question, answered: Answered | None) -> int | str:
    fits = answered.fits(question) if answered is not None else None
    return "" if fits is None else int(fits)


def _safe(text: str) -> str:
    """Text that no spreadsheet takes for a formula (a leading apostrophe makes it text)."""
    text = text.encode("utf-8", "replace").decode()  # half a character, as JSON can hold
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA) else text


def told(members: Class) -> list[str]:
    """One sentence for each thing that was refused, and one for what was no export at all."""
    said = [f"left out {where}: {why}." for where, why in members.refused]
    if others := members.passed_over:
        named = ", ".join(others[:NAMED]) + (", ..." if len(others) > NAMED else "")
        count = "1 file that is" if len(others) == 1 else f"{len(others)} files that are"
        said.append(f"passed over {count} no export and no archive: {named}.")
    return said
