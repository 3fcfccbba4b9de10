# Runs features one after the other and says how each went.
$stdout.sync = true

def run(features)
  features.each do |name, fn|
    fn.call
    puts "ok #{name}"
  rescue StandardError => e
    puts "FAIL #{name} #{e.class} #{e.message.split.join(' ')}"
  end
end

def equal(got, want)
  raise "got #{got.inspect}, want #{want.inspect}" unless got == want
end

# Repeats the block while it fails, for at most 5 s.
def again
  deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 5
  begin
    yield
  rescue StandardError
    raise if Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline

    sleep 0.05
    retry
  end
end
