"""The command line. This file owns its entry point only; each command is loaded when it is called."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line with the arguments of this process, and exit with 0, 1 (failure) or 2 (usage).

    ```console
    $ millrace --help
    ```
    """
    from millrace.cli.run import run

    sys.exit(run(sys.argv[1:]))
