"""Running jobs: the worker, and draining in one's own thread. Knows the Store protocol, and no store.

`worker` is what users hold, `shift` puts its rooms together: `steps` and `claimer` claim, `threads`, `loop` and
`children` run, `settle` and `completer` end, `keeper` extends leases and stops, `maintenance` sweeps, `supervisor` runs
several processes.
"""

from __future__ import annotations

from millrace.worker.drain import adrain, drain
from millrace.worker.host import Host
from millrace.worker.summary import Summary
from millrace.worker.supervisor import supervise
from millrace.worker.worker import Worker

__all__ = ["Host", "Summary", "Worker", "adrain", "drain", "supervise"]
