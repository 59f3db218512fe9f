"""The command line: it takes requests and shows results, and holds no logic of its own.

Exit status: 0 done, 1 something that ran failed, 2 the request was wrong. Errors are one sentence
on standard error. Heavy parts are imported where they are used, so that help and errors come at
once.
"""

import errno
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from labkit import __version__
from labkit.errors import BrokenOff, Interrupted, LabkitError, RequestError
from labkit.harness.interruption import heeded
from labkit.harness.request import (
    COPIES,
    DEFAULT_BUDGET,
    ENGINES,
    PATTERNS,
    PLACEMENTS,
    THOROUGH_BUDGET,
    TOUCHES,
    VERIFICATIONS,
    WAITINGS,
    build_request,
    nearest,
)
from labkit.kernel.standard_streams import forget, usable
from labkit.mechanisms import names

if TYPE_CHECKING:
    from labkit.harness.run import Run
    from labkit.slides.cutting import Cut

DONE, FAILED, WRONG = 0, 1, 2
# Whoever read this has seen enough; click and rich make it an exit of the whole program.
READER_GONE = (BrokenPipeError, SystemExit)
# What a full disk, a limit of files, a closed terminal and a file opened for reading say.
OUTPUT_REFUSED = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)
FORMATS = ("table", "json", "csv")
EXTRA = names(extra=True)[len(names()) :]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: arguments without the program's name; by default those of this process.

    Returns:
        The exit status.
    """
    with usable():
        return _run(argv)


def _run(argv: Sequence[str] | None) -> int:
    try:
        with heeded():
            status = commands.main(
                args=None if argv is None else list(argv), prog_name="labkit", standalone_mode=False
            )
        sys.stdout.flush()
        return status if isinstance(status, int) else DONE
    except click.ClickException as error:
        return _complain(_sentence(error), WRONG)
    except RequestError as error:
        return _complain(str(error), WRONG)
    except LabkitError as error:
        return _complain(str(error), FAILED)
    except (click.Abort, KeyboardInterrupt):
        return _complain("interrupted.", FAILED)
    except READER_GONE:
        forget(sys.stdout)
        return DONE
    except OSError as error:
        if error.errno not in OUTPUT_REFUSED:
            raise
        forget(sys.stdout)
        return _complain(f"standard output takes no more ({error.strerror}).", FAILED)


class _Commands(click.Group):
    """A group that names the nearest command, and help without a command."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            known = self.list_commands(ctx)
            near = nearest(args[0], known)
            meant = f" (did you mean '{near}'?)" if near else ""
            raise click.ClickException(
                f"there is no command {args[0][:60]!r}{meant}; it is one of {', '.join(known)}."
            )
        return super().resolve_command(ctx, args)


def _several(*flags: str, of: str) -> Callable[[Any], Any]:
    return click.option(*flags, multiple=True, metavar="NAME", help=of)


def _one_of(allowed: Sequence[str]) -> str:
    return f"{', '.join(allowed[:-1])} or {allowed[-1]}"


