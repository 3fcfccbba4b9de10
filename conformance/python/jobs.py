"""The jobs that RQ's worker runs."""

import os

import redis


def double(n):
    """Fails at its first try where n is a multiple of five."""
    if n % 5 == 0:
        r = redis.Redis.from_url(os.environ["REDIS_URL"])
        if r.incr(f"rq:tries:{n}") == 1:
            raise RuntimeError("the first try fails")
    return n * 2
