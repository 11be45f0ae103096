"""The leak check finds what a test leaves behind, and lets go what ends by itself."""

from __future__ import annotations

import os
import threading

from tests.leaks import Held, leaks_since


def test_nothing_opened_is_nothing_leaked() -> None:
    assert leaks_since(Held.now()) == []


def test_an_open_descriptor_is_a_leak_until_it_is_closed() -> None:
    before = Held.now()
    reader, writer = os.pipe()

    leaks = leaks_since(before, patience=0.0)
    os.close(reader)
    os.close(writer)

    assert sorted(int(leak.split()[1]) for leak in leaks) == sorted([reader, writer])
    assert leaks_since(before) == []


def test_a_running_thread_is_a_leak_until_it_ends() -> None:
    before = Held.now()
    release = threading.Event()
    thread = threading.Thread(target=release.wait, name="left-behind")
    thread.start()

    leaks = leaks_since(before, patience=0.0)
    release.set()

    assert leaks == ["thread 'left-behind'"]
    assert leaks_since(before) == []


def test_a_descriptor_held_by_a_cycle_is_no_leak() -> None:
    before = Held.now()

    class Holder:
        def __init__(self) -> None:
            self.itself = self
            self.ends = os.pipe()

        def __del__(self) -> None:
            for end in self.ends:
                os.close(end)

    Holder()

    assert leaks_since(before) == []
