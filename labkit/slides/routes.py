"""The ways through the lab, as the index of the pages shows them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Route:
    """A selection of notebooks, by their numbers, for the time that there is."""

    name: str
    about: str
    notebooks: tuple[str, ...]


ROUTES = (
    Route(
        "One hour",
        "What IPC is on this machine, what a message costs in crossings, and what a copy costs.",
        ("00", "01", "06"),
    ),
    Route(
        "Two labs",
        "First how memory comes to be shared and what becomes of it; then what it costs, and what"
        " goes wrong without a lock.",
        ("00", "01", "02", "04", "06", "07"),
    ),
    Route(
        "A week",
        "All of it, an evening each: with the class notes put to the test, other people's"
        " machines, and a mechanism of your own.",
        ("00", "01", "02", "03", "04", "05", "06", "07", "08", "09", "your"),
    ),
)