_format = click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default=FORMATS[0],
    show_default=True,
    help="What standard output carries.",
)


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: labkit compare -m pipe -m posix_shm -s 64 -s 4K --budget 10",
)
@click.version_option(__version__, message="labkit %(version)s")
@click.pass_context
def commands(ctx: click.Context) -> None:
    """See, measure and understand interprocess communication on your own Linux kernel."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@commands.command(
    epilog="Example: labkit compare -m posix_shm --waiting futex --waiting spin -s 64,4K"
    " --placement cross-cpu --budget 10"
)
@_several(
    "--mechanism",
    "-m",
    "mechanisms",
    of=f"{_one_of(names())}, all by default; {_one_of(EXTRA)} by name; or a file of your own,"
    " ./my_mechanism.py.",
)
@click.option(
    "--size",
    "-s",
    "sizes",
    multiple=True,
    metavar="BYTES",
    help="Payload of a message: 64, 4K, 1M; by default six from 8 to 1M (thorough: four).",
)
@_several("--pattern", "patterns", of=f"{_one_of(PATTERNS)}; by default both.")
@_several(
    "--placement", "placements", of=f"{_one_of(PLACEMENTS)}; by default same-cpu and cross-cpu."
)
@_several("--waiting", of=f"For shared memory: {_one_of(WAITINGS)}; by default futex and spin.")
@_several("--copy", of=f"For shared memory: {_one_of(COPIES)}; by default copy.")
@_several("--touch", of=f"{_one_of(TOUCHES)}: which bytes the ends use; by default ends.")
@_several("--engine", of=f"{_one_of(ENGINES)}; by default compiled.")
@click.option(
    "--verify",
    default=VERIFICATIONS[0],
    show_default=True,
    metavar="NAME",
    help="ends: check the number at both ends of each message; full: check every byte.",
)
@click.option(
    "--budget",
    metavar="SECONDS",
    help="Time for the whole run."
    f"  [default: {DEFAULT_BUDGET:.0f}; {THOROUGH_BUDGET:.0f} for a thorough one]",
)
@click.option(
    "--thorough",
    is_flag=True,
    help="What is not chosen is all there is: mechanisms, placements, waiting, copy, engines; it"
    " takes up to five minutes.",
)
@click.option(
    "--out", metavar="DIR", help="Folder to save the run in; by default a new one in data/runs."
)
@_format
def compare(
    out: str | None, form: str, budget: str | None, verify: str, thorough: bool, **asked: Any
) -> int:
    """Measure mechanisms under one producer and one consumer, and save the run.

    Options that take a NAME or BYTES can be given several times, or once with commas.
    """
    chosen: dict[str, Any] = {name: values or None for name, values in asked.items()}
    if budget is not None:
        chosen["budget"] = budget
    elif thorough:
        chosen["budget"] = THOROUGH_BUDGET
    request = build_request(verify=verify, thorough=thorough, **chosen)
    from labkit.harness.run_folder import check_out, default_folder

    check_out(default_folder() if out is None else out)
    from labkit.costs.beside import add_constants, leave_room
    from labkit.harness.compare import compare as measure
    from labkit.harness.interruption import kept
    from labkit.progress import shown

    try:
        with shown() as tell:
            run = measure(leave_room(request), tell, meanwhile=_load_plots)
            add_constants(run, request, tell)
    except (BrokenOff, Interrupted) as stop:
        measured = stop.run
        return _complain(kept(stop, out, lambda folder: _draw(measured, folder)), FAILED)
    except KeyboardInterrupt as stop:
        return _complain(str(stop), FAILED)
    refused = None
    try:
        run.save(out, extra=lambda folder: _draw(run, folder))
    except LabkitError as error:  # the numbers are shown all the same
        refused = error
    except KeyboardInterrupt:  # while the figures were drawn
        return _complain(kept(Interrupted("interrupted", run, 0), out), FAILED)
    with suppress(*READER_GONE):  # that says nothing of the run
        _show(run, form)
    if refused is not None:
        raise refused
    failed = int((run.summary["status"] == "failed").sum())
    if failed:
        cells = "1 cell" if failed == 1 else f"{failed} cells"
        return _complain(f"{cells} failed; the column reason says why.", FAILED)
    return DONE


def _load_plots() -> None:
    """Load what draws the figures while there is nothing to measure yet."""
    import_module("labkit.plots")


@commands.command(epilog="Example: labkit show data/runs/2026-01-31T12-00-00 --format csv")
@click.argument("run")
@_format
def show(run: str, form: str) -> int:
    """Show a run that was saved; RUN is its folder."""
    from labkit.harness.run import load

    _show(load(run), form)
    return DONE


@commands.command(epilog="Example: labkit diff data/runs/before data/runs/after --format csv")
@click.argument("a")
@click.argument("b")
@_format
def diff(a: str, b: str, form: str) -> int:
    """Say what changed from run A to run B; both are folders of runs.

    A change is one that the intervals show and that is larger than what two runs of one machine
    differ by, 10 %.
    """
    from labkit.difference_table import print_difference
    from labkit.harness.diff import diff as find
    from labkit.harness.diff import sentences
    from labkit.harness.run import load
    from labkit.table import print_lines, write_table

    runs = load(a), load(b)
    table = find(*runs)
    if form == "table":
        print_difference(table, sys.stdout)
    else:
        write_table(table, form, sys.stdout)
    sys.stdout.flush()
    print_lines(sentences(*runs, table), sys.stdout if form == "table" else sys.stderr)
    return DONE


@commands.command("class", epilog="Example: labkit class handed-in/ --out class.parquet")
@click.argument("place", metavar="DIR")
@click.option(
    "--out",
    default="class.parquet",
    show_default=True,
    metavar="FILE",
    help="The pooled table, Parquet; the figures go beside it. One that is there is replaced.",
)
@click.option(
    "--mine", metavar="RUN", help="A run to mark in the figures; by default this machine, if there."
)
def class_(place: str, out: str, mine: str | None) -> int:
    """Pool a class's runs into one table, and draw each mechanism's spread over the machines.

    DIR holds the runs in any folders and zips, as a course system hands them out; it may be one
    zip. What is damaged is refused by its name, and the rest is used.
    """
    from labkit.harness.cohort import pool, tag
    from labkit.harness.run import load
    from labkit.kernel import machine
    from labkit.table import print_lines

    run = None if mine is None else load(mine)
    pooled = pool(place, out)
    ours = tag(machine.describe())
    print_lines(pooled.sentences(), sys.stdout)
    marked = run or (ours if ours in pooled.machines else None)
    print_lines(_draw_class(pooled.path, marked), sys.stdout)
    return FAILED if pooled.damaged else DONE


def _draw_class(pooled: Path, marked: Any) -> list[str]:
    """Write the figures of a class beside its table; says where, and what could not be drawn."""
    from labkit import plots

    said = [f"Table: {pooled}"]
    for pattern in PATTERNS:
        try:
            figure = plots.cohort(pooled, marked, pattern=pattern)
        except RequestError as error:
            said.append(f"No figure of {pattern}: {error}")
        else:
            files = plots.save(figure, pooled.with_name(f"{pooled.stem}-{pattern}"))
            said.append(f"Figure: {files[0]}")
    return said


@commands.command(epilog="Example: labkit clean --dry-run --format json")
@click.option("--dry-run", is_flag=True, help="Remove nothing; say what would be removed.")
@_format
def clean(dry_run: bool, form: str) -> int:
    """Remove what killed runs of yours have left on this machine.

    Each run begins with this. Only what labkit made itself, under a process that is gone by now, is
    removed.
    """
    from labkit.cleanup import print_cleaned
    from labkit.kernel.cleaning import clean as remove

    done = remove(dry_run)
    print_cleaned(done, dry_run, form, sys.stdout)
    sys.stdout.flush()
    for note in done.notes:
        _complain(note, DONE)
    return FAILED if done.refused else DONE


@commands.command(epilog="Example: labkit claims --format csv > claims.csv")
@_format
def claims(form: str) -> int:
    """Put the class notes to the test: try each of their claims, and more, on this kernel.

    Each comes with a verdict, what was observed, the evidence and the manual page that says so. A
    claim that does not hold is no failure; an experiment that goes wrong is.
    """
    from labkit.claims import examine
    from labkit.claims.claim import FAILED as WENT_WRONG
    from labkit.claims.report import write
    from labkit.progress import shown

    with shown() as tell:
        rows = examine(tell)
    write(rows, form, sys.stdout)
    sys.stdout.flush()
    wrong = [row["id"] for row in rows if row["verdict"] == WENT_WRONG]
    if wrong:
        return _complain(f"experiments that went wrong: {', '.join(wrong)}.", FAILED)
    return DONE


@commands.command(epilog="Example: labkit costs --format csv > costs.csv")
@_format
def costs(form: str) -> int:
    """Measure this machine's constants: calls, switches, wake-ups, copies, faults.

    In under ten seconds (the first time some more, for compiling). A comparison with a budget of 30
    seconds or more keeps them beside its numbers, and explains these with them.
    """
    from labkit.costs import costs as measure
    from labkit.costs_table import print_costs
    from labkit.progress import shown
    from labkit.table import write_table

    with shown() as tell:
        table = measure(tell)
    if form == "table":
        print_costs(table, sys.stdout)
    else:
        write_table(table, form, sys.stdout)
    return DONE


@commands.command(epilog="Example: labkit doctor --quick --format json")
@click.option("--quick", is_flag=True, help="Leave out what has to be measured.")
@_format
def doctor(quick: bool, form: str) -> int:
    """Say what this machine lets labkit do, why not, and what to type then."""
    from labkit.checkup import examine
    from labkit.checkup.report import write

    write(examine(quick), form, sys.stdout)
    return DONE


@commands.command(
    epilog="Example: labkit walk mode_switches -o mechanism=sysv_mq --html queue.html"
)
@click.argument("name")
@click.option(
    "--option", "-o", "options", multiple=True, metavar="NAME=VALUE", help="Set what it takes."
)
@click.option("--html", metavar="FILE", help="Save it as one page that needs no network.")
@click.option(
    "--format",
    "form",
    type=click.Choice(("text", "json", "csv")),
    default="text",
    show_default=True,
    help="What standard output carries.",
)
def walk(name: str, options: tuple[str, ...], html: str | None, form: str) -> int:
    """Watch the kernel do something, step by step, here and now.

    NAME is mode_switches, shm_lifecycle, persistence_after_read, fork_inheritance, exec_detachment,
    synchronisation or rendezvous.
    """
    from labkit.player.text import options_from, write
    from labkit.player.walk import Walk, check_file
    from labkit.walkthroughs import observe, subject

    if html is not None:
        check_file(html)
    found = Walk(observe(name, options_from(options, subject(name).options)))
    if html is not None:
        print(f"Saved as {found.save(html)}", file=sys.stderr, flush=True)
    if html is None or form != "text":
        write(found, form, sys.stdout)
    return DONE


@commands.group(
    cls=_Commands,
    invoke_without_command=True,
    epilog="Example: labkit mechanism new my_mechanism.py",
)
@click.pass_context
def mechanism(ctx: click.Context) -> None:
    """Begin a mechanism of your own: four verbs in a file, measured beside the others."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@mechanism.command(epilog="Example: labkit mechanism new my_mechanism.py")
