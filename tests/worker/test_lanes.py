"""The lanes of a worker: who may begin, and how many are claimed."""

from __future__ import annotations

from millrace.worker.lane import Bay, Lane
from millrace.worker.uptime import uptime
from tests.worker.test_rooms import row


class Recorder:
    """A crew that only notes who was engaged."""

    def __init__(self, *, one_by_one: bool = False) -> None:
        self.one_by_one = one_by_one
        self.engaged: list[int] = []

    def engage(self, bay: Bay, count: int) -> None:
        assert bay.crew is self
        self.engaged.append(count)


def make_lane(size: int = 3, most_ahead: int = 500) -> tuple[Lane, Recorder, Recorder]:
    threads, loop = Recorder(), Recorder()
    return Lane(size, {"thread": threads, "loop": loop}, most_ahead=most_ahead), threads, loop


def test_a_lane_begins_as_many_as_it_has_slots() -> None:
    lane, threads, _ = make_lane(3)
    lane.take_in({"thread": [row(number) for number in range(5)]})

    assert threads.engaged == [3]
    assert (lane.free, lane.waiting) == (0, 5)
    assert not lane.quiet


def test_hands_that_come_one_by_one_are_called_by_the_one_before_while_jobs_and_slots_are_left() -> None:
    threads = Recorder(one_by_one=True)
    lane = Lane(3, {"thread": threads, "loop": Recorder()}, most_ahead=500)
    lane.take_in({"thread": [row(number) for number in range(5)]})
    bay = lane.bays["thread"]
    assert (threads.engaged, lane.free) == ([1], 2)
    for _ in range(3):
        lane.call_next(bay)
    assert (threads.engaged, lane.free) == ([1, 1, 1], 0)
    bay.ready.clear()
    assert lane.leave(bay)
    lane.call_next(bay)
    assert (threads.engaged, lane.free) == ([1, 1, 1], 1)


def test_of_two_runners_none_is_held_back_by_coming_one_by_one() -> None:
    threads, loop = Recorder(one_by_one=True), Recorder()
    lane = Lane(6, {"thread": threads, "loop": loop}, most_ahead=500)
    lane.take_in({"thread": [row(number) for number in range(5)], "loop": [row(number) for number in range(5)]})
    assert (sum(threads.engaged), sum(loop.engaged)) == (3, 3)


def test_the_hand_that_asks_begins_one_itself() -> None:
    lane, threads, _ = make_lane(3)
    lane.take_in({"thread": [row(1)]})
    bay = lane.bays["thread"]
    bay.ready.popleft()
    lane.take_in({"thread": [row(2), row(3)]}, own=bay)

    assert threads.engaged == [1, 1]
    assert lane.free == 1


def test_runners_take_turns_for_the_slots() -> None:
    lane, threads, loop = make_lane(4)
    lane.take_in({"thread": [row(number) for number in range(5)], "loop": [row(9)]})

    assert (sum(threads.engaged), sum(loop.engaged)) == (3, 1)
    assert lane.crowded


def test_a_hand_keeps_its_slot_while_jobs_wait_unless_it_gives_way() -> None:
    lane, _, loop = make_lane(1)
    lane.take_in({"thread": [row(1), row(2)]})
    bay = lane.bays["thread"]
    assert not lane.leave(bay)
    lane.take_in({"loop": [row(3)]})
    assert lane.crowded
    assert lane.leave(bay, yields=True)
    assert lane.leave(bay, yields=True)

    assert loop.engaged != []


def test_a_slot_that_comes_free_is_told() -> None:
    lane, _, _ = make_lane(1)
    told: list[int] = []
    lane.on_free = lambda: told.append(lane.free)
    lane.take_in({"thread": [row(1)]})
    bay = lane.bays["thread"]
    bay.ready.popleft()

    assert lane.leave(bay)
    assert told == [1]
    assert lane.quiet


def test_what_a_claim_under_way_may_bring_is_not_asked_for_twice() -> None:
    lane, _, _ = make_lane(5)
    lane.ask(3)

    assert lane.want(uptime()) == 2
    lane.ask(-3)
    assert lane.want(uptime()) == 5


def test_the_oldest_are_given_back_and_the_pace_is_measured_anew() -> None:
    lane, _, _ = make_lane(1)
    lane.take_in({"thread": [row(number, started=number * 10) for number in range(1, 6)]})

    oldest = [lane.oldest]
    assert [each.ref for each in lane.remove(before=30)] == [1, 2]
    oldest.append(lane.oldest)
    assert [each.ref for each in lane.remove()] == [3, 4, 5]
    assert [*oldest, lane.oldest] == [10, 30, None]
    assert lane.want(uptime()) == 0
