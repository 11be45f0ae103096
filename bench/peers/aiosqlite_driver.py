"""Drives aiosqlite: the rows of a prepared store, one committed INSERT at a time from many tasks."""

import asyncio

import aiosqlite

from bench.driver import main, put_from_lanes
from bench.rows import job_rows


def put_async(options):
    """Insert the template's job rows into `options.file`, an empty store of the same schema."""
    rows, insert = job_rows(options.template)
    waiting = iter(rows)

    async def run():
        # Autocommit: each INSERT is a transaction of its own, so no task's commit carries another's row.
        async with aiosqlite.connect(options.file, isolation_level=None) as connection:
            await connection.execute(f"PRAGMA synchronous={options.synchronous}")

            async def put(_number):
                await connection.execute(insert, next(waiting))

            return await put_from_lanes(put, options.count, options.lanes)

    return asyncio.run(run())


if __name__ == "__main__":
    main({"put_async": put_async})
