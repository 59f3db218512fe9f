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
from labkit.errors import LabkitError, RequestError
from labkit.harness.request import (
    COPIES,
    DEFAULT_BUDGET,
    ENGINES,
    PATTERNS,
    PLACEMENTS,
    TOUCHES,
    VERIFICATIONS,
    WAITINGS,
    build_request,
    nearest,
)
from labkit.mechanisms import names

if TYPE_CHECKING:
    from labkit.harness.run import Run

DONE, FAILED, WRONG = 0, 1, 2
# Whoever read this has seen enough; click and rich make it an exit of the whole program.
READER_GONE = (BrokenPipeError, SystemExit)
FORMATS = ("table", "json", "csv")
FIRST_NOTEBOOK = Path("notebooks/06_copy_overhead.ipynb")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: arguments without the program's name; by default those of this process.

    Returns:
        The exit status.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal without µ shows ? in its place
            stream.reconfigure(errors="replace")
    try:
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
        return _complain("interrupted; nothing was saved.", FAILED)
    except READER_GONE:
        _forget_output()
        return DONE
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _forget_output()
        return _complain(f"standard output takes no more ({error.strerror}).", FAILED)


def _forget_output() -> None:
    """Let what is still buffered for standard output go nowhere when Python flushes it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
@_several("--mechanism", "-m", "mechanisms", of=f"{_one_of(names())}; by default all.")
@click.option(
    "--size",
    "-s",
    "sizes",
    multiple=True,
    metavar="BYTES",
    help="Payload of a message: 64, 4K, 1M; by default six from 8 to 1M.",
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
    default=f"{DEFAULT_BUDGET:.0f}",
    show_default=True,
    metavar="SECONDS",
    help="Time for the whole run.",
)
@click.option(
    "--out", metavar="DIR", help="Folder to save the run in; by default a new one in data/runs."
)
@_format
def compare(out: str | None, form: str, budget: str, verify: str, **asked: Any) -> int:
    """Measure mechanisms under one producer and one consumer, and save the run.

    Options that take a NAME or BYTES can be given several times, or once with commas.
    """
    chosen: dict[str, Any] = {name: values or None for name, values in asked.items()}
    request = build_request(budget=budget, verify=verify, **chosen)
    from labkit.harness.run_folder import check_out, default_folder

    check_out(default_folder() if out is None else out)
    from labkit.harness.compare import compare as measure
    from labkit.progress import shown

    with shown() as tell:
        run = measure(request, tell, meanwhile=_load_plots)
    refused = None
    try:
        run.save(out, extra=lambda folder: _draw(run, folder))
    except LabkitError as error:  # the numbers are shown all the same
        refused = error
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


@commands.command(epilog="Example: labkit doctor --quick --format json")
@click.option("--quick", is_flag=True, help="Leave out what has to be measured.")
@_format
def doctor(quick: bool, form: str) -> int:
    """Say what this machine lets labkit do, why not, and what to type then."""
    from labkit.checkup import examine
    from labkit.checkup.report import write

    write(examine(quick), form, sys.stdout)
    return DONE


@commands.command(epilog="Example: labkit lab --no-browser --port 8890")
@click.option("--port", type=click.IntRange(1, 65535), help="Port for JupyterLab.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
def lab(port: int | None, no_browser: bool) -> int:
    """Open JupyterLab on the first notebook."""
    from importlib.util import find_spec

    beside = [Path.cwd(), Path(__file__).resolve().parent.parent]
    root = next((place for place in beside if (place / FIRST_NOTEBOOK).is_file()), None)
    if root is None:
        raise LabkitError(
            f"{FIRST_NOTEBOOK} is neither here nor beside labkit itself: go to the folder that"
            " you cloned labkit into."
        )
    if find_spec("jupyterlab") is None:
        raise LabkitError(
            "JupyterLab is not installed for this Python: make lab installs and opens it."
        )
    # Not the notebook's own folder as the root: data/ should be in sight, too.
    options = [f"--ServerApp.root_dir={root}", f"--LabApp.default_url=/lab/tree/{FIRST_NOTEBOOK}"]
    options += ["--allow-root"] * (os.geteuid() == 0) + ["--no-browser"] * no_browser
    options += [f"--port={port}"] * (port is not None)
    sys.stdout.flush()
    os.chdir(root)
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", *options])


def _draw(run: "Run", folder: Path) -> None:
    """Write the figures of the patterns that were measured."""
    from labkit import plots

    measured = set(run.summary.loc[run.summary["status"] == "ok", "pattern"])
    figures = {"latency": "latency", "throughput": "throughput", "distribution": "latency"}
    for name, pattern in figures.items():
        if pattern in measured:
            plots.save(getattr(plots, name)(run), folder / name)


def _show(run: "Run", form: str) -> None:
    """Put the table on standard output; what was found and where it is saved with it, or beside."""
    from labkit.harness.findings import findings
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
    print(f"labkit: {' '.join(sentence.split())}", file=sys.stderr)
    return status
