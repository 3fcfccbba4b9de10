package tours

import (
	"errors"
	stdflag "flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/respgate/respgate/internal/testbed"
)

var backupKeys = stdflag.Int("backup.keys", 1_000_000, "how many keys TestBackupOfManyKeys backs up and restores")

// writeKeys has a server write keys of all types, every third of which expires, and digestKeys
// the digest of each of them: of its payload, which is the same on all servers for values as
// small as these, and of when it expires.
const (
	writeKeys = `
for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  local key, kind = 'key:' .. i, i % 20
  if kind == 0 then redis.call('HSET', key, 'name', i, 'visits', i * 7, 'empty', '')
  elseif kind == 1 then redis.call('RPUSH', key, i, i + 1, 'last')
  elseif kind == 2 then redis.call('ZADD', key, i / 3, 'one', -i, 'two')
  elseif kind == 3 then redis.call('SADD', key, i, i + 1)
  elseif kind == 4 then redis.call('XADD', key, '1-' .. i, 'field', i); redis.call('XGROUP', 'CREATE', key, 'readers', '0')
  elseif kind == 5 then redis.call('PFADD', key, i, 'x')
  elseif kind == 6 then redis.call('SETBIT', key, i % 1000, 1)
  elseif kind == 7 then redis.call('GEOADD', key, (i % 360) / 2, i % 80, 'place')
  else redis.call('SET', key, 'value of ' .. i) end
  if i % 3 == 0 then redis.call('PEXPIREAT', key, 4000000000000 + i) end
end
return 'OK'`
	digestKeys = `
local all = {}
for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  local key = 'key:' .. i
  local value = redis.call('DUMP', key)
  all[#all + 1] = value and string.sub(redis.sha1hex(value .. redis.call('PEXPIRETIME', key)), 1, 16) or 'missing'
end
return all`
	keysAtOnce = 20_000
)

// TestBackupOfManyKeys: a million keys are backed up by a process that is killed in the middle,
// gone on with by another one, restored, and compared key by key.
func TestBackupOfManyKeys(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	from, to := testbed.Redis(t), testbed.Redis(t)
	source, target := from.Client(), to.Client()
	n := *backupKeys
	for i := 1; i <= n; i += keysAtOnce {
		if err := source.Eval(ctx, writeKeys, nil, i, min(i+keysAtOnce-1, n)).Err(); err != nil {
			t.Fatal(err)
		}
	}
	binary, err := testbed.Respgate()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	command := func(line string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, binary, strings.Fields(line)...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "RESPGATE_STORE_DSN=file:"+filepath.Join(dir, "respgate.db"))
		return cmd
	}
	respgate := func(line string) string {
		t.Helper()
		out, err := command(line).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", line, err, out)
		}
		return string(out)
	}
	respgate("org create --name acme")
	respgate("instance create --org acme --name from --url redis://" + from.Addr)
	respgate("instance create --org acme --name to --url redis://" + to.Addr)
	const backUp = "backup --org acme --instance from --output keys.backup --json"
	stopped := command(backUp)
	if err := stopped.Start(); err != nil {
		t.Fatal(err)
	}
	testbed.Within(t, 2*time.Minute, "some of it is in the file", func() bool {
		info, err := os.Stat(filepath.Join(dir, "keys.backup.partial"))
		return err == nil && info.Size() > int64(5*n) || fileThere(filepath.Join(dir, "keys.backup"))
	})
	_ = stopped.Process.Kill()
	_ = stopped.Wait()
	if fileThere(filepath.Join(dir, "keys.backup")) {
		t.Log("the backup was done before it was killed")
	} else {
		t.Log(respgate(backUp + " --resume"))
	}
	t.Log(respgate("restore --org acme --instance to --input keys.backup --json"))
	if got := target.DBSize(ctx).Val(); got != int64(n) {
		t.Errorf("%d keys are restored, want %d", got, n)
	}
	differ := 0
	for i := 1; i <= n; i += keysAtOnce {
		was, is := digests(t, source, i, n), digests(t, target, i, n)
		for j, digest := range was {
			if digest == "missing" || is[j] != digest {
				if differ++; differ <= 5 {
					t.Errorf("key:%d: %v, want %v", i+j, is[j], digest)
				}
			}
		}
	}
	t.Logf("%d of %d keys differ", differ, n)
}

// digests are those of some keys from the first on.
func digests(t *testing.T, c *redis.Client, first, last int) []any {
	t.Helper()
	all, err := c.Eval(t.Context(), digestKeys, nil, first, min(first+keysAtOnce-1, last)).Slice()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func fileThere(name string) bool {
	_, err := os.Stat(name)
	return !errors.Is(err, os.ErrNotExist)
}
