"""The whole suite, by two processes side by side: `python -m tests.whole`.

The faults wait most of their time, for leases to pass and servers to come back, so they cost little beside the rest;
one after the other the suite would take half as long again. What they have said is shown once the rest is done.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile

FAULTS = "tests/faults"
PYTEST = (sys.executable, "-m", "pytest")


def main() -> int:
    """Run both; return 1 where one has failed."""
    with tempfile.TemporaryFile() as said:
        with (
            subprocess.Popen([*PYTEST, FAULTS], stdin=subprocess.DEVNULL, stdout=said, stderr=said) as faults,
            subprocess.Popen([*PYTEST, f"--ignore={FAULTS}"], stdin=subprocess.DEVNULL) as rest,
        ):
            codes = [rest.wait(), faults.wait()]
        said.seek(0)
        sys.stdout.buffer.write(said.read())
        sys.stdout.flush()
    return 1 if any(codes) else 0


if __name__ == "__main__":
    sys.exit(main())
