"""No word with two writers: the ring that the comparison uses."""

from labkit.errors import LabkitError
from labkit.harness.ends import OpenCell, SharedRecords
from labkit.harness.helper import Engines
from labkit.harness.pair import Pair
from labkit.harness.refusal import why_stopped
from labkit.harness.stage import Stage
from labkit.kernel import cpus
from labkit.mechanisms import mechanism
from labkit.mechanisms.contract import room_for
from labkit.walkthroughs import layout
from labkit.walkthroughs.one_message import channel
from labkit.walkthroughs.scene import Scene
from labkit.walkthroughs.step import Evidence, Steps
from labkit.walkthroughs.synchronisation.picture import Word, draw_words

STREAMED, STREAM_BYTES = 20_000, 64


def ring(stage: Stage, steps: Steps) -> None:
    """How the comparison's own ring does with no counter that two processes write."""
    allowed = cpus.allowed()
    streamed = _stream(stage, (allowed[0], allowed[-1]))
    steps.facts["messages through the ring, each byte checked"] = streamed
    with channel(stage, "mmap_anon", "futex", 8, (allowed[0], allowed[-1])) as way:
        passage = way.pass_on(b"a ticket", "producer")
        ready, passed = way.ring_words()
        pids = way.pids
    steps.facts["the ring passed the message whole"] = passage.arrived == b"a ticket"
    last = max(ready)
    scene = Scene()
    names = (("producer", "writes places, then ready words"), ("consumer", "writes only passed"))
    for (name, does), column in zip(names, layout.columns(2), strict=True):
        layout.process(scene, name, name, pids["producer" if name == "producer" else "consumer"],
                       column, 200)  # fmt: skip
        scene.text(f"{name}.does", (column[0] + 24, 110), does)
    words = [
        *(
            Word(f"place {number}", f"place {number}", f"ready {value}", "memory")
            for number, value in enumerate(ready)
        ),
        Word("passed", "passed", str(passed)),
    ]
    draw_words(scene, words, "memory", "the segment: a ring of places", 250)
    steps.add(
        "The ring that the comparison uses",
        f"""Here no word has two writers. The producer fills a place, then stores the message's
        number in its ready word ({last} is the last); the consumer looks for that number, then
        reads, and counts what it has passed ({passed}). Release and acquire keep that order:
        {streamed} messages went through such a ring, each byte was checked, and all were whole.""",
        scene,
        "place[k % n] = message;  atomic_store_explicit(&ready[k % n], k, memory_order_release);",
        [
            Evidence("ready words", f"/proc/{pids['producer']}/mem", str(ready)),
            Evidence("passed", f"/proc/{pids['producer']}/mem", str(passed)),
            Evidence("the consumer read", "its buffer", passage.arrived.decode()),
            Evidence(
                "messages whole",
                f"{STREAM_BYTES} bytes each, checked by the consumer",
                f"{streamed}",
            ),
        ],
    )


def _stream(stage: Stage, pinned: tuple[int, int]) -> int:
    """Messages through the comparison's ring, every byte written anew and checked: how many.

    Raises:
        LabkitError: one was torn, lost or out of order.
    """
    stage.listened_to()  # compiling takes its time
    kind, shared = mechanism("mmap_anon"), SharedRecords()
    way = kind.channel(stage.objects, STREAM_BYTES, room_for("throughput", STREAM_BYTES), "futex")
    cell = OpenCell("throughput", STREAM_BYTES, "all", False, [way], None)
    try:
        pair = Pair(shared, [cell], Engines()("compiled", kind), pinned, stage.lifeline)
        try:
            what = {"do": "measure", "cell": 0, "warm": 0, "count": STREAMED, "singles": 0}
            for order in ({"do": "open", "cell": 0}, what):
                for end, reply in pair.order(order).items():
                    if reply["status"] < 0:
                        words = shared.state(end, 0)
                        raise LabkitError(why_stopped(kind, STREAM_BYTES, end, reply, words))
            return pair.progress("consumer")
        finally:
            pair.take_down()
    finally:
        way.discard()
