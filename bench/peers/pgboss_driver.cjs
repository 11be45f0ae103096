// Drives pg-boss: two local workers, each with batches as large as the concurrency and an outcome for each job.
"use strict";

const { PgBoss } = require("pg-boss");
const { main, probe, range, timed } = require("./driver.cjs");

const CHUNK = 20000;
const STOP_MILLISECONDS = 2000;

async function opened({ file }, more = {}) {
  const boss = new PgBoss({ connectionString: file, useListenNotify: true, ...more });
  boss.on("error", (error) => process.stderr.write(`${error}\n`));
  await boss.start();
  return boss;
}

const insert = (boss, numbers) => boss.insert("noop", numbers.map((number) => ({ data: { number } })));

async function create(options) {
  const boss = await opened(options, { supervise: false, schedule: false });
  await boss.createQueue("noop", { notify: true });
  await boss.stop({ graceful: false });
}

async function fill(options) {
  await create(options);
  const boss = await opened(options, { supervise: false, schedule: false });
  const numbers = range(options.count);
  for (let first = 0; first < numbers.length; first += CHUNK) await insert(boss, numbers.slice(first, first + CHUNK));
  await boss.stop({ graceful: false });
}

async function put_many(options) {
  const boss = await opened(options, { supervise: false, schedule: false });
  await insert(boss, [0]);
  const answer = await timed(() => insert(boss, range(options.count)), options.count);
  await boss.stop({ graceful: false });
  return answer;
}

async function work(options) {
  const reported = probe();
  const boss = await opened(options);
  const settings = {
    batchSize: options.concurrency,
    burstWhenBatchFull: true,
    localConcurrency: 2,
    pollingIntervalSeconds: 0.5,
    perJobResults: true,
  };
  await boss.work("noop", settings, async (jobs) => {
    for (const { data } of jobs) reported.note(data.number);
    return jobs.map(({ id }) => ({ id, status: "completed" }));
  });
  process.on("SIGTERM", async () => {
    await boss.stop({ graceful: true, timeout: STOP_MILLISECONDS });
    process.exit(0);
  });
}

main({ create, fill, put_many, work });
