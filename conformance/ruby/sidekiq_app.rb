# Jobs of Sidekiq: queued, worked by a Sidekiq process, retried; none is lost.
require_relative "features"
require_relative "worker"
require "sidekiq/api"

puts "version #{Sidekiq::VERSION}"

run(
  "Sidekiq jobs" => lambda {
    Sidekiq::Client.push_bulk("class" => Double, "args" => (0...40).map { |n| [n] })
    pid = spawn("sidekiq", "-r", File.join(__dir__, "worker.rb"), "-c", "5", "-t", "2", out: File::NULL, err: File::NULL)
    begin
      results = {}
      again_until = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 90
      until results.size == 40
        raise "#{results.size} of 40 jobs are done" if Process.clock_gettime(Process::CLOCK_MONOTONIC) > again_until

        sleep 0.2
        results = Sidekiq.redis { |r| r.hgetall("sidekiq:results") }
      end
      equal(results.transform_keys(&:to_i).transform_values(&:to_i), (0...40).to_h { |n| [n, n * 2] })
      equal(Sidekiq::DeadSet.new.size, 0)
    ensure
      Process.kill("TERM", pid)
      Process.wait(pid)
    end
  }
)
