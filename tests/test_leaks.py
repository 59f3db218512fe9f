"""What is left behind, however a run ends: no kernel object, no file, no process."""

import os

import pytest
from conftest import World

EVERYTHING = """
    import os, shutil, signal, subprocess, sys, time
    import labkit
    from bench import children, wait_for

    os.chdir(os.environ["TMPDIR"])  # where what was measured so far is saved

    def compare(**more):
        return labkit.compare(
            sizes="64", placements="same-cpu", waiting="futex,sysv_sem,posix_sem",
            **{"budget": 60, "progress": False} | more,
        )

    def everywhere(pid):
        '''All that come from a process.'''
        found = children(pid)
        return found + [each for child in found for each in everywhere(child)]
"""


@pytest.mark.skipif(
    os.geteuid() != 0, reason="what is left on purpose must vanish with namespaces of its own"
)
def test_what_is_left_is_seen(world: World) -> None:
    done = world.run("""
        import os, subprocess, sys, tempfile
        import posix_ipc, sysv_ipc
        sysv_ipc.SharedMemory(None, sysv_ipc.IPC_CREX, size=10).detach()
        sysv_ipc.MessageQueue(None, sysv_ipc.IPC_CREX)
        sysv_ipc.Semaphore(None, sysv_ipc.IPC_CREX)
        posix_ipc.SharedMemory("/labkit-left", posix_ipc.O_CREX, size=10).close_fd()
        if os.path.ismount(os.environ["QUEUES"]):
            posix_ipc.MessageQueue("/labkit-left", posix_ipc.O_CREX).close()
        else:
            open(os.environ["QUEUES"] + "/labkit-left", "w").close()
        tempfile.mkdtemp(prefix="labkit-")
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    """)
    assert done.status == 0
    left = "\n".join(done.left)
    for each in ("shm", "msg", "sem"):
        assert f"System V {each}" in left
    assert "/dev/shm/labkit-left" in left
    assert "/mqueue/labkit-left" in left
    assert "/tmp/labkit-" in left
    assert "time.sleep(60)" in left
    assert len(done.left) == 7


class TestNothingIsLeft:
    """Each script asserts; `passes` asserts that its world is empty afterwards."""

    def test_by_a_run_to_the_end(self, world: World) -> None:
        world.passes(
            EVERYTHING
            + """
    run = compare(budget=5)
    assert set(run.summary.status) == {"ok"}
    assert everywhere(os.getpid()) == []
    """
        )

    @pytest.mark.parametrize("stage", ["compiling", "measuring"])
    @pytest.mark.parametrize("error", ["KeyboardInterrupt", "ZeroDivisionError"])
    def test_by_an_error_in_the_middle(self, world: World, stage: str, error: str) -> None:
        world.passes(
            EVERYTHING
            + f"""
    def interrupt(told):
        if told.stage == "{stage}":
            raise {error}
    try:
        compare(progress=interrupt)
    except {error}:
        assert everywhere(os.getpid()) == []
        saved = os.path.isdir("data/runs")
        assert saved == ("{stage}" == "measuring" and "{error}" == "KeyboardInterrupt")
        shutil.rmtree("data", ignore_errors=True)
    else:
        raise AssertionError("it went on")
    """
        )

    INNER = '''
    import textwrap
    RUN = textwrap.dedent("""
        import labkit
        def tell(told):
            print(told.stage, flush=True)
        labkit.compare(sizes="64", placements="same-cpu", waiting="futex,sysv_sem,posix_sem",
                       budget=60, progress=tell)
    """)
    def start():
        return subprocess.Popen(
            [sys.executable, "-c", RUN], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, start_new_session=True,
        )

    def wait_for_stage(process, stage):
        for line in process.stdout:
            if line.strip() == stage:
                return
        raise AssertionError("it ended: " + process.stderr.read())
    '''

    @pytest.mark.parametrize("stage", ["compiling", "measuring"])
    def test_by_one_that_is_killed(self, world: World, stage: str) -> None:
        # Nobody is left to tidy up but the helper, which notices that nobody listens any more.
        world.passes(
            EVERYTHING
            + self.INNER
            + f"""
    process = start()
    wait_for_stage(process, "{stage}")
    if "{stage}" == "measuring":
        wait_for(lambda: len(everywhere(process.pid)) == 3)  # the helper and two ends
    process.kill()
    process.wait()
    """,
            grace_s=120.0,
        )

    @pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
    def test_by_a_signal_to_all_in_the_foreground(self, world: World, number: str) -> None:
        # As by Ctrl-C or a closed terminal.
        world.passes(
            EVERYTHING
            + self.INNER
            + f"""
    process = start()
    wait_for_stage(process, "measuring")
    wait_for(lambda: len(everywhere(process.pid)) == 3)
    os.killpg(process.pid, signal.{number})
    _, said = process.communicate(timeout=600)
    assert process.returncode == -signal.{number}, (process.returncode, said)
    shutil.rmtree("data")
    """
        )

    def test_by_a_helper_told_to_leave_while_it_makes_an_object(self, world: World) -> None:
        world.passes("""
            import os, stat, sys, time
            from pathlib import Path
            wrapper = Path(os.environ["TMPDIR"], "wrapper")
            import textwrap
            wrapper.write_text(f"#!{sys.executable}" + textwrap.dedent('''
                import os, signal, sys
                import sysv_ipc
                from labkit.harness import helper

                class Segment(sysv_ipc.SharedMemory):
                    def __init__(self, *settings, **more):
                        super().__init__(*settings, **more)
                        os.kill(os.getpid(), signal.SIGTERM)  # made, and nobody took note of it

                sysv_ipc.SharedMemory = Segment
                sys.argv = ["helper", sys.argv[-1]]
                os._exit(helper.main())
            '''))
            wrapper.chmod(0o700)
            python, sys.executable = sys.executable, str(wrapper)
            from labkit.errors import LabkitError
            import labkit
            try:
                labkit.compare("sysv_shm", "64", placements="same-cpu", budget=5, progress=False)
            except LabkitError as error:
                assert "status 1 in the middle" in str(error), error
            else:
                raise AssertionError("it went on")
            wrapper.unlink()
        """)

    def test_by_a_request_that_is_refused(self, world: World) -> None:
        world.passes("""
            import labkit
            for wrong in {"mechanisms": "pigeon"}, {"sizes": "7"}, {"budget": 0.01}:
                try:
                    labkit.compare(**wrong)
                except labkit.RequestError:
                    continue
                raise AssertionError(wrong)
        """)
