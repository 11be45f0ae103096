"""Examples of any text and any size: what people write, a store keeps as it is."""

from __future__ import annotations

import pytest
from msgspec.json import encode as json_encode

from millrace.conformance.bench import ANN, KEPT, Bench
from millrace.conformance.examples import Examples
from millrace.job import Progress
from millrace.messages import Beat, JobFilter, QueueSettings
from millrace.outcome import ErrorRecord, Outcome
from millrace.records import LogRow, WorkerRow
from millrace.states import Reason

__all__ = ["TextExamples"]

#: Names: 1 to 200 bytes, any character but NUL.
NAMES = {
    "one letter": "x",
    "emoji": "🚚 deliver 🎉",
    "right to left": "שלום مرحبا",
    "combining": "e\u0301 and \u00e9",
    "quotes": "a'b\"c`d",
    "statement": "x'); DROP TABLE jobs; --",
    "wildcards": "100%_*?[a]{b}\\",
    "blanks": "  a\tb\nc ",
    "separators": "a:b/c|d,e;f=g&h",
    "looks like a number": "007",
    "looks like JSON": '["a",null]',
    "200 bytes": "é" * 100,
    "200 letters": "n" * 200,
    "control": "\x01\x1f\x7f",
}

#: Texts: any character there is.
TEXTS = {
    "empty": "",
    "NUL": "a\0b",
    "emoji": "👩\u200d🚀🇩🇪",
    "right to left": "\u202e\u05e9\u05dc\u05d5\u05dd",
    "beyond the first plane": "\U0001d510\U0001d526",
    "line ends": "a\r\nb\u2028c\n",
    "last character": "\U0010ffff",
    "8 KiB": "long " * 1638,
}

#: Around every limit at which a store may keep arguments elsewhere.
SIZES = (2, 1023, 1024, 1025, 4096, 65_536, 1_048_575, 1_048_576)


def name_cases() -> pytest.MarkDecorator:
    """Run an example with every name."""
    return pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)


def text_cases() -> pytest.MarkDecorator:
    """Run an example with every text."""
    return pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)


def json_of(size: int) -> bytes:
    """Make a JSON object of so many bytes."""
    return b"{}" if size == 2 else b'{"a":"' + b"x" * (size - 8) + b'"}'


