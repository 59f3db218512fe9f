"""What a prediction, a reveal and a check look like: words for a terminal, a card for a page.

A card is plain HTML without script, so it reads the same in JupyterLab, in an exported page and on
a slide. Its colours follow the page's: dark on light, light on dark.
"""

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from typing import Any, Literal

from labkit.answers.drawing import Drawing, Line
from labkit.answers.question import Given, Question, Right
from labkit.answers.sketch import Named, picture

# Set where a notebook is run for readers: nobody's answers are shown, and all explanations are.
SHOWN_AS = "LABKIT_SHOWN_AS"
# What many think and the question is out to meet; beside it stands what this machine showed.
BELIEVED = "Often believed"
FAR = 3.0  # times: a point that far off is told, whatever the shape
Shown = Literal["live", "page", "deck"]

STYLE = """
.lk-card { border-left: .35em solid #0072B2; background: rgba(0, 114, 178, .07); padding: .7em 1em;
  margin: .4em 0; max-width: 62em; line-height: 1.45; font-size: 1.05em; text-align: left; }
.lk-card.lk-good { border-color: #009E73; background: rgba(0, 158, 115, .09); }
.lk-card.lk-bad { border-color: #D55E00; background: rgba(213, 94, 0, .08); }
.lk-card p { margin: .35em 0; }
.lk-card .lk-tag { font-size: .85em; font-weight: 600; letter-spacing: .02em; opacity: .8; }
.lk-card .lk-ask { font-size: 1.1em; font-weight: 600; }
.lk-card dl { display: grid; grid-template-columns: max-content 1fr; gap: .3em .8em;
  margin: .5em 0; }
.lk-card dl dt { font-weight: 700; float: none; width: auto; white-space: nowrap; }
.lk-card dd { margin: 0; }
.lk-card .lk-small { font-size: .88em; opacity: .85; }
.lk-card code { font-family: var(--jp-code-font-family, "DejaVu Sans Mono", monospace);
  background: rgba(128, 128, 128, .16); padding: 0 .25em; border-radius: .2em; }
.lk-card details { margin: .4em 0; }
.lk-drawing { display: block; width: 100%; max-width: 34em; height: auto; margin: .5em 0; }
[data-jp-theme-light=false] .lk-drawing, [data-labkit-theme=dark] .lk-drawing {
  --lk-drawn: #F0A03C; --lk-revised: #E28BC0; --lk-observed: #56B4E9; }
@media (prefers-color-scheme: dark) {
  html:not([data-labkit-theme]) body:not([data-jp-theme-light]) .lk-drawing {
    --lk-drawn: #F0A03C; --lk-revised: #E28BC0; --lk-observed: #56B4E9; } }
.lk-body .lk-drawing { max-width: none; max-height: 620px; }
.lk-body .lk-held { display: grid; grid-template-columns: 62% 1fr; gap: 1em; align-items: center; }
.lk-card summary { cursor: pointer; }
"""


def shown_as() -> Shown:
    """For whom cells run: a person at a kernel, an exported page, or a deck."""
    found = os.environ.get(SHOWN_AS)
    return "page" if found == "page" else "deck" if found == "deck" else "live"


@dataclass(frozen=True)
class Card:
    """Something to be shown: `text` in a terminal, `html` on a page."""

    text: str
    html: str = field(repr=False)

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> dict[str, Any]:
        return {"text/html": self.html, "text/plain": self.text}


def asked(
    question: Question, kept: Mapping[str, Any] | None, notice: str, pad: bool = False
) -> Card:
    """A question with its choices, and what has been answered so far.

    Args:
        question: what is asked.
        kept: what was answered so far.
        notice: what the reader should know of the answers' file.
        pad: a pad to draw on follows, so that no axes are needed here.
    """
    how = f"labkit.answer({question.id!r}, {question.example})".replace("'", '"')
    lines = [f"Predict {question.id}: {plain(question.text)}"]
    body = f'<p class="lk-ask">{marked(question.text)}</p>'
    options = {key: choice.text for key, choice in question.choices.items()} or question.items
    if options:
        lines += [f"  {key}: {plain(text)}" for key, text in options.items()]
        body += _rows(options)
    if question.kind == "number":
        mark = "," if question.unit.startswith("in ") else ":"
        body += f"<p>A number{mark} {escape(question.unit)}.</p>"
    elif question.kind == "ordering":
        body += "<p>Put them in order, first to last.</p>"
    elif question.drawing is not None:
        lines += [f"  {', '.join(question.drawing.columns.values())}: {question.drawing.axis.name}"]
        if not pad:
            body += picture(question.drawing, _drawn_so_far(question, kept))
    by_click = "Answer below, or in code: " if shown_as() == "live" else "In the notebook: "
    foot = list(_said_so_far(question, kept))
    lines += [f"Answer with {how}", *foot]
    if shown_as() != "deck":
        body += f'<p class="lk-small">{by_click}<code>{escape(how)}</code></p>'
    body += "".join(f'<p class="lk-small">{marked(each)}</p>' for each in foot)
    return _card(lines, f"Predict, {question.id}", body, notice=notice)


