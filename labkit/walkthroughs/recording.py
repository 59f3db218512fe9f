"""The side of a walkthrough that runs on the stage."""

from importlib import import_module
from typing import Any

from labkit.harness.stage import Stage
from labkit.walkthroughs.step import Steps


def record(stage: Stage, name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Run a walkthrough's experiment: its steps and facts, as JSON can carry them."""
    steps = Steps()
    import_module(f"labkit.walkthroughs.{name}").observe(stage, steps, **options)
    return steps.data()
