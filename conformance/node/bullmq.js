// Jobs of BullMQ: queued, worked, retried, delayed; none is lost.
import { Queue, QueueEvents, Worker } from "bullmq";
import { equal, run } from "./features.js";

const url = new URL(process.env.REDIS_URL);
const connection = { host: url.hostname, port: Number(url.port), username: url.username, password: url.password, maxRetriesPerRequest: null };

run({
  "BullMQ jobs": async () => {
    const queue = new Queue("conformance", { connection });
    const events = new QueueEvents("conformance", { connection });
    await events.waitUntilReady();
    const failedOnce = new Set();
    const worker = new Worker("conformance", async (job) => {
      if (job.data.n % 5 === 0 && !failedOnce.has(job.id)) {
        failedOnce.add(job.id);
        throw new Error("the first try fails");
      }
      return job.data.n * 2;
    }, { connection, concurrency: 10 });
    worker.on("error", () => {});
    const jobs = await queue.addBulk(Array.from({ length: 100 }, (_, n) => ({ name: "double", data: { n }, opts: { attempts: 3, delay: n % 10 === 0 ? 200 : 0 } })));
    const results = await Promise.all(jobs.map((job) => job.waitUntilFinished(events, 15_000)));
    equal(results, Array.from({ length: 100 }, (_, n) => n * 2));
    equal(failedOnce.size, 20);
    const { completed, failed, waiting, active, delayed } = await queue.getJobCounts();
    equal({ completed, failed, waiting, active, delayed }, { completed: 100, failed: 0, waiting: 0, active: 0, delayed: 0 });
    await worker.close();
    await events.close();
    await queue.close();
  },
});