def kept_card(question: Question, kept: Mapping[str, Any], notice: str) -> Card:
    """That an answer was kept."""
    lines = list(_said_so_far(question, kept))
    body = "".join(f"<p>{marked(each)}</p>" for each in lines)
    if question.drawing is not None:
        body += picture(question.drawing, _drawn_so_far(question, kept))
    return _card(lines, f"Kept, {question.id}", body, notice=notice)


def none_yet(
    question: Question, saw: str, right: Right | None, undecided: str, line: Line | None = None
) -> Card:
    """A reveal without a prediction: what was observed stays folded, and the notebook goes on."""
    how = f"labkit.answer({question.id!r}, {question.example})".replace("'", '"')
    ask = f"No prediction yet for {question.id}. Make one ({how}) and run this cell again."
    body = f"<p>No prediction yet. Make one above, or with <code>{escape(how)}</code>, and run this"
    body += " cell again.</p><details><summary>Look without a prediction</summary>"
    seen = f"{_seen(question, line)}{_observed(question, saw, right, undecided)}"
    body += f"{seen}{_explanations(question)}</details>"
    return _card([ask], f"Question {question.id}", body)


def unobserved(question: Question, why: str) -> Card:
    """A reveal for which something was not observed."""
    lines = [f"Not held against anything: {why}"]
    return _card(lines, f"Question {question.id}", f"<p>{marked(lines[0])}</p>", "lk-bad")


def for_readers(
    question: Question, saw: str, right: Right | None, undecided: str, line: Line | None = None
) -> Card:
    """A reveal in an exported page or deck: what was observed, and what to say to each answer."""
    body = f'<p class="lk-ask">{marked(question.text)}</p>'
    found = f"{_seen(question, line)}{_observed(question, saw, right, undecided)}"
    why = _explanations(question)
    if shown_as() == "deck" and question.drawing is not None:
        found = _drawing_on_a_slide(question, line, saw, right, undecided)
    elif shown_as() == "page":
        found = f"<details><summary>What this machine showed</summary>{found}{why}</details>"
    else:  # one step later, after the class has had its say
        found += f'<div class="fragment">{why}</div>'
    so = undecided if right is None else f"So: {question.say(right)}"
    lines = [f"{question.id}: {plain(saw)}", plain(so)]
    return _card(lines, f"Observed, {question.id}", body + found, "lk-good")


def held(
    question: Question,
    given: Given,
    latest: Given,
    saw: str,
    right: Right | None,
    undecided: str,
    notice: str,
    line: Line | None = None,
) -> Card:
    """A prediction, held against what was observed.

    Args:
        question: what was asked.
        given: the first answer.
        latest: the latest answer.
        saw: what was observed, in a sentence.
        right: the right answer; None where the observation settles nothing.
        undecided: why it settles nothing.
        notice: what the reader should know of the answers' file.
        line: the line that was observed, if one was drawn.
    """
    lines = [f"You predicted {plain(question.say(given))}", f"Observed: {plain(saw)}"]
    rows = {"You predicted": question.say(given)}
    if latest != given:
        rows = {"First": question.say(given), "Revised": question.say(latest)}
        lines.insert(1, f"You then said {plain(question.say(latest))}")
    rows |= {BELIEVED: question.misconception, "Observed": saw}
    look, verdict = "", undecided
    if right is not None:
        fits, now = question.matches(given, right), question.matches(latest, right)
        look = "lk-good" if now else "lk-bad"
        verdict = "As you predicted." if fits else "Not what you predicted first."
        if fits and not now:
            verdict = "You were right at first."
        elif now and not fits:
            verdict = "Not what you predicted first, but what you said then."
        if question.drawing is not None:
            verdict = f"{verdict.removesuffix('.')}: that is, the shape of the line."
            verdict += _off(question.drawing, _line(latest), line)
        if not now:
            rows["So"] = question.say(right)
    lines += [verdict, plain(question.explain(latest))]
    drawn = _drawn(given, latest)
    body = _seen(question, line, drawn) + _rows(rows)
    body += f"<p><b>{marked(verdict)}</b> {marked(question.explain(latest))}</p>"
    if question.choices or question.drawing is not None:
        others = _explanations(question, question.counts_as(latest))
        body += "<details><summary>What to say to the other answers</summary>"
        body += f"{others}</details>"
    return _card(lines, f"Prediction and observation, {question.id}", body, look, notice)


def checked(id: str, text: str, passed: bool, said: str, notice: str) -> Card:
    """The outcome of a self-check."""
    verdict = "Solved." if passed else "Not yet."
    body = f"<p><b>{verdict}</b> {marked(said)}</p>"
    if not passed:
        body = f"<p>{marked(text)}</p>{body}"
    lines = [f"{id}: {verdict} {plain(said)}"]
    return _card(lines, f"Exercise {id}", body, "lk-good" if passed else "lk-bad", notice)


