"""Stopped in the middle: nothing is left behind, and what was measured is a run, marked partial."""

import os
import signal
from pathlib import Path

import pytest
from conftest import World
from made_up import run as made_up_run

from labkit.errors import Interrupted
from labkit.harness.interruption import NOTHING_SAVED, heeded, kept, partial
from labkit.harness.run import load

BEGIN = """
    import json, os, pty, re, shutil, signal, subprocess, sys, tempfile, time
    from pathlib import Path
    import labkit
    from bench import children, wait_for

    home = tempfile.mkdtemp(prefix="here-")
    os.chdir(home)
    COMMAND = [sys.executable, "-m", "labkit", "compare", "-s", "64", "--budget", "60",
               "--placement", "same-cpu", "--waiting", "futex,posix_sem"]

    CALL = (
        "import labkit\\n"
        "def tell(told):\\n"
        "    print(told.stage, flush=True)\\n"
        "labkit.compare(sizes='64', placements='same-cpu', waiting='futex,posix_sem',"
        " progress=tell)\\n"
    )

    def start(*, command=COMMAND, **how):
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                start_new_session=True, **how)

    def wait_for_word(stream, word):
        for line in stream:
            if word in line:
                return
        raise AssertionError("it ended")

    def everywhere(pid):
        found = children(pid)
        return found + [each for child in found for each in everywhere(child)]

    def partial_run(why):
        (folder,) = Path("data/runs").iterdir()
        run = labkit.load(folder)
        assert run.machine["partial"]["reason"] == why, run.machine["partial"]
        rows = run.summary
        assert (rows.status == "ok").any() and set(rows.status) <= {"ok", "skipped"}, rows.status
        said = "the run was stopped before its turn."
        assert set(rows.reason[rows.status == "skipped"]) <= {said}, rows.reason
        counts = run.samples.groupby(["mechanism", "waiting", "pattern"]).size()
        for row in rows.itertuples():
            assert row.repeats == counts.get((row.mechanism, row.waiting, row.pattern), 0), row
        assert run.machine["partial"]["repeats"] == len(run.samples) > 0
        assert len(run.samples) < run.machine["partial"]["planned"]
        return folder

    def lives(pid):
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    def done():
        os.chdir("/")
        shutil.rmtree(home)
"""


class TestTheCommand:
    @pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
    def test_saves_what_it_has(self, world: World, name: str) -> None:
        world.passes(
            BEGIN
            + f"""
    process = start()
    wait_for_word(process.stderr, "measuring")
    wait_for(lambda: len(everywhere(process.pid)) == 3)  # the helper and two ends
    family = everywhere(process.pid)
    os.killpg(process.pid, signal.{name})  # all in the foreground, as a terminal does
    out, said = process.communicate(timeout=600)
    assert process.returncode == 1, said
    assert out == ""
    folder = partial_run("it was interrupted by {name}")
    last = said.splitlines()[-1]
    assert last == f"labkit: interrupted; what was measured so far is saved in {{folder}}.", said
    assert "Traceback" not in said
    assert {{each.suffix for each in folder.iterdir()}} == {{".csv", ".json", ".svg", ".png"}}
    assert not any(map(lives, family))
    shown = subprocess.run([*COMMAND[:3], "show", folder], capture_output=True, text=True)
    assert "\\nPartial: it was interrupted by {name} after " in shown.stdout, shown
    done()
    """
        )

    def test_says_so_when_there_is_nothing_yet(self, world: World) -> None:
        world.passes(
            BEGIN
            + """
    process = start()
    wait_for_word(process.stderr, "compiling")
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=600)
    assert (process.returncode, out) == (1, ""), said
    last = said.splitlines()[-1]
    assert last == "labkit: interrupted before anything was measured, so nothing was saved.", said
    assert os.listdir(".") == []
    done()
    """
        )

    def test_a_terminal_that_is_closed(self, world: World) -> None:
        # It takes no more words, sends SIGHUP, and so does its shell.
        world.passes(
            BEGIN
            + """
    os.environ["TERM"] = "xterm"
    pid, terminal = pty.fork()  # this script has one thread
    if pid == 0:
        os.execv(COMMAND[0], COMMAND)
    said = b""
    while b"measuring" not in said:
        said = (said + os.read(terminal, 4096))[-65536:]
    os.close(terminal)
    os.kill(pid, signal.SIGHUP)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 1, status
    partial_run("it was interrupted by SIGHUP")
    done()
    """
        )

    def test_is_as_patient_as_nohup_asks(self, world: World) -> None:
        world.passes(
            BEGIN
            + """
    command = [*COMMAND[:4], "-m", "pipe", "-s", "64", "--budget", "8", "--placement", "same-cpu"]
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # inherited, as from nohup(1)
    process = start(command=command)
    wait_for_word(process.stderr, "measuring")
    os.killpg(process.pid, signal.SIGHUP)
    out, said = process.communicate(timeout=600)
    assert process.returncode == 0 and "Saved in" in out, said
    done()
    """
        )

    def test_a_helper_that_is_killed(self, world: World) -> None:
        world.passes(
            BEGIN
            + """
    process = start()
    wait_for_word(process.stderr, "measuring")
    (helper,) = children(process.pid)
    ends = wait_for(lambda: children(helper))
    os.kill(helper, signal.SIGKILL)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 1, said
    why = "the helper process was killed by SIGKILL in the middle"
    folder = partial_run(why)
    last = said.splitlines()[-1]
    assert last == f"labkit: {why}; what was measured so far is saved in {folder}.", said
    wait_for(lambda: not any(map(lives, ends)))
    labkit.clean()
    done()
    """,
            grace_s=120.0,
        )


