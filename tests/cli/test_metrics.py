"""`millrace worker --metrics-port`: the port of one process, and of several."""

from __future__ import annotations

import re
import signal
import socket

from tests.cli.conftest import Shop
from tests.cli.test_worker import Process, Start, hold, start, wait_for
from tests.metrics.asking import ask
from tests.metrics.test_values import parsed
from tests.servers.redisserver import RedisServer
from tests.worker.waiting import eventually

__all__ = ["start"]


def address_of(process: Process) -> str:
    found = re.search(r"metrics on (http://127\.0\.0\.1:\d+)/metrics", process.hear("metrics on"))
    assert found is not None
    return found[1]


def told(url: str) -> dict[str, dict[tuple[str, ...], float]]:
    return parsed(ask(url, "/metrics").text)


def healthy(url: str) -> bool:
    return ask(url, "/healthz").status == 200


def test_a_worker_tells_what_it_does_on_a_port_of_its_own(shop: Shop, start: Start) -> None:
    process = start("slow:app", "--metrics-port", "0")
    url = address_of(process)
    hold(shop, "one")
    wait_for(shop, "one")
    values = told(url)
    assert values["millrace_running_jobs"] == {("slow.hold", "default"): 1}
    assert values["millrace_worker_slots"] == {(): 10}
    assert healthy(url)
    (shop.folder / "go").touch()
    eventually(lambda: ("slow.hold", "default", "completed") in told(url).get("millrace_attempts_total", {}))

    process.send_signal(signal.SIGTERM)
    assert process.end() == 0


def test_the_port_of_several_processes_tells_of_all(shop: Shop, start: Start) -> None:
    names = [f"job-{number}" for number in range(4)]
    for name in names:
        hold(shop, name)
    process = start("slow:app", "--metrics-port=0", "--processes", "2", "--concurrency", "2", "--prefetch", "0")
    url = address_of(process)
    for name in names:
        wait_for(shop, name)
    eventually(lambda: healthy(url))
    values = told(url)
    assert values["millrace_running_jobs"] == {("slow.hold", "default"): 4}
    assert (values["millrace_worker_slots"], values["millrace_worker_processes"]) == ({(): 4}, {(): 2})
    assert values["millrace_store_up"] == {(): 1}
    (shop.folder / "go").touch()
    eventually(lambda: told(url).get("millrace_attempts_total") == {("slow.hold", "default", "completed"): 4})

    process.send_signal(signal.SIGTERM)
    assert process.end() == 0


def test_health_is_red_while_the_server_of_the_store_is_down_and_green_again_after(
    shop: Shop, start: Start, redis_server: RedisServer
) -> None:
    (shop.folder / "far.py").write_text(f"from millrace import Millrace\n\napp = Millrace({redis_server.url()!r})\n")
    process = start("far:app", "--metrics-port", "0")
    url = address_of(process)
    eventually(lambda: healthy(url))

    redis_server.kill()
    eventually(lambda: not healthy(url))
    assert "the store cannot be used: " in ask(url, "/healthz").text
    assert shop.millrace("health", "far:app").code == 1
    redis_server.start()
    eventually(lambda: healthy(url))

    process.send_signal(signal.SIGTERM)
    assert process.end() == 0


def test_a_port_that_is_taken_ends_the_command_before_anything_runs(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        for more in ([], ["--processes", "2"]):
            process = start("slow:app", "--metrics-port", str(number), *more)
            assert process.end() == 2
            (line,) = process.lines
            assert line.startswith(f"millrace: --metrics-port {number}: another process listens there; ")


def test_a_port_that_is_none_is_refused(shop: Shop) -> None:
    answer = shop.millrace("worker", "slow:app", "--metrics-port", "70000")
    assert answer.code == 2
    assert "--metrics-port" in answer.err
