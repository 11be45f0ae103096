"""The PostgreSQL store: producing and working, where the speed lies, and two verbs in a caller's own transaction."""

from __future__ import annotations

from millrace.stores.postgres.desk import Desk

__all__ = ["PostgresStore"]


class PostgresStore(Desk):
    """Jobs in a schema of a PostgreSQL database.

    Args:
        url: `postgresql://user@host/database`; what may stand in its query is told in `Settings`, and all that libpq
            knows may stand there too.
        clock: Where the time comes from; None is the server's clock, and that is what all but tests want.

    >>> PostgresStore("postgresql://ada:secret@db.example/shop").url
    'postgresql://ada:***@db.example/shop'
    """
