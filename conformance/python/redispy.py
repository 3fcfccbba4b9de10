import os
import threading

import redis

from features import again, equal, run

url = os.environ["REDIS_URL"]
r = redis.Redis.from_url(url, decode_responses=True, socket_timeout=20)
other = redis.Redis.from_url(url, decode_responses=True, socket_timeout=20)
p = "redis-py:"
print("version", redis.__version__, flush=True)


def connect():
    equal(r.ping(), True)
    r.set(p + "a", "1")
    equal(r.get(p + "a"), "1")


def reconnect():
    equal(other.client_kill_filter(_id=r.client_id()), 1)
    equal(again(lambda: r.get(p + "a")), "1")


def pipeline():
    r.delete(p + "n")
    pipe = r.pipeline(transaction=False)
    for _ in range(1000):
        pipe.incr(p + "n")
    equal(pipe.execute(), list(range(1, 1001)))


def transaction():
    r.set(p + "t", "1")
    equal(r.pipeline().incr(p + "t").get(p + "t").execute(), [2, "2"])
    with r.pipeline() as pipe:
        pipe.watch(p + "t")
        other.incr(p + "t")
        pipe.multi()
        pipe.incr(p + "t")
        try:
            pipe.execute()
        except redis.WatchError:
            return
    raise AssertionError("a conflict was not noticed")


def blocking():
    threading.Timer(0.1, lambda: other.rpush(p + "l", "x")).start()
    equal(r.blpop(p + "l", timeout=10), (p + "l", "x"))


def pubsub():
    sub = r.pubsub(ignore_subscribe_messages=True)
    sub.subscribe(p + "c")
    equal(sub.get_message(timeout=5), None)
    equal(other.publish(p + "c", "hello"), 1)
    equal(sub.get_message(timeout=5)["data"], "hello")
    sub.unsubscribe()
    sub.close()


def scripts():
    twice = r.register_script("return redis.call('get', KEYS[1]) .. ARGV[1]")
    equal(twice(keys=[p + "a"], args=["z"]), "1z")
    equal(twice(keys=[p + "a"], args=["z"]), "1z")


def scan():
    r.mset({f"{p}scan:{i}": i for i in range(500)})
    equal(len(set(r.scan_iter(p + "scan:*", count=50))), 500)


run({"connect": connect, "reconnect": reconnect, "pipeline": pipeline, "transaction": transaction,
     "blocking": blocking, "pub/sub": pubsub, "scripts": scripts, "scan": scan})
