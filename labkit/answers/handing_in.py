"""What a student sees of their answers, and the file that is handed in."""

import json
import re
import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from labkit import __version__
from labkit.answers.predictions import decide
from labkit.answers.question import Question
from labkit.answers.questions import exercises, questions
from labkit.answers.store import FORMAT, Store
from labkit.errors import LabkitError, RequestError
from labkit.whole_file import write_file

MOST_ID = 64  # characters
COLUMNS = ("question", "asks", "first", "first_at", "now", "revisions", "observed", "right")


def clean_id(id: str) -> str:
    """The id under which a student hands in, as it is written everywhere.

    Raises:
        RequestError: it is empty, too long or has characters that cannot be shown.
    """
    text = unicodedata.normalize("NFC", " ".join(id.split()))
    if not text or len(text) > MOST_ID or not text.isprintable():
        raise RequestError(
            f"the id to hand in under must have 1 to {MOST_ID} visible characters: give the one"
            " that your course knows you by, as in labkit answers export --id s1234."
        )
    return text


def rows() -> list[dict[str, Any]]:
    """One row for each question that was answered, in the order of the notebooks (COLUMNS)."""
    _kept()
    store = Store()
    return [row for each in questions() if (row := _row(each, store.of(each.id)))]


def solved() -> list[str]:
    """The exercises that were solved."""
    kept = _kept()["exercises"]
    return [each.id for each in exercises() if kept.get(each.id, {}).get("passed")]


def _kept() -> dict[str, Any]:
    """All that is kept.

    Raises:
        LabkitError: there is something, and it cannot be read.
    """
    store = Store()
    kept = store.read()
    if store.notice:
        raise LabkitError(store.notice)
    return kept


def export(id: str, out: str | Path | None = None) -> Path:
    """Write the answers to a file that can be handed in.

    Args:
        id: what the course knows the student by.
        out: the file; by default `labkit-answers-ID.json` here. It must not exist.

    Raises:
        RequestError: the id will not do, or the file exists or cannot be made there.
        LabkitError: there is nothing to hand in.
    """
    name = clean_id(id)
    kept = _kept()
    if not kept["questions"] and not kept["exercises"]:
        raise LabkitError("there are no answers yet: make a prediction in a notebook first.")
    safe = re.sub(r"[^\w.-]+", "_", name).strip("._") or "student"
    target = Path(out) if out is not None else Path(f"labkit-answers-{safe}.json")
    content = {
        "labkit answers": FORMAT,
        "labkit": __version__,
        "id": name,
        "exported": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "questions": kept["questions"],
        "exercises": kept["exercises"],
    }
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False)
    return write_file(target, f"{text}\n")


def _row(question: Question, kept: dict[str, Any] | None) -> dict[str, Any] | None:
    if kept is None:
        return None
    later = kept.get("later") or []
    try:
        first = question.parse(kept["first"]["answer"])
        now = question.parse(later[-1]["answer"]) if later else first
    except (LabkitError, LookupError, TypeError):
        return None
    saw, right = "", ""
    seen = kept.get("seen_last")
    if isinstance(seen, dict):
        try:
            saw, found, _ = decide(question, question.read(seen.get("facts")))
            fits = found is not None and question.matches(first, found)
            right = "open" if found is None else "yes" if fits else "no"
        except RequestError:
            saw = ""
    return {
        "question": question.id,
        "asks": question.text.replace("`", ""),
        "first": question.say(first).replace("`", ""),
        "first_at": str(kept["first"].get("at", "")),
        "now": question.say(now).replace("`", ""),
        "revisions": len(later),
        "observed": saw.replace("`", ""),
        "right": right,
    }
