"""One racer as a process of its own: `python -m tests.faults.racers RACE URL ME OF TOLD`. Owns no race."""

from __future__ import annotations

import json
import sys
from contextlib import closing

from millrace.stores import open_store
from tests.faults.races import RACES, Part
from tests.faults.stage import HERE, hear, tell


def meet() -> None:
    """Tell the parent that this racer is at the barrier, and wait for the word."""
    tell(HERE)
    if not hear():
        sys.exit("the parent has hung up")


def main(race: str, url: str, me: str, of: str, told: str) -> None:
    """Run one racer's part and hand its notes in."""
    with closing(open_store(url)) as store:
        store.migrate()
        tell(RACES[race](Part(store, int(me), int(of), meet, json.loads(told))))
        hear()


if __name__ == "__main__":
    main(*sys.argv[1:])
