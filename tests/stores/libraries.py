"""Django made ready within a test: a connection under an alias of its own, that `transaction.atomic(using=…)` finds."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import django
from django.conf import settings
from django.db import connections
from django.db.utils import ConnectionHandler

__all__ = ["ALIAS", "django_connection"]

ALIAS = "shop"


@contextmanager
def django_connection(**database: Any) -> Generator[Any]:
    """Open one of Django's connections; `database` is an entry of its DATABASES."""
    if not settings.configured:
        settings.configure()
        django.setup()
    made: Any = ConnectionHandler({"default": {}, ALIAS: database})[ALIAS]
    connections[ALIAS] = made
    try:
        yield made
    finally:
        made.close()
        del connections[ALIAS]
