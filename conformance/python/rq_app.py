"""Jobs of RQ: queued, worked by a worker process, retried; none is lost."""

import os
import subprocess
import sys
import time

import redis
import rq

import jobs
from features import equal, run


def rq_jobs():
    r = redis.Redis.from_url(os.environ["REDIS_URL"])
    queue = rq.Queue("conformance", connection=r)
    queued = [queue.enqueue(jobs.double, n, retry=rq.Retry(max=3), result_ttl=600) for n in range(40)]
    worker = subprocess.Popen([sys.executable, "-m", "rq.cli", "worker", "--url", os.environ["REDIS_URL"], "conformance"],
                              cwd=os.path.dirname(os.path.abspath(__file__)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 90
        while any(not job.is_finished for job in queued):
            if time.monotonic() > end or worker.poll() is not None:
                left = sum(not job.is_finished for job in queued)
                raise AssertionError(f"{left} jobs are not finished, worker {worker.poll()}")
            time.sleep(0.2)
        equal([job.result for job in queued], [n * 2 for n in range(40)])
        equal(queue.failed_job_registry.count, 0)
    finally:
        worker.terminate()
        worker.wait(20)


print("version", rq.VERSION, flush=True)
run({"RQ jobs": rq_jobs})