@click.argument("file")
def new(file: str) -> int:
    """Write a small, whole mechanism to FILE, for you to change."""
    from labkit.mechanisms.starting_file import write

    path = write(file)
    asked = path if os.sep in path else f"./{path}"
    print(f"Written to {path}. Measure it:  labkit compare -m pipe -m {asked} -s 64 --budget 10")
    return DONE


@commands.group(
    cls=_Commands,
    invoke_without_command=True,
    epilog="Example: labkit answers export --id s1234",
)
@_format
@click.pass_context
def answers(ctx: click.Context, form: str) -> int:
    """Show your predictions and what was then observed; hand them in; sum up a class."""
    if ctx.invoked_subcommand is not None:
        return DONE
    from labkit.answers.report import write

    write(form, sys.stdout)
    return DONE


@answers.command(epilog="Example: labkit answers export --id s1234 --out s1234.json")
@click.option("--id", "id", metavar="ID", help="What your course knows you by; asked if left out.")
@click.option(
    "--out", metavar="FILE", help="File to write; by default labkit-answers-ID.json here."
)
def export(id: str | None, out: str | None) -> int:
    """Write your answers to a file that you can hand in. Nothing is sent anywhere."""
    from labkit.answers.handing_in import export as hand_in

    if id is None and not sys.stdin.isatty():
        raise RequestError(
            "an id is needed to hand in: give the one that your course knows you by, as in"
            " labkit answers export --id s1234."
        )
    path = hand_in(click.prompt("Your id in this course") if id is None else id, out)
    print(f"Written to {path}; hand in this file.")
    return DONE


