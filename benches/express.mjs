// The check of the Express recipe for API keys, written anew for Node: SHA-256, hex,
// Map, last use, permission list. `cargo xtask ratios` runs it beside our own benchmarks;
// it prints the median time of a check in nanoseconds, as one JSON object.

import { createHash, randomBytes } from "node:crypto";

const KEYS = 1_000;
const CHECKS_PER_SAMPLE = 2_000;
const SAMPLES = 501;
const WARM_UP_SAMPLES = 50;

const keys = new Map();

const hashed = (text) => createHash("sha256").update(text).digest("hex");

function issue(clientName, permissions) {
  const key = `dt_${randomBytes(32).toString("hex")}`;
  keys.set(hashed(key), { clientName, permissions, isActive: true, lastUsed: null });
  return key;
}

/** The status that a request is answered with. */
function check(headers, permission) {
  const key = headers["x-api-key"];
  if (!key) return 401;
  const data = keys.get(hashed(key));
  if (!data || !data.isActive) return 403;
  data.lastUsed = new Date();
  return data.permissions.includes(permission) ? 200 : 403;
}

function expect(status, headers, permission) {
  const answer = check(headers, permission);
  if (answer !== status) throw new Error(`expected ${status}, not ${answer}`);
}

const requests = Array.from({ length: KEYS }, (_, number) => ({
  "x-api-key": issue(`client ${number}`, ["invoices:read", "metrics:read"]),
}));
expect(401, {}, "metrics:read");
expect(403, { "x-api-key": "dt_00" }, "metrics:read");
expect(403, requests[0], "metrics:write");

let turn = 0;

function sample() {
  const start = process.hrtime.bigint();
  for (let done = 0; done < CHECKS_PER_SAMPLE; done += 1) {
    expect(200, requests[turn], "metrics:read");
    turn = (turn + 1) % KEYS;
  }
  return Number(process.hrtime.bigint() - start) / CHECKS_PER_SAMPLE;
}

for (let done = 0; done < WARM_UP_SAMPLES; done += 1) sample();
const samples = Array.from({ length: SAMPLES }, sample).sort((a, b) => a - b);
console.log(JSON.stringify({ nanoseconds: samples[(SAMPLES - 1) / 2] }));
