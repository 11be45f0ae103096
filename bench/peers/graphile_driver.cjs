// Drives graphile-worker, at the settings of its own performance page: completions batched, a local queue whose size
// `options.setting` names.
"use strict";

process.env.NO_LOG_SUCCESS = "1"; // as its own performance test does

const { Logger, makeWorkerUtils, run, runMigrations } = require("graphile-worker");
const { main, probe, range } = require("./driver.cjs");

const CHUNK = 20000;
const logger = new Logger(() => (level, message) => {
  if (level === "error") process.stderr.write(`${message}\n`);
});

async function fill({ file, count }) {
  await runMigrations({ connectionString: file, logger });
  const utils = await makeWorkerUtils({ connectionString: file, logger });
  const numbers = range(count);
  for (let first = 0; first < count; first += CHUNK) {
    const chunk = numbers.slice(first, first + CHUNK);
    await utils.addJobs(chunk.map((number) => ({ identifier: "noop", payload: { number } })));
  }
  await utils.release();
}

async function work({ file, concurrency, setting }) {
  const reported = probe();
  const worker = {
    connectionString: file,
    concurrentJobs: concurrency,
    maxPoolSize: concurrency + 1,
    localQueue: { size: Number(setting) },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
    logger,
  };
  const runner = await run({ preset: { worker }, taskList: { noop: ({ number }) => reported.note(number) } });
  runner.promise.then(() => process.exit(0));
}

main({ fill, work });