class TextExamples(Examples):
    """Names, payloads, errors and log lines of every kind."""

    @name_cases()
    def test_any_name_will_do_for_a_queue_a_task_a_key_and_a_tag(self, bench: Bench, name: str) -> None:
        id = bench.add(queue=name, task=name, unique_key=name, tags=(name,))
        bench.add(queue="elsewhere", task="other", unique_key="another", tags=("other",))
        job = bench.take(queues=(name,), tasks=frozenset({name}))
        assert (job.id, job.queue, job.task, job.unique_key, job.tags) == (id, name, name, name, (name,))
        for where in (JobFilter(queue=name), JobFilter(task=name), JobFilter(tag=name), JobFilter(unique_key=name)):
            assert bench.store.select(where, limit=10) == ([id], None)
        assert bench.store.depth(name) == 0
        assert bench.store.insert([bench.row(unique_key=name)]).existing[0].row.id == id

    @name_cases()
    def test_any_name_will_do_for_settings_locks_and_leases(self, bench: Bench, name: str) -> None:
        bench.store.set_queue(name, QueueSettings(priority=3, concurrency=1))
        bench.store.pause(name, paused=True)
        bench.add(queue=name, task=name)
        assert [(queue.name, queue.paused) for queue in bench.store.queues()] == [(name, True)]
        bench.store.pause(name, paused=False)
        row = bench.take(leases={name: 5})
        assert row.lease == bench.now + 5
        assert bench.store.acquire(name, 1, 1000)
        assert not bench.store.acquire(name, 2, 1000)

    def test_names_that_only_look_alike_are_different_queues(self, bench: Bench) -> None:
        names = ["q", "Q", "q ", "\u00e9", "e\u0301"]
        for name in names:
            bench.add(queue=name)
        assert sorted(queue.name for queue in bench.store.queues()) == sorted(names)
        assert [bench.store.depth(name) for name in names] == [1] * 5

    @text_cases()
    def test_any_text_may_stand_in_arguments_and_results(self, bench: Bench, text: str) -> None:
        payload = json_encode({"t": text})
        id = bench.add(args=payload)
        row = bench.take()
        assert row.args == payload == bench.job(id).args
        bench.finish(ANN, Outcome.completed(row, payload, retention=KEPT))
        assert bench.job(id).result == payload

    @text_cases()
    def test_any_text_may_stand_in_errors(self, bench: Bench, text: str) -> None:
        id = bench.add()
        error = ErrorRecord("Broken", text, f"Traceback\n{text}")
        bench.finish(ANN, Outcome.dead(bench.take(), error, reason=Reason.EXHAUSTED, retention=KEPT))
        (attempt,) = bench.store.attempts(id)
        assert bench.job(id).error == attempt.error == error.text
        assert attempt.traceback == f"Traceback\n{text}"

    @text_cases()
    def test_any_text_may_be_logged_and_told_as_progress(self, bench: Bench, text: str) -> None:
        id = bench.add()
        row = bench.take()
        data = json_encode({"t": text})
        assert bench.store.log(ANN, [LogRow(row.ref, id, row.claim, bench.now, 20, text, data, row.attempt)]) == [True]
        bench.store.extend(ANN, [Beat(row.ref, id, row.claim, progress=Progress(0.5, text))])
        (line,) = bench.store.logs(id)
        assert (line.message, line.data) == (text, data)
        assert bench.job(id).progress == Progress(0.5, text)

    @text_cases()
    def test_any_text_may_describe_a_worker(self, bench: Bench, text: str) -> None:
        worker = WorkerRow(ANN, "host:1", 1, 1, json_encode({"host": text}))
        bench.store.register(worker)
        assert bench.store.workers() == [worker]

    @pytest.mark.parametrize("size", SIZES)
    def test_arguments_of_any_size_are_whole_wherever_they_are_read(self, bench: Bench, size: int) -> None:
        args = json_of(size)
        id = bench.add(args=args)
        page, _ = bench.store.page(JobFilter(), limit=10)
        assert [job.args for job in page] == [args]
        row = bench.take()
        assert row.args == args
        bench.end("released", row)
        assert bench.take().args == args == bench.job(id).args

    @pytest.mark.parametrize("size", SIZES)
    def test_results_of_any_size_are_whole(self, bench: Bench, size: int) -> None:
        id = bench.add()
        bench.finish(ANN, Outcome.completed(bench.take(), json_of(size), retention=KEPT))
        assert bench.job(id).result == json_of(size)

    def test_long_and_short_arguments_do_not_mix_in_one_call(self, bench: Bench) -> None:
        rows = [bench.row(args=json_of(size)) for size in (2, 5000, 1024, 1025, 2, 70_000)]
        bench.store.insert(rows)
        assert [row.args for row in bench.claim()] == [row.args for row in rows]

    def test_twenty_tags_keep_their_order(self, bench: Bench) -> None:
        tags = tuple(f"tag {n * 7 % 20:02}" for n in range(20))
        id = bench.add(tags=tags)
        assert bench.job(id).tags == tags
        assert bench.take().tags == tags
        for tag in tags:
            assert bench.store.select(JobFilter(tag=tag), limit=5)[0] == [id]

    def test_an_error_of_16_kib_is_whole(self, bench: Bench) -> None:
        id = bench.add()
        error = ErrorRecord("Broken", "m" * 4096, "t" * 12_288)
        bench.finish(ANN, Outcome.failed(bench.take(), error, delay=0, retention=KEPT))
        (attempt,) = bench.store.attempts(id)
        assert (attempt.error, attempt.traceback) == (error.text, error.traceback)
