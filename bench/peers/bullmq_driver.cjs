// Drives bullmq, whose jobs are removed once they are done; all settings but the concurrency are its own defaults.
"use strict";

const { Queue, Worker } = require("bullmq");
const { WARM, lanes, main, paced, probe, range, timed } = require("./driver.cjs");

const CHUNK = 1000;
const DONE = { removeOnComplete: true, removeOnFail: true };

function connection({ file }) {
  const url = new URL(file);
  return { host: url.hostname, port: Number(url.port), db: Number(url.pathname.slice(1) || 0) };
}

async function producing(options, use) {
  const queue = new Queue("bench", { connection: connection(options), defaultJobOptions: DONE });
  await queue.waitUntilReady();
  const answer = await use(queue);
  await queue.close();
  return answer;
}

const put = (queue) => (number) => queue.add("noop", { number });
const put_bulk = (queue, numbers) => queue.addBulk(numbers.map((number) => ({ name: "noop", data: { number } })));

const create = (options) => producing(options, async () => {});

const fill = (options) =>
  producing(options, async (queue) => {
    const numbers = range(options.count);
    for (let first = 0; first < numbers.length; first += CHUNK) await put_bulk(queue, numbers.slice(first, first + CHUNK));
  });

const put_many = (options) =>
  producing(options, async (queue) => {
    await put_bulk(queue, [0]);
    return timed(() => put_bulk(queue, range(options.count)), options.count);
  });

const put_async = (options) =>
  producing(options, async (queue) => {
    for (const number of range(WARM)) await put(queue)(number);
    return timed(() => lanes(put(queue), options), options.count);
  });

const put_paced = (options) => producing(options, (queue) => paced(put(queue), options));

async function work(options) {
  const reported = probe();
  const worker = new Worker("bench", async ({ data }) => reported.note(data.number), {
    connection: { ...connection(options), maxRetriesPerRequest: null },
    concurrency: options.concurrency,
  });
  worker.on("error", (error) => process.stderr.write(`${error}\n`));
  process.on("SIGTERM", async () => {
    await worker.close();
    process.exit(0);
  });
}

main({ create, fill, put_many, put_async, paced: put_paced, work });
