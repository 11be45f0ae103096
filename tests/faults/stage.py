"""Other processes of the fault tests, led line by line, and the parent's side of a barrier between them."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from tests.stores.sqlite.files.stage import Actor, wait_for

__all__ = ["HERE", "Actor", "Racer", "company", "hear", "run_together", "tell", "wait_for"]

HERE = "here"  #: what a racer says at the barrier


class Racer(Actor):
    """A process that runs one of the `races`."""

    module = "tests.faults.racers"


def tell(line: object) -> None:
    """Say something to the parent, as one line of JSON."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def hear() -> str:
    """Wait for the parent's next line; empty when it has hung up."""
    return sys.stdin.readline().strip()


@contextmanager
def company(actors: Sequence[Actor]) -> Generator[Sequence[Actor]]:
    """Have several actors at hand; whoever is still there at the end is killed."""
    with ExitStack() as stack:
        for actor in actors:
            stack.enter_context(actor)
        yield actors


def run_together(racers: Sequence[Actor]) -> list[Any]:
    """Be the barrier of racers that all meet equally often; return the notes that each hands in at its end."""
    while True:
        lines = [json.loads(racer.hear()) for racer in racers]
        if lines != [HERE] * len(racers):
            break
        for racer in racers:
            racer.say()
    for racer in racers:
        racer.leave()
    return lines