class TestPython:
    def test_an_interrupt_names_the_run(self, world: World) -> None:
        world.passes(
            BEGIN
            + """
    def interrupt(told):
        if told.stage == "measuring":
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    try:
        labkit.compare(sizes="64", placements="same-cpu", waiting="futex,posix_sem",
                       progress=interrupt)
    except KeyboardInterrupt as stop:
        assert type(stop) is KeyboardInterrupt  # no other makes Python exit by SIGINT
        folder = partial_run("it was interrupted by SIGINT")
        assert str(stop) == f"interrupted; what was measured so far is saved in {folder}."
        assert stop.run.path == folder and len(stop.run.samples) > 0
    else:
        raise AssertionError("it went on")
    assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
    assert children(os.getpid()) == []
    done()
    """
        )

    def test_where_nothing_can_be_saved(self, world: World) -> None:
        world.passes(
            BEGIN
            + """
    def interrupt(told):
        if told.stage == "measuring":
            raise KeyboardInterrupt

    Path("data").write_text("in the way")
    try:
        labkit.compare(sizes="64", placements="same-cpu", waiting="futex,posix_sem",
                       progress=interrupt)
    except KeyboardInterrupt as stop:
        assert "measured so far could not be saved: a run cannot be saved in data/runs" in str(stop)
        assert stop.run.path is None and len(stop.run.samples) > 0
    else:
        raise AssertionError("it went on")
    done()
    """
        )

    @pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
    def test_a_signal_still_ends_a_script(self, world: World, name: str) -> None:
        world.passes(
            BEGIN
            + f"""
    process = start(command=[sys.executable, "-c", CALL])
    wait_for_word(process.stdout, "measuring")
    process.send_signal(signal.{name})
    _, said = process.communicate(timeout=600)
    assert process.returncode == -signal.{name}, (process.returncode, said)
    folder = partial_run("it was interrupted by {name}")
    assert said == f"labkit: interrupted; what was measured so far is saved in {{folder}}.\\n", said
    done()
    """
        )


class TestTheNotebook:
    KERNEL = (
        BEGIN
        + """
    from jupyter_client.manager import KernelManager

    os.environ["JUPYTER_RUNTIME_DIR"] = os.environ["IPYTHONDIR"] = home
    manager = KernelManager(kernel_cmd=[sys.executable, "-m", "ipykernel_launcher", "-f",
                                        "{connection_file}"])
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=600)

    def is_helper(pid):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
            return b"labkit.harness.helper" in words and os.getsid(pid) == pid
        except OSError:
            return False  # gone since

    def answer_to(asked):
        while True:  # earlier questions may be answered late
            message = client.get_shell_msg(timeout=600)
            if message["parent_header"].get("msg_id") == asked:
                return message["content"]

    def measuring():
        '''Wait until the bar in the notebook says so.'''
        asked = client.execute(
            "import labkit;"
            " labkit.compare(sizes='64', placements='same-cpu', waiting='futex')"
        )
        while "measuring" not in json.dumps(client.get_iopub_msg(timeout=600)["content"]):
            pass
        (helper,) = wait_for(lambda: [p for p in everywhere(os.getpid()) if is_helper(p)])
        return asked, helper

    def gone(pid):
        wait_for(lambda: not lives(pid))
    """
    )

    def test_its_interrupt_button(self, world: World) -> None:
        world.passes(
            self.KERNEL
            + """
    try:
        asked, helper = measuring()
        manager.interrupt_kernel()
        answer = answer_to(asked)
        assert answer["status"] == "error" and answer["ename"] == "KeyboardInterrupt", answer
        gone(helper)
        folder = partial_run("it was interrupted by SIGINT")
        assert answer["evalue"].endswith(f"is saved in {folder}."), answer["evalue"]
        told = [f"KeyboardInterrupt: {answer['evalue']}"]
        told.append(f'run = labkit.load("{folder}") brings it back.')
        assert answer["traceback"] == told, answer["traceback"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    done()
    """,
            grace_s=120.0,
        )

    def test_a_restart(self, world: World) -> None:
        world.passes(
            self.KERNEL
            + """
    try:
        _, helper = measuring()
        manager.restart_kernel()
        gone(helper)
        partial_run("it was interrupted by SIGINT")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    done()
    """,
            grace_s=120.0,
        )


def test_one_more_interrupt_saves_it_without_figures(tmp_path: Path) -> None:
    def draw(folder: Path) -> None:
        (folder / "half.svg").touch()
        raise KeyboardInterrupt

    one = made_up_run()
    said = kept(Interrupted("interrupted", one, signal.SIGINT), tmp_path / "run", draw)
    assert said == f"interrupted; what was measured so far is saved in {tmp_path / 'run'}."
    assert load(tmp_path / "run").summary.equals(one.summary)
    assert [each.name for each in tmp_path.iterdir()] == ["run"]
    assert not (tmp_path / "run" / "half.svg").exists()


def test_what_follows_the_first_signal_is_ignored() -> None:
    with heeded():
        with pytest.raises(KeyboardInterrupt, match=NOTHING_SAVED):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)  # somebody does not want to wait
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_what_somebody_else_arranged_stays() -> None:
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with heeded():
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"reason": "it rained", "repeats": 3, "planned": 9}, "it rained after 3 of 9 repeats."),
        ({"reason": "it rained"}, "it rained."),
        ("odd", "it was stopped."),
    ],
)
def test_how_far_it_came(about: object, said: str) -> None:
    one = made_up_run()
    one.machine["partial"] = about
    assert partial(one) == said
