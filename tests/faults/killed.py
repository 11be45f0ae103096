"""The processes that die: `python -m tests.faults.killed`. For each line "VERB POINT PATH" a child runs and is killed.

This process stays bare, with no store open and no thread, and forks; so a death costs milliseconds. The child opens the
file itself, prepares the verb, and kills itself by SIGKILL at the boundary. The answer is how the child ended.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.faults.playground import VERBS, opened
from tests.faults.stage import hear, tell
from tests.faults.tripwire import Tripwire, die, laid


def serve() -> None:
    """Let a child die for each line, until there is none."""
    tell("ready")
    while line := hear():
        verb, point, path = json.loads(line)
        child = os.fork()
        if child == 0:
            try:
                with laid(Tripwire(point, die)) as wire:
                    wire.watch(VERBS[verb](opened(Path(path))))
            finally:
                os._exit(7)  # the boundary was never reached
        tell(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


if __name__ == "__main__":
    serve()
