// What the peers on Node.js share: the command line of a driver (OPTIONS as JSON, one JSON object printed), and the
// probe, the mapped file of probe.py. Node.js maps no files, so reports are kept here and written every few ms, each
// run of neighbouring numbers at once, into the slots of these jobs alone.
"use strict";

const fs = require("node:fs");

const FLUSH_MILLISECONDS = 4;
const WARM = 5; // as in driver.py, and so the pause before the paced jobs
const IDLE_MILLISECONDS = 1000;
const SLOT_BYTES = 18; // as in probe.py: two doubles (began, ended) and two counters of a byte (begins, ends)

const [seconds, nanoseconds] = process.hrtime(); // CLOCK_MONOTONIC, which all processes of one boot share
const ORIGIN = seconds + nanoseconds / 1e9 - performance.now() / 1000;
const now = () => ORIGIN + performance.now() / 1000;

class Probe {
  constructor(path) {
    this.file = fs.openSync(path, "r+");
    this.capacity = fs.fstatSync(this.file).size / SLOT_BYTES;
    this.began = new Float64Array(this.capacity);
    this.ended = new Float64Array(this.capacity);
    this.noted = [];
    setInterval(() => this.flush(), FLUSH_MILLISECONDS);
  }

  note(number) {
    this.began[number] = now();
    this.noted.push(number);
    this.ended[number] = now();
  }

  flush() {
    const noted = this.noted.sort((one, other) => one - other);
    this.noted = [];
    for (let first = 0, last = 0; first < noted.length; first = last) {
      do last += 1;
      while (last < noted.length && noted[last] === noted[last - 1] + 1);
      this.write(noted[first], last - first);
    }
  }

  write(number, count) {
    for (const [times, place] of [[this.began, 0], [this.ended, this.capacity]]) {
      const bytes = new Uint8Array(times.buffer, number * 8, count * 8);
      fs.writeSync(this.file, bytes, 0, bytes.length, (place + number) * 8);
    }
    for (const place of [16, 17]) {
      const counters = new Uint8Array(count);
      fs.readSync(this.file, counters, 0, count, place * this.capacity + number);
      fs.writeSync(this.file, counters.map((each) => each + 1), 0, count, place * this.capacity + number);
    }
  }
}

const probe = () => new Probe(process.env.MILLRACE_BENCH_PROBE);

async function timed(put, count) {
  const started = performance.now();
  await put();
  return { rate: (count / (performance.now() - started)) * 1000 };
}

// From several chains of calls, each awaiting its own one by one.
async function lanes(put, { count, lanes }) {
  const numbers = range(count)[Symbol.iterator]();
  const lane = async () => {
    for (const number of numbers) await put(number);
  };
  await Promise.all(range(lanes).map(lane));
}

// One call each so many seconds, give or take some, after a few and a pause, so that the worker is up and idle.
async function paced(put, { count, interval, jitter }) {
  const [called, returned] = [[], []];
  for (const number of range(WARM)) await put(number);
  await sleep(IDLE_MILLISECONDS);
  let due = now();
  for (const number of range(count)) {
    due += interval + (2 * Math.random() - 1) * jitter;
    await sleep(Math.max(0, due - now()) * 1000);
    called.push(now());
    await put(WARM + number);
    returned.push(now());
  }
  return { called, returned };
}

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const range = (count) => Array.from({ length: count }, (_, number) => number);

async function main(commands) {
  const [name, options] = [process.argv[2], JSON.parse(process.argv[3])];
  const answer = await commands[name](options);
  if (name === "work") return; // until it is told to stop
  process.stdout.write(JSON.stringify(answer ?? {}) + "\n", () => process.exit(0));
}

module.exports = { WARM, lanes, main, paced, probe, range, timed };
