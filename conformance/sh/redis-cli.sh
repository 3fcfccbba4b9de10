#!/usr/bin/env bash
# What redis-cli does, alone and in pipes.
set -uo pipefail

cli() { redis-cli --no-auth-warning -u "$REDIS_URL" "$@"; }
p=redis-cli:
echo "version $(redis-cli --version | cut -d" " -f2)"

# check FEATURE GOT WANT
check() {
	if [[ $2 == "$3" ]]; then
		echo "ok $1"
	else
		echo "FAIL $1 got ${2//$'\n'/ }, want ${3//$'\n'/ }"
	fi
}

cli set ${p}a 1 >/dev/null
check connect "$(cli get ${p}a)" 1

# It says that it was cut off, connects again and goes on.
check reconnect "$(printf '%s\n' 'client kill type normal skipme no' "get ${p}a" | cli | tail -1)" 1

cli del ${p}n >/dev/null
check pipeline "$(for _ in {1..1000}; do echo "INCR ${p}n"; done | cli --pipe | grep -o 'errors: 0, replies: 1000'; cli get ${p}n)" $'errors: 0, replies: 1000\n1000'

cli set ${p}t 1 >/dev/null
check transaction "$(printf '%s\n' multi "incr ${p}t" "get ${p}t" exec | cli | tail -2)" $'2\n2'

(
	sleep 0.2
	cli rpush ${p}l x >/dev/null
) &
check blocking "$(cli blpop ${p}l 10)" $'redis-cli:l\nx'

listened=$(mktemp)
timeout 10 redis-cli --no-auth-warning -u "$REDIS_URL" subscribe ${p}c >"$listened" &
for _ in {1..50}; do
	[[ $(cli publish ${p}c hello) == 1 ]] && break
	sleep 0.1
done
for _ in {1..50}; do
	grep -q hello "$listened" && break
	sleep 0.1
done
kill %2 2>/dev/null
check pub/sub "$(grep -c hello "$listened")" 1
rm -f "$listened"

check scripts "$(cli eval "return redis.call('get', KEYS[1]) .. ARGV[1]" 1 ${p}a z)" 1z

for i in {1..500}; do echo "SET ${p}scan:$i $i"; done | cli --pipe >/dev/null
check scan "$(cli --scan --pattern "${p}scan:*" | sort -u | wc -l)" 500
