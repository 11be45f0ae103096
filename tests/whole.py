"""The whole suite, by two processes side by side: `python -m tests.whole`.

One of them takes the faults, which wait most of their time, for leases to pass and servers to come back, and then the
worker and the command line; the other takes the rest, which are the stores above all. Each has about half of what there
is to do. What the first has said is shown once the second is done.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile

FIRST = ("tests/faults", "tests/worker", "tests/cli")
PYTEST = (sys.executable, "-m", "pytest")


def main() -> int:
    """Run both; return 1 where one has failed."""
    # A shell starts what it runs in the background deaf to Ctrl-C, which tests send; what is started here must hear it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryFile() as said:
        with (
            subprocess.Popen([*PYTEST, *FIRST], stdin=subprocess.DEVNULL, stdout=said, stderr=said) as first,
            subprocess.Popen([*PYTEST, *[f"--ignore={path}" for path in FIRST]], stdin=subprocess.DEVNULL) as second,
        ):
            codes = [second.wait(), first.wait()]
        said.seek(0)
        sys.stdout.buffer.write(said.read())
        sys.stdout.flush()
    return 1 if any(codes) else 0


if __name__ == "__main__":
    sys.exit(main())
