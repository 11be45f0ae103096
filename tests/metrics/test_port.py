"""The port of a worker: what it answers, and what is said where it cannot be had."""

from __future__ import annotations

import socket

import pytest

from millrace import ConfigurationError, Millrace, StoreUnavailable, Worker
from millrace.measuring import Measured
from millrace.metrics.readings import Readings
from millrace.metrics.text import CONTENT_TYPE
from millrace.worker.metricsport import MetricsPort
from tests.metrics.asking import ask
from tests.metrics.test_values import parsed
from tests.worker.stages import Stage, out_of_reach
from tests.worker.waiting import eventually


def mended(_: str) -> None:
    """Let a stage do all again."""


def test_a_worker_is_told_of_as_prometheus_reads_it(memory_app: Millrace) -> None:
    measured, worker = Measured(memory_app), Worker(memory_app)
    ping = memory_app.task(name="ping")(lambda: None)
    with worker, MetricsPort("127.0.0.1", 0, measured.read, lambda: worker.complaints) as port:
        ping.enqueue().wait(10)
        told = ask(port.url, "/metrics")
        assert (told.status, told.kind) == (200, CONTENT_TYPE)
        assert parsed(told.text)["millrace_attempts_total"] == {("ping", "default", "completed"): 1}
        assert parsed(told.text)["millrace_store_up"] == {(): 1}
        told = ask(port.url, "/healthz")
        assert (told.status, told.text) == (200, "ok\n")


def test_health_is_red_while_the_store_is_out_of_reach_and_green_again_after(staged: Millrace, stage: Stage) -> None:
    with Worker(staged) as worker, MetricsPort("127.0.0.1", 0, Readings, lambda: worker.complaints) as port:
        assert ask(port.url, "/healthz").status == 200
        stage.broken = out_of_reach()
        eventually(lambda: ask(port.url, "/healthz").status == 503)
        assert "the store cannot be used: the disk is full\n" in ask(port.url, "/healthz").text
        stage.broken = mended
        eventually(lambda: ask(port.url, "/healthz").status == 200)


def test_health_is_red_while_signs_of_life_fail(memory_app: Millrace, monkeypatch: pytest.MonkeyPatch) -> None:
    with Worker(memory_app) as worker:
        assert worker.complaints == []
        monkeypatch.setattr("millrace.worker.shift._SILENT", -1.0)
        (told,) = worker.complaints
        assert told.startswith("the worker has not reported itself in the store for ")


def test_health_is_red_before_the_start_and_after_the_end(memory_app: Millrace) -> None:
    worker = Worker(memory_app)
    assert worker.complaints == ["the worker is not at work"]
    with worker:
        assert worker.complaints == []
    assert worker.complaints == ["the worker is not at work"]


def test_head_is_answered_and_what_is_not_there_is_said_so() -> None:
    with MetricsPort("127.0.0.1", 0, Readings, list) as port:
        told = ask(port.url, "/healthz", "HEAD")
        assert (told.status, told.length, told.text) == (200, "3", "")
        told = ask(port.url, "/")
        assert (told.status, told.text) == (404, "there are /metrics and /healthz\n")
        assert ask(port.url, "/healthz?verbose=1").status == 200


def test_what_cannot_be_told_is_a_500_and_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Readings:
        raise StoreUnavailable("away")

    with MetricsPort("127.0.0.1", 0, broken, list) as port:
        told = ask(port.url, "/metrics")
        assert (told.status, told.text) == (500, "StoreUnavailable: see the worker's log\n")
    assert "/metrics could not be told" in caplog.text


def test_a_client_that_says_nothing_does_not_keep_others_waiting() -> None:
    with MetricsPort("127.0.0.1", 0, Readings, list) as port:
        host, _, number = port.url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(number))):
            assert ask(port.url, "/healthz").status == 200


def test_a_port_that_is_taken_is_refused_with_what_to_do() -> None:
    with MetricsPort("127.0.0.1", 0, Readings, list) as port:
        number = int(port.url.rpartition(":")[2])
        with pytest.raises(ConfigurationError, match=f"--metrics-port {number}: another process listens there;"):
            MetricsPort("127.0.0.1", number, Readings, list)
    MetricsPort("127.0.0.1", number, Readings, list).close()  # and free once it was given back


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_an_address_that_is_not_this_machines_is_refused(host: str) -> None:
    with pytest.raises(ConfigurationError, match=f"--metrics-host {host}"):
        MetricsPort(host, 0, Readings, list)