@answers.command(epilog="Example: labkit answers summary downloads/lab1 --out gradebook.csv")
@click.argument("folder", metavar="DIR")
@click.option("--out", metavar="FILE", help="Write a gradebook there, as CSV.")
@_format
def summary(folder: str, out: str | None, form: str) -> int:
    """Sum up what a class handed in: DIR is a folder or a .zip, as the course system gives it."""
    from labkit.answers.collect import collect
    from labkit.answers.report import write_class
    from labkit.answers.summary import gradebook, summarise, told
    from labkit.whole_file import write_file

    members = summarise(collect(folder))
    for note in told(members):
        _complain(note, DONE)
    if not members.students:
        return _complain(f"{folder} holds nothing that labkit answers export has written.", FAILED)
    if out is not None:
        write_file(out, gradebook(members))
        _complain(f"gradebook written to {out}.", DONE)
    write_class(members, form, sys.stdout)
    return FAILED if members.refused else DONE


@commands.command(epilog="Example: labkit slides notebooks/06_copy_overhead.ipynb --cut ten")
@click.argument("notebooks", nargs=-1, metavar="[NOTEBOOK]...")
@click.option("--out", default="slides", show_default=True, metavar="DIR", help="Folder for them.")
@click.option(
    "--execute/--no-execute", default=True, show_default=True, help="Run the notebooks first."
)
@click.option(
    "--cut",
    type=click.Choice(["ten", "fifty", "demo"]),
    default="fifty",
    show_default=True,
    help="How much: ten minutes, fifty, or what is run and drawn alone.",
)
@click.option("--pdf", is_flag=True, help="Also as PDF (through Chromium, if it is there).")
def slides(notebooks: tuple[str, ...], out: str, execute: bool, cut: "Cut", pdf: bool) -> int:
    """Make a deck of each notebook (by default of all): one HTML file that needs no network."""
    from labkit.slides.making import make_decks

    for path in make_decks(notebooks, out, execute=execute, cut=cut, pdf=pdf, tell=_tell):
        print(path, flush=True)
    return DONE


