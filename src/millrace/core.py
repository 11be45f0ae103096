"""What an app consists of: its store, its tasks, its settings and the way to the store. Owns opening and closing them.

The verbs stand in `reader`, `changer`, `consumer` and `client`, all on top of this.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from millrace import checks
from millrace.bridge import Bridge
from millrace.errors import ConfigurationError, JobNotFound, StoreUnavailable
from millrace.hooks import Hooks
from millrace.ids import as_id, new_worker_id
from millrace.job import JobRow
from millrace.options import DEFAULT_DEAD_RETENTION, DEFAULT_RETENTION, Terms, read_options
from millrace.registry import Registry
from millrace.store import Store
from millrace.waiter import Waiter

if TYPE_CHECKING:
    from datetime import timedelta

    from millrace.feed import Feed
    from millrace.metrics.meter import Meter

__all__ = ["DEFAULT_MAX_PAYLOAD", "DEFAULT_URL", "Core"]

DEFAULT_URL = "sqlite:///millrace.db"
DEFAULT_MAX_PAYLOAD = 1_048_576  #: bytes of JSON
_LARGEST_PAYLOAD = 256 * 1024 * 1024
URL_VARIABLE = "MILLRACE_URL"


class Core:
    """The parts of an app. Its settings are checked here and never change.

    >>> core = Core("memory://")
    >>> core.store.url, core.retention
    ('memory://', 86400.0)
    >>> core.close()
    """

    store: Store  #: where its jobs live; another object after `close` and `open`
    bridge: Bridge
    waiter: Waiter

    def __init__(
        self,
        url_or_store: str | Store | None = None,
        *,
        imports: Iterable[str] = (),
        eager: bool = False,
        release: int | None = None,
        retention: float | timedelta | None = DEFAULT_RETENTION,
        dead_retention: float | timedelta | None = DEFAULT_DEAD_RETENTION,
        max_payload: int = DEFAULT_MAX_PAYLOAD,
    ) -> None:
        self.imports = _module_names(imports)
        self.eager = checks.flag("eager", eager)
        self.code_release = None if release is None else checks.count("release", release, least=0)
        self.retention = checks.optional_duration("retention", retention)
        self.dead_retention = checks.optional_duration("dead_retention", dead_retention)
        self.max_payload = checks.count("max_payload", max_payload, most=_LARGEST_PAYLOAD)
        self.terms = Terms(retention=self.retention, dead_retention=self.dead_retention)  #: for tasks not known here
        self.registry = Registry()
        self.hooks = Hooks()  #: what is called around enqueues and attempts, and when something happens
        if url_or_store is None:
            url_or_store = os.environ.get(URL_VARIABLE) or DEFAULT_URL
        self._url = url_or_store if isinstance(url_or_store, str) else None
        self._worker = (0, 0)
        self.meter: Meter | None = None  #: counts for it, once it is measured
        self._take(_opened(url_or_store))

    def _take(self, store: Store) -> None:
        if self.meter is not None:
            from millrace.meteredstore import metered

            store = metered(store, self.meter)
        self.store = store
        self.bridge = Bridge(store)
        self.waiter = Waiter(store)
        self._feed: Feed | None = None
        self.closed = False

    def measured_by(self, meter: Meter) -> None:
        """Let the calls of the store be measured from now on; `measuring.measure` is where that begins."""
        self.meter = meter
        if not self.closed:
            self._leave()
            self._take(self.store)

    @property
    def feed(self) -> Feed:
        """Through which events are followed, made when it is first asked for."""
        if self._feed is None:
            from millrace.feed import Feed

            self._feed = Feed(self.store)
        return self._feed

    @property
    def worker_id(self) -> int:
        """The number under which the app itself claims jobs; another one in a forked child."""
        pid, number = self._worker
        if pid != os.getpid():
            number = new_worker_id()
            self._worker = os.getpid(), number
        return number

    def open(self) -> None:
        """Open the store again after `close`; does nothing while it is open.

        Raises:
            ConfigurationError: The app was given a store object, which stays closed.

        >>> core = Core("memory://")
        >>> core.close()
        >>> core.open()
        >>> core.store.depth()
        0
        """
        if not self.closed:
            return
        if self._url is None:
            raise ConfigurationError(
                f"the app's store {self.store.url} was given as an object and is closed; make a new app on a new store"
            )
        self._take(_opened(self._url))

    def close(self) -> None:
        """Write what is under way, and give back every thread, connection and file. A second call does nothing.

        >>> core = Core("memory://")
        >>> core.close()
        """
        if self.closed:
            return
        self.closed = True
        self._leave()
        self.store.close()
        # What is asked of the app from now on is told how to open it, not how to make the store that it had.
        self.store = cast("Store", _Shut(self.store.url))
        self.bridge = Bridge(self.store)
        self.bridge.close()

    def _leave(self) -> None:
        """End what goes to the store for others."""
        self.waiter.close()
        if self._feed is not None:
            self._feed.close()
        self.bridge.close()

    def terms_of(self, row: JobRow) -> Terms:
        """Return what holds for a job: its own options over its task's, or over the app's for a task not known here."""
        spec = self.registry.get(row.task)
        if spec is not None:
            return spec.terms_of(row.options)
        return self.terms if row.options is None else self.terms.over(read_options(row.options))

    def row_of(self, id: object) -> JobRow:
        """Read one job.

        Raises:
            JobNotFound: There is no such job.
        """
        key = as_id(id)
        row = self.store.get([key])[0]
        if row is None:
            raise self.not_found(key)
        return row

    def not_found(self, key: bytes) -> JobNotFound:
        """Make the error for an id that no job has."""
        from uuid import UUID

        return JobNotFound(
            f"no job {UUID(bytes=key)} in {self.store.url}: it never was, was deleted, or its retention has passed; "
            "app.list() shows what is there"
        )


class _Shut:
    """What stands where the store of a closed app stood: each verb says how to open the app again."""

    def __init__(self, url: str) -> None:
        self.url = url

    def insert_on(self, *_: object) -> Any:
        raise self._refusal()

    finish_on = insert_on  # both stand here because a capability is looked for without calling `__getattr__`

    def __getattr__(self, verb: str) -> Any:
        raise AttributeError(verb) if verb.startswith("__") else self._refusal()

    def _refusal(self) -> StoreUnavailable:
        return StoreUnavailable(f"the app of {self.url} is closed; open it again with app.open()")


def _opened(url_or_store: str | Store) -> Store:
    if not isinstance(url_or_store, str):
        given: Any = cast("object", url_or_store)
        if not callable(getattr(given, "step", None)):
            raise ConfigurationError(f"{given!r} is neither a URL nor a Store; give text such as {DEFAULT_URL!r}")
        return url_or_store
    from millrace.stores import open_store

    return open_store(url_or_store)


def _module_names(imports: Iterable[str]) -> tuple[str, ...]:
    return tuple(checks.name("a module in imports", each) for each in checks.items("imports", imports, "module names"))