def marked(text: str) -> str:
    """Words as HTML, with `code` in backticks."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))


def plain(text: str) -> str:
    """Words without their backticks."""
    return text.replace("`", "")


def _card(lines: list[str], tag: str, body: str, look: str = "", notice: str = "") -> Card:
    if notice:
        lines = [*lines, notice]
        body += f'<p class="lk-small">{escape(notice)}</p>'
    html = f'<style>{STYLE}</style><div class="lk-card {look}" role="group" aria-label="{tag}">'
    return Card("\n".join(filter(None, lines)), f'{html}<p class="lk-tag">{tag}</p>{body}</div>')


def _rows(rows: Mapping[str, str]) -> str:
    inner = "".join(
        f"<dt>{escape(name)}</dt><dd>{marked(text)}</dd>" for name, text in rows.items()
    )
    return f"<dl>{inner}</dl>"


def _observed(question: Question, saw: str, right: Right | None, undecided: str) -> str:
    so = undecided if right is None else question.say(right)
    return _rows({BELIEVED: question.misconception, "Observed": saw, "So": so})


def _explanations(question: Question, but: Given = "") -> str:
    """What to say to each answer but one; or the explanation, where it is the same for all."""
    if question.drawing is not None:
        shapes = question.drawing.shapes
        told = [shape for key, shape in shapes.items() if key != but]
        return "".join(f"<p><b>{marked(each.text)}.</b> {marked(each.why)}</p>" for each in told)
    if not question.choices:
        return f"<p>{marked(question.why)}</p>"
    return _rows({key: choice.why for key, choice in question.choices.items() if key != but})


def _seen(question: Question, line: Line | None, drawn: Sequence[Named] = ()) -> str:
    """The picture of the observed line, with what was drawn; nothing where nobody draws."""
    if question.drawing is None or line is None:
        return ""
    return picture(question.drawing, [*drawn, Named("observed", "observed", line)])


def _drawing_on_a_slide(
    question: Question, line: Line | None, saw: str, right: Right | None, undecided: str
) -> str:
    """The observed line and its numbers; one step later its shape, and why it has that."""
    so = undecided
    if right is not None and question.drawing is not None:
        shape = question.drawing.shapes[str(right)]
        so = f"<b>{marked(shape.text)}.</b> {marked(shape.why)}"
    words = f'<p>{marked(saw[0].upper() + saw[1:])}</p><p class="fragment">{so}</p>'
    return f'<div class="lk-held">{_seen(question, line)}<div>{words}</div></div>'


def _drawn(given: Given, latest: Given) -> list[Named]:
    """The first drawing and the latest, if they differ; nothing where they are no drawings."""
    first, last = _line(given), _line(latest)
    if not first or not last:
        return []
    if first == last:
        return [Named("you", "drawn", first)]
    return [Named("you, first", "drawn", first), Named("you, then", "revised", last)]


def _drawn_so_far(question: Question, kept: Mapping[str, Any] | None) -> list[Named]:
    if kept is None or shown_as() != "live":
        return []
    later = kept.get("later") or [kept["first"]]
    return _drawn(question.parse(kept["first"]["answer"]), question.parse(later[-1]["answer"]))


def _line(given: Given) -> Line:
    numbers = given if isinstance(given, tuple) else ()
    return tuple(each for each in numbers if isinstance(each, int | float))


def _off(drawing: Drawing, drawn: Line, observed: Line | None) -> str:
    """Where a line of the right shape, or not, is far from the observed one; "" if nowhere."""
    if not drawing.axis.factors or not observed or not drawn:
        return ""
    factors = [one / other for one, other in zip(drawn, observed, strict=True)]
    at, factor = max(enumerate(factors), key=lambda each: max(each[1], 1 / each[1]))
    times, way = (factor, "high") if factor > 1 else (1 / factor, "low")
    column = list(drawing.columns.values())[at]
    return f" At {column} yours is {times:.0f} times too {way}." if times >= FAR else ""


def _said_so_far(question: Question, kept: Mapping[str, Any] | None) -> Iterator[str]:
    """The first answer and the latest revision, with their times."""
    if kept is None or shown_as() != "live":
        return
    first, later = kept["first"], kept.get("later") or []
    words = question.say(question.parse(first["answer"])).rstrip(".")
    when = f" ({_clock(first['at'])})" if first["at"] else ""
    yield f"Your first answer{when}: {words}."
    if later:
        words = question.say(question.parse(later[-1]["answer"])).rstrip(".")
        yield f"Revised ({_clock(later[-1]['at'])}): {words}."


def _clock(at: str) -> str:
    """A time as it is kept, by the clock on the wall here."""
    try:
        return f"{datetime.fromisoformat(at).astimezone():%Y-%m-%d %H:%M}"
    except (TypeError, ValueError, OverflowError):  # somebody has edited the file
        return str(at)
