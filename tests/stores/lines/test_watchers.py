"""Who wants to hear of changes, and the one listener that they share: started for the first, stopped after the last."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from millrace.errors import StoreUnavailable
from millrace.stores.watchers import Watchers
from tests.stores.lines.calls import Ear

LOG = logging.getLogger("millrace.test")


class Told:
    """A listener that listens at once, and tells to look before anybody can say a word."""

    live = True

    def __init__(self, on_hint: Callable[[], None]) -> None:
        self.stops = 0
        on_hint()

    def stop(self) -> None:
        """Note that it was stopped."""
        self.stops += 1


def test_the_first_subscriber_hears_that_the_listener_listens() -> None:
    watchers, ear = Watchers(Told, LOG), Ear()
    watch = watchers.add(ear)
    assert ear.times == 1
    assert watch.live


def test_the_last_one_to_leave_stops_the_listener() -> None:
    watchers = Watchers(Told, LOG)
    first, second = watchers.add(Ear()), watchers.add(Ear())
    listener = watchers.listener
    assert listener is not None
    first.close()
    assert listener.stops == 0
    second.close()
    assert listener.stops == 1
    assert not second.live


def test_where_no_listener_can_be_started_nobody_is_subscribed() -> None:
    def fail(_: Callable[[], None]) -> Told:
        raise StoreUnavailable("it is away")

    watchers, ear = Watchers(fail, LOG), Ear()
    with pytest.raises(StoreUnavailable, match="it is away"):
        watchers.add(ear)
    watchers.tell()
    assert ear.times == 0
