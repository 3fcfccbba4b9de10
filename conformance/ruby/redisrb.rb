require "redis"
require_relative "features"

url = ENV.fetch("REDIS_URL")
r = Redis.new(url: url)
other = Redis.new(url: url)
p = "redis-rb:"
puts "version #{Redis::VERSION}"

run(
  "connect" => lambda {
    equal(r.ping, "PONG")
    r.set("#{p}a", "1")
    equal(r.get("#{p}a"), "1")
  },
  "reconnect" => lambda {
    equal(other.call("CLIENT", "KILL", "ID", r.call("CLIENT", "ID")), 1)
    equal(again { r.get("#{p}a") }, "1")
  },
  "pipeline" => lambda {
    r.del("#{p}n")
    equal(r.pipelined { |pipe| 1000.times { pipe.incr("#{p}n") } }, (1..1000).to_a)
  },
  "transaction" => lambda {
    r.set("#{p}t", "1")
    equal(r.multi { |tx| tx.incr("#{p}t"); tx.get("#{p}t") }, [2, "2"])
    conflict = r.watch("#{p}t") do
      other.incr("#{p}t")
      r.multi { |tx| tx.incr("#{p}t") }
    end
    equal(conflict, nil)
  },
  "blocking" => lambda {
    pusher = Thread.new { sleep 0.1; other.rpush("#{p}l", "x") }
    equal(r.blpop("#{p}l", timeout: 10), ["#{p}l", "x"])
    pusher.join
  },
  "pub/sub" => lambda {
    got = nil
    r.subscribe_with_timeout(10, "#{p}c") do |on|
      on.subscribe { Thread.new { other.publish("#{p}c", "hello") } }
      on.message do |channel, message|
        got = [channel, message]
        r.unsubscribe
      end
    end
    equal(got, ["#{p}c", "hello"])
    equal(r.get("#{p}a"), "1")
  },
  "scripts" => lambda {
    script = "return redis.call('get', KEYS[1]) .. ARGV[1]"
    equal(r.eval(script, ["#{p}a"], ["z"]), "1z")
    equal(r.evalsha(r.script(:load, script), ["#{p}a"], ["z"]), "1z")
  },
  "scan" => lambda {
    r.mset(*(0...500).flat_map { |i| ["#{p}scan:#{i}", i] })
    equal(r.scan_each(match: "#{p}scan:*", count: 50).to_a.uniq.size, 500)
  }
)
