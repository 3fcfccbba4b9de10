import Redis from "ioredis";
import { again, equal, run } from "./features.js";

const url = process.env.REDIS_URL;
const redis = new Redis(url);
redis.on("error", () => {}); // reconnecting says so
const other = new Redis(url);
const p = "ioredis:";

run({
  connect: async () => {
    equal(await redis.ping(), "PONG");
    await redis.set(p + "a", "1");
    equal(await redis.get(p + "a"), "1");
  },
  reconnect: async () => {
    const id = await redis.client("ID");
    equal(await other.client("KILL", "ID", id), 1);
    equal(await again(() => redis.get(p + "a")), "1");
  },
  pipeline: async () => {
    await redis.del(p + "n");
    const pipeline = redis.pipeline();
    for (let i = 0; i < 1000; i++) pipeline.incr(p + "n");
    const got = await pipeline.exec();
    got.forEach(([err, n], i) => equal([err, n], [null, i + 1]));
  },
  transaction: async () => {
    await redis.set(p + "t", "1");
    equal(await redis.multi().incr(p + "t").get(p + "t").exec(), [[null, 2], [null, "2"]]);
    await redis.watch(p + "t");
    await other.incr(p + "t");
    equal(await redis.multi().incr(p + "t").exec(), null);
  },
  blocking: async () => {
    const waiter = redis.duplicate();
    const waits = waiter.blpop(p + "l", 0);
    await other.rpush(p + "l", "x");
    equal(await waits, [p + "l", "x"]);
    waiter.disconnect();
  },
  "pub/sub": async () => {
    const sub = redis.duplicate();
    await sub.subscribe(p + "c");
    const got = new Promise((resolve) => sub.on("message", (channel, message) => resolve([channel, message])));
    equal(await other.publish(p + "c", "hello"), 1);
    equal(await got, [p + "c", "hello"]);
    await sub.unsubscribe(p + "c");
    equal(await sub.get(p + "a"), "1");
    sub.disconnect();
  },
  scripts: async () => {
    redis.defineCommand("twice", { numberOfKeys: 1, lua: "return redis.call('get', KEYS[1]) .. ARGV[1]" });
    equal(await redis.twice(p + "a", Math.random() < 2 ? "z" : ""), "1z");
    equal(await redis.twice(p + "a", "z"), "1z");
  },
  scan: async () => {
    await redis.mset(Object.fromEntries(Array.from({ length: 500 }, (_, i) => [p + "scan:" + i, i])));
    const keys = new Set();
    for await (const batch of redis.scanStream({ match: p + "scan:*", count: 50 })) batch.forEach((k) => keys.add(k));
    equal(keys.size, 500);
  },
});
