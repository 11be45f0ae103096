"""A user with the permissions that the document on Redis lists, and no others, can do all that a store does."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest

from millrace import JobState, Millrace
from millrace.stores import open_store
from millrace.stores.redis.url import read_url
from tests.docs.snippets import ROOT
from tests.servers.redisspaces import RedisSpace
from tests.stores.redis.lines.conftest import until

COMMANDS = re.findall(r"^ACL SETUSER .*$", (ROOT / "docs" / "redis.md").read_text(), re.MULTILINE)


def as_user(space: RedisSpace, name: str, password: str, options: dict[str, str]) -> str:
    """Return a space's URL for a user."""
    url = space.url(**options)
    return url.replace("://", f"://{name}:{password}@", 1) if urlsplit(url).netloc else url


@pytest.mark.parametrize("options", [{}, {"shard": "queue"}], ids=["plain", "spread"])
def test_the_permissions_listed_are_enough(main_redis: RedisSpace, options: dict[str, str]) -> None:
    plain, spread = COMMANDS
    prefix = read_url(main_redis.url()).prefix
    words = plain.replace("{millrace", f"{{{prefix}").split()
    main_redis.run(*words)
    if options:
        main_redis.run(*spread.replace("{millrace", f"{{{prefix}").split())
    try:
        url = as_user(main_redis, words[2], next(word[1:] for word in words if word.startswith(">")), options)
        with Millrace(url) as app:

            @app.task(max_attempts=1)
            def work(number: int) -> int:
                if number == 3:
                    raise ValueError(number)
                return number

            jobs = [work.using(tags=["some"], unique_key=f"key-{number}").enqueue(number) for number in range(5)]
            app.run_worker(burst=True)
            assert [job.refresh().state for job in jobs].count(JobState.COMPLETED) == 4
            for verb in (app.retry, app.cancel, app.delete):
                assert verb(jobs[3]).id == jobs[3].id
            assert app.counts()[JobState.COMPLETED] == 4
            assert [job.id for job in app.list(tag="some")]
            app.pause("default")
            app.resume("default")
            levels = {finding.level for finding in app.store.check()}
        assert "error" not in levels
        store = open_store(url)
        watch = store.watch(lambda: None)
        until(lambda: watch.live)
        watch.close()
        store.close()
    finally:
        main_redis.run("ACL", "DELUSER", words[2])
