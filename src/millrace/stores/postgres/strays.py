"""Jobs that were claimed for a worker which never heard of it, because the reply was lost. Owns how they go back."""

from __future__ import annotations

from collections.abc import Sequence

from millrace.stores.postgres.arrays import Uuids
from millrace.stores.postgres.session import Session

__all__ = ["GIVE_BACK", "STILL_HELD", "give_back", "still_held"]

# By job_lease: few rows are running, whoever's they are. A handler has not begun on any of these, so the try is given
# back and no attempt is told of. One that was asked to cancel meanwhile is left to its lease, which rescue sees to.
GIVE_BACK = """update {s}.job set state = 1, rev = rev + 1, attempt = attempt - 1, worker = null, lease_until = null,
  started_at = null
where state in (2, 3) and state = 2 and worker = %(worker)b and not id = any(%(held)b)"""

# By job_pkey; `+ 0` keeps it off job_lease.
STILL_HELD = "select id from {s}.job where id = any(%(ids)b) and state + 0 in (2, 3) and worker = %(worker)b"


def still_held(session: Session, worker: int, ids: Sequence[bytes]) -> list[bytes]:
    """Tell which of these jobs are running for a worker."""
    return [id for (id,) in session.rows(STILL_HELD, {"ids": Uuids(ids), "worker": worker})]


def give_back(session: Session, worker: int, held: Sequence[bytes]) -> int:
    """Make a worker's running jobs pending again but for those it holds; return how many."""
    return session.execute(GIVE_BACK, {"worker": worker, "held": Uuids(held)})
