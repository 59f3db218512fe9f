"""Walkthroughs: what they say is what was observed, and nothing of them is left."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import World

from labkit import walkthroughs
from labkit.errors import LabkitError, RequestError
from labkit.harness import experiment
from labkit.player import faults
from labkit.player.walk import Walk
from labkit.walkthroughs.scene import HEIGHT, TEXT, WIDTH, Scene, changed, in_words

SEVEN = ("pipe", "fifo", "unix_stream", "sysv_mq", "posix_mq", "sysv_shm", "posix_shm")
IN_MEMORY = ("sysv_shm", "posix_shm")


@pytest.fixture(scope="module", params=walkthroughs.NAMES)
def walk(request: pytest.FixtureRequest) -> Walk:
    """Each walkthrough, observed once."""
    return Walk(walkthroughs.observe(request.param))


def observed(name: str, **options: Any) -> dict[str, Any]:
    facts: dict[str, Any] = walkthroughs.observe(name, options)["facts"]
    return facts


class TestEach:
    def test_says_something_at_every_step(self, walk: Walk) -> None:
        assert 5 <= len(walk) <= 20
        for step in walk.steps:
            assert step["title"]
            assert 40 <= len(step["narration"]) <= 600, step["title"]
            assert step["alt"]
            assert step["scene"]
            assert step["evidence"] or step["counts"], step["title"]

    def test_evidence_has_a_place_and_a_value(self, walk: Walk) -> None:
        for step in walk.steps:
            for each in step["evidence"]:
                assert set(each) == {"what", "where", "value"}
                assert all(isinstance(value, str) and value for value in each.values()), each

    def test_scenes_fit_the_canvas_and_can_be_read(self, walk: Walk) -> None:
        for step in walk.steps:
            names = [item["id"] for item in step["scene"]]
            assert len(names) == len(set(names)), "two things with one id"
            for item in step["scene"]:
                for x, y in corners(item):
                    assert 0 <= x <= WIDTH, item
                    assert 0 <= y <= HEIGHT, item
                assert item.get("size", TEXT) >= TEXT, item

    def test_scenes_are_composed_without_a_fault(self, walk: Walk) -> None:
        assert faults(walk.data()) == []

    def test_what_changed_is_in_the_scene(self, walk: Walk) -> None:
        before: list[dict[str, Any]] = walk.steps[0]["scene"]
        for step in walk.steps:
            assert step["changed"] == changed(before, step["scene"])
            before = step["scene"]

    def test_the_same_thing_keeps_its_kind(self, walk: Walk) -> None:
        kinds: dict[str, str] = {}
        for step in walk.steps:
            for item in step["scene"]:
                assert kinds.setdefault(item["id"], item["kind"]) == item["kind"], item["id"]

    def test_it_can_be_carried_as_json(self, walk: Walk) -> None:
        assert json.loads(walk.json()) == walk.data()

    def test_it_shows_itself_in_every_way(self, walk: Walk, tmp_path: Path) -> None:
        assert len(walk.table) == len(walk)
        page = walk.save(tmp_path / "walk.html").read_text(encoding="utf-8")
        assert len(page) < 1_000_000
        assert not re.search(r"(?:src|href)=[\"']?https?:", page)
        picture = walk.figure(len(walk))
        assert picture.alt_text
        assert picture.png().startswith(b"\x89PNG")

    def test_it_is_about_something(self, walk: Walk) -> None:
        about = walkthroughs.subject(walk.name)
        assert about.question.endswith("?")
        assert walk.title == about.title
        assert walk.facts


def corners(item: dict[str, Any]) -> list[tuple[float, float]]:
    if item["kind"] == "arrow":
        return [(x, y) for x, y in item["points"]]
    x, y = item["x"], item["y"]
    return [(x, y), (x + item.get("w", 0), y + item.get("h", 0))]


class TestForkInheritance:
    def test_what_the_manual_pages_say(self) -> None:
        facts = observed("fork_inheritance")
        assert facts["nattch_before_fork"] == 1
        assert facts["nattch_after_fork"] == 2
        assert facts["nattch_after_exit"] == 1
        assert facts["parent_sees_segment"] is True
        assert facts["parent_sees_private"] is False
        assert facts["copied_on_write"] is True
        assert facts["pipe_descriptors_after_fork"] == 4
        assert facts["ended_with_forgotten_end"] is False
        assert facts["ended_after_closing"] is True

    @pytest.mark.parametrize("message", ["x", "twelve bytes", "UPPER"])
    def test_other_messages(self, message: str) -> None:
        data = walkthroughs.observe("fork_inheritance", {"message": message})
        assert f'"{message}"' in data["steps"][0]["narration"]

    @pytest.mark.parametrize("message", ["", "thirteen char", "ä", "a\n", 7, None])
    def test_messages_that_cannot_be_shown(self, message: Any) -> None:
        with pytest.raises(RequestError, match="1 to 12 ASCII"):
            walkthroughs.observe("fork_inheritance", {"message": message})


class TestExecDetachment:
    def test_what_the_manual_pages_say(self) -> None:
        facts = observed("exec_detachment")
        assert facts["same_pid"] is True
        assert facts["nattch_before_exec"] == 1
        assert facts["nattch_after_exec"] == 0
        assert facts["segment_exists"] is True
        assert facts["bytes_kept"] is True
        assert facts["c_pipe_open"] is True
        assert facts["python_pipe_open"] is False
        assert facts["queue_descriptor_open"] is False
        assert facts["posix_queue_bytes"] == 3
        assert facts["system_v_queue_bytes"] == 3
        assert facts["semaphore_mapped"] is False
        assert facts["nattch_after_exit"] == 0


class TestShmLifecycle:
    def test_what_the_manual_pages_say(self) -> None:
        facts = observed("shm_lifecycle")
        assert facts["nattch_after_shmget"] == 0
        assert facts["resident_after_shmget"] == 0
        assert facts["exclusive_again"] == "EEXIST"
        assert facts["larger_again"] == "EINVAL"
        assert facts["asked_bytes"] == 5000
        assert facts["mapped_bytes"] == 8192
        assert facts["resident_after_shmat"] == 0
        assert facts["new_bytes_are_zero"] is True
        assert facts["resident_after_touch"] == 8192
        assert facts["nattch_twice_and_once"] == 3
        assert facts["crooked_address"] == "EINVAL"
        assert facts["rounded_down"] is True
        assert facts["store_read_only"] == "SIGSEGV"
        assert facts["past_the_size"] == "nothing happens"
        assert facts["neighbour_reads"] == "Neighbour"
        assert facts["past_the_guard"] == "SIGSEGV"
        assert facts["nattch_after_removal"] == 2
        assert facts["readable_after_removal"] is True
        assert facts["key_after_removal"] == "ENOENT"
        assert facts["gone_after_last_detach"] is True
        assert facts["attach_removed"] in ("EINVAL", "EIDRM")
        assert facts["posix_new_bytes"] == 0
        assert facts["posix_touch_empty"] == "SIGBUS"
        assert facts["posix_touch_past"] == "SIGBUS"
        assert facts["posix_bytes_stay"] is True

    def test_another_user(self, another_user: int) -> None:
        facts = observed("shm_lifecycle")
        assert facts["other_user_attaches"] == "EACCES"
        assert facts["other_user_removes"] == "EPERM"
        assert facts["owner_writes_0400"] == "EACCES"


class TestPersistenceAfterRead:
    def test_what_the_manual_pages_say(self) -> None:
        facts = observed("persistence_after_read")
        for name in SEVEN:
            kept = name in IN_MEMORY
            again = '"hello"' if kept else "ENOMSG" if name == "sysv_mq" else "EAGAIN"
            assert facts["second_read_answers"][name] == again
            assert facts["second_reader"][name] == again
            assert facts["after_writer"][name] == '"hello"'
        streams = ("pipe", "fifo", "unix_stream")
        for name in SEVEN:
            one = '"onetwo"' if name in streams else '"two"' if name in IN_MEMORY else '"one"'
            assert facts["two_in_one_read"][name] == one
        for name in streams:
            assert facts["without_writer"][name] == "end of file"
            assert facts["until_full"][name] >= 8
        assert facts["receiver_of_removed_queue"] == "EIDRM"
        assert facts["write_without_readers"] == "EPIPE"
        assert facts["killed_by"] == "SIGPIPE"
        assert facts["after_everybody"]["pipe"] == "nothing is left"
        assert facts["after_everybody"]["fifo"] == "end of file"
        for name in ("sysv_mq", "posix_mq", *IN_MEMORY):
            assert facts["after_everybody"][name] == '"HELLO"'
        assert facts["gone_after_removal"] is True


class TestRendezvous:
    def test_what_the_manual_pages_say(self) -> None:
        facts = observed("rendezvous")
        assert facts["child_reads"] is True
        assert facts["stranger_has_pipe"] is False
        assert facts["fifo_file_bytes"] == 0
        assert facts["stranger_reads_fifo"] is True
        assert facts["name_again"] == "EEXIST"
        assert facts["same_id_by_key"] is True
        assert facts["same_key_by_ftok"] is True
        assert facts["passed_descriptor_works"] is True


class TestBadRequests:
    @pytest.mark.parametrize("name", ["", "fork", "forkinheritance", 7, None, "../etc"])
    def test_unknown_walkthroughs(self, name: Any) -> None:
        with pytest.raises(RequestError, match="there is no walkthrough"):
            walkthroughs.observe(name)

    def test_the_nearest_name_is_named(self) -> None:
        with pytest.raises(RequestError, match="did you mean 'rendezvous'"):
            walkthroughs.observe("rendevous")

    def test_unknown_options(self) -> None:
        with pytest.raises(RequestError, match="has no option 'massage' \\(did you mean 'message'"):
            walkthroughs.observe("fork_inheritance", {"massage": "x"})

    @pytest.mark.parametrize("step", [0, 99, -1, "1", True, None])
    def test_steps_that_are_not_there(self, step: Any) -> None:
        walk = Walk(walkthroughs.observe("rendezvous"))
        with pytest.raises(RequestError, match="there is no step"):
            walk.figure(step)

    @pytest.mark.parametrize("path", ["", "/", "/nowhere/at/all.html", "a\0b", None])
    def test_places_where_nothing_can_be_saved(self, path: Any) -> None:
        walk = Walk({"name": "x", "title": "x", "question": "x?", "steps": [], "notes": []})
        with pytest.raises(RequestError):
            walk.save(path)


class TestExperiments:
    """The clean process: what goes wrong in it is told, and ends with it."""

    def test_a_crash_of_an_experiment_is_told(self) -> None:
        with pytest.raises(LabkitError, match="ended with status"):
            experiment.run("os:_exit", {"status": 3})

    def test_what_a_killed_stage_leaves_is_removed(self, world: World) -> None:
        world.passes(
            """
            import os, signal
            from labkit.errors import LabkitError
            from labkit.harness import experiment

            try:
                experiment.run("bench_stage:made_then_killed")
            except LabkitError as error:
                assert "was killed by SIGKILL" in str(error), error
            else:
                raise AssertionError("nothing was said")
        """,
            grace_s=20.0,
        )

    @pytest.mark.parametrize("name", ["fork_inheritance", "persistence_after_read"])
    def test_killed_at_any_step_nothing_is_left(self, world: World, name: str) -> None:
        world.passes(
            f"""
            from labkit.errors import LabkitError
            from labkit.harness import experiment

            for step in range(4):
                plan = {{"name": {name!r}, "step": step}}
                try:
                    experiment.run("bench_stage:killed_at_step", plan)
                except LabkitError as error:
                    assert "was killed by SIGKILL" in str(error), error
                else:
                    raise AssertionError("nothing was said")
        """,
            grace_s=20.0,
        )

    def test_nothing_is_left_of_any(self, world: World) -> None:
        world.passes(
            """
            from labkit import walkthroughs
            for name in walkthroughs.NAMES:
                walkthroughs.observe(name)
        """,
            grace_s=20.0,
        )

    def test_without_privilege(self, other_user: Any) -> None:
        other_user().passes(
            """
            from labkit import walkthroughs
            for name in walkthroughs.NAMES:
                data = walkthroughs.observe(name)
                assert data["steps"], name
        """,
            user=65534,
            grace_s=20.0,
        )


class TestScene:
    def test_words(self) -> None:
        scene = Scene()
        scene.box("a", (0, 0, 10, 10), "object", "a pipe", ["5 bytes"], "gone")
        scene.bytes("b", (0, 0, 10, 10), "user", ["h", "i", ""], "its buffer")
        scene.arrow("c", [(0, 0), (1, 1)], "copy", "2 bytes")
        said = "a pipe (gone): 5 bytes. its buffer holds hi_. an arrow for a copy: 2 bytes."
        assert in_words(scene.items) == said


class TestCommand:
    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "labkit", "walk", *words], capture_output=True, text=True
        )

    def test_text(self) -> None:
        done = self.run("rendezvous")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("Rendezvous")

    def test_html(self, tmp_path: Path) -> None:
        done = self.run("fork_inheritance", "-o", "message=hi", "--html", str(tmp_path / "w.html"))
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "w.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
        assert not done.stdout

    def test_json(self) -> None:
        done = self.run("rendezvous", "--format", "json")
        assert json.loads(done.stdout)["name"] == "rendezvous"

    @pytest.mark.parametrize(
        "words",
        [
            ("nothing",),
            ("rendezvous", "-o", "x"),
            ("rendezvous", "-o", "x=1"),
            ("rendezvous", "--html", "/nowhere/x.html"),
            ("fork_inheritance", "-o", "message="),
            ("fork_inheritance", "-o", "message=a", "-o", "message=b"),
        ],
    )
    def test_wrong_requests(self, words: tuple[str, ...]) -> None:
        done = self.run(*words)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
        assert "Traceback" not in done.stderr


def test_a_killed_actor_is_named_as_often_as_it_is_told(world: World) -> None:
    world.passes("""
        from labkit.harness import experiment
        said = experiment.run("bench_stage:told_after_its_death").value
        assert said == ["the reader was killed by SIGKILL."] * 3, said
    """)
