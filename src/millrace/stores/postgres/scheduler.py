"""The schedules of the PostgreSQL store; see `stores.serverscheduler`."""

from __future__ import annotations

from millrace.stores.postgres import schedules
from millrace.stores.postgres.base import PostgresServerStore
from millrace.stores.postgres.connection import Connection
from millrace.stores.postgres.session import Session
from millrace.stores.serverscheduler import ServerScheduler

__all__ = ["Scheduler"]


class Scheduler(PostgresServerStore, ServerScheduler[Connection, Session]):
    """Keeps schedules."""

    _book = schedules