@commands.command(epilog="Example: labkit site --out site")
@click.argument("notebooks", nargs=-1, metavar="[NOTEBOOK]...")
@click.option("--out", default="site", show_default=True, metavar="DIR", help="Folder for it.")
@click.option(
    "--execute/--no-execute", default=True, show_default=True, help="Run the notebooks first."
)
def site(notebooks: tuple[str, ...], out: str, execute: bool) -> int:
    """Make pages of the notebooks with their results, to be read without a kernel or a network."""
    from labkit.slides.site import make_site

    print(make_site(notebooks, out, execute=execute, tell=_tell))
    return DONE


def _tell(sentence: str) -> None:
    """What goes on, on standard error."""
    _complain(sentence, DONE)


@commands.command(epilog="Example: labkit lab --no-browser --port 8890")
@click.option("--port", type=click.IntRange(1, 65535), help="Port for JupyterLab.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
def lab(port: int | None, no_browser: bool) -> int:
    """Open JupyterLab on the first notebook."""
    from labkit.lab import open_lab

    open_lab(port, not no_browser, _tell)
    return DONE


def _draw(run: "Run", folder: Path) -> None:
    """Write the run's figures; what does not fit is left out, and said."""
    from labkit.plots.kept import draw_all

    for sentence in draw_all(run, folder):
        _complain(sentence, DONE)


def _show(run: "Run", form: str) -> None:
    """Put the table on standard output; what was found and where it is saved with it, or beside."""
    from labkit.costs.findings import findings as where_time_goes
    from labkit.harness.findings import findings
    from labkit.harness.interruption import partial
    from labkit.table import print_lines, print_table

    words: TextIO = sys.stdout if form == "table" else sys.stderr
    if form == "csv":
        sys.stdout.write(run.csv())
    elif form == "json":
        sys.stdout.write(run.json() + "\n")
    else:
        print_table(run.summary, sys.stdout)
        print()
    sys.stdout.flush()
    print_lines(findings(run), words)
    print_lines(where_time_goes(run), words)
    if "partial" in run.machine:
        print(f"Partial: {partial(run)}", file=words)
    if run.path is not None:
        print(f"Saved in {run.path}", file=words, flush=True)


def _sentence(error: click.ClickException) -> str:
    """Click's words as one sentence, with where to read on."""
    words = " ".join(error.format_message().split()).rstrip(".")
    if isinstance(error, click.NoSuchOption):
        near = nearest(error.option_name, error.possibilities or [])
        words = f"there is no option {error.option_name[:60]!r}"
        words += f" (did you mean '{near}'?)" if near else ""
    if not isinstance(error, click.UsageError):
        return f"{words}."
    where = error.ctx.command_path if error.ctx is not None else "labkit"
    return f"{words[:1].lower()}{words[1:]}; {where} --help says what there is."


def _complain(sentence: str, status: int) -> int:
    """Say what went wrong, on one line of standard error."""
    with suppress(OSError):  # a terminal that was closed
        print(f"labkit: {' '.join(sentence.split())}", file=sys.stderr)
    return status
