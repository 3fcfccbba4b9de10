import { createClient, WatchError } from "redis";
import { again, equal, run } from "./features.js";

const make = async () => {
  const client = createClient({ url: process.env.REDIS_URL });
  client.on("error", () => {}); // reconnecting says so
  return client.connect();
};
const redis = await make();
const other = await make();
const p = "node-redis:";

run({
  connect: async () => {
    equal(await redis.ping(), "PONG");
    await redis.set(p + "a", "1");
    equal(await redis.get(p + "a"), "1");
  },
  reconnect: async () => {
    const id = await redis.sendCommand(["CLIENT", "ID"]);
    equal(await other.sendCommand(["CLIENT", "KILL", "ID", String(id)]), 1);
    equal(await again(() => redis.get(p + "a")), "1");
  },
  pipeline: async () => {
    await redis.del(p + "n");
    const got = await Promise.all(Array.from({ length: 1000 }, () => redis.incr(p + "n")));
    equal(got, Array.from({ length: 1000 }, (_, i) => i + 1));
  },
  transaction: async () => {
    await redis.set(p + "t", "1");
    equal(await redis.multi().incr(p + "t").get(p + "t").exec(), [2, "2"]);
    const conflict = await redis.executeIsolated(async (isolated) => {
      await isolated.watch(p + "t");
      await other.incr(p + "t");
      return isolated.multi().incr(p + "t").exec().then(() => "executed", (err) => (err instanceof WatchError ? "conflict" : err.message));
    });
    equal(conflict, "conflict");
  },
  blocking: async () => {
    const waiter = await make();
    const waits = waiter.blPop(p + "l", 0);
    await other.rPush(p + "l", "x");
    equal(await waits, { key: p + "l", element: "x" });
    await waiter.disconnect();
  },
  "pub/sub": async () => {
    const sub = await make();
    let arrived;
    const got = new Promise((resolve) => { arrived = resolve; });
    await sub.subscribe(p + "c", (message, channel) => arrived([channel, message]));
    equal(await other.publish(p + "c", "hello"), 1);
    equal(await got, [p + "c", "hello"]);
    await sub.unsubscribe(p + "c");
    equal(await sub.get(p + "a"), "1");
    await sub.disconnect();
  },
  scripts: async () => {
    const script = "return redis.call('get', KEYS[1]) .. ARGV[1]";
    const options = { keys: [p + "a"], arguments: ["z"] };
    equal(await redis.eval(script, options), "1z");
    equal(await redis.evalSha(await redis.scriptLoad(script), options), "1z");
  },
  scan: async () => {
    await redis.mSet(Array.from({ length: 500 }, (_, i) => [p + "scan:" + i, String(i)]));
    const keys = new Set();
    for await (const key of redis.scanIterator({ MATCH: p + "scan:*", COUNT: 50 })) keys.add(key);
    equal(keys.size, 500);
  },
});
