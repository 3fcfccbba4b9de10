# What Sidekiq's process loads: its connection, and the job.
require "sidekiq"

Sidekiq.configure_server { |config| config.redis = { url: ENV.fetch("REDIS_URL") } }
Sidekiq.configure_client { |config| config.redis = { url: ENV.fetch("REDIS_URL") } }

# Doubles a number; fails at its first try where that is a multiple of five.
class Double
  include Sidekiq::Worker
  sidekiq_options retry: 3
  sidekiq_retry_in { 1 }

  def perform(number)
    Sidekiq.redis do |r|
      raise "the first try fails" if (number % 5).zero? && r.incr("sidekiq:tries:#{number}") == 1

      r.hset("sidekiq:results", number, number * 2)
    end
  end
end
