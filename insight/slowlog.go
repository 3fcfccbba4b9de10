package insight

import (
	"container/list"
	"sync"

	"github.com/respgate/respgate/tenant"
)

// maxEntries is how many entries the slow logs of all instances have together; beyond, the
// oldest of all goes.
const maxEntries = 32 << 10

// MaxLen is the largest useful Config.MaxLen.
const MaxLen = maxEntries

// slowLog has the newest slow commands of each instance. An entry is rare, so that loops may
// take turns.
type slowLog struct {
	mu   sync.Mutex
	max  int // entries of an instance
	logs map[string]*instanceLog
	all  *list.List // of *instanceLog: whose the entries are, the oldest first
}

// instanceLog is an instance's. It stays when it is empty: ids go on.
type instanceLog struct {
	next    int64
	entries *list.List // of slowItem, the oldest first
}

type slowItem struct {
	tenant.SlowEntry
	turn *list.Element // of slowLog.all
}

func newSlowLog() slowLog {
	return slowLog{logs: map[string]*instanceLog{}, all: list.New()}
}

func (s *slowLog) add(instance string, e tenant.SlowEntry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	log := s.logs[instance]
	if log == nil {
		log = &instanceLog{entries: list.New()}
		s.logs[instance] = log
	}
	e.ID = log.next
	log.next++
	log.entries.PushBack(slowItem{e, s.all.PushBack(log)})
	s.trim(log, s.max)
	for s.all.Len() > maxEntries {
		oldest := s.all.Front().Value.(*instanceLog)
		s.trim(oldest, oldest.entries.Len()-1)
	}
}

// trim leaves the newest n entries.
func (s *slowLog) trim(log *instanceLog, n int) {
	for log.entries.Len() > n {
		oldest := log.entries.Remove(log.entries.Front()).(slowItem)
		s.all.Remove(oldest.turn)
	}
}

func (s *slowLog) setMax(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.max = n
	for _, log := range s.logs {
		s.trim(log, n)
	}
}

// Slow returns the newest n entries of an instance's slow log, the newest first; all with a
// negative n. Their Args are shared: they must not be changed.
func (b *Book) Slow(instance string, n int) []tenant.SlowEntry {
	s := &b.slow
	s.mu.Lock()
	defer s.mu.Unlock()
	log := s.logs[instance]
	if log == nil {
		return nil
	}
	if n < 0 || n > log.entries.Len() {
		n = log.entries.Len()
	}
	newest := make([]tenant.SlowEntry, 0, n)
	for at := log.entries.Back(); len(newest) < n; at = at.Prev() {
		newest = append(newest, at.Value.(slowItem).SlowEntry)
	}
	return newest
}

// SlowLen returns how many entries an instance's slow log has.
func (b *Book) SlowLen(instance string) int {
	b.slow.mu.Lock()
	defer b.slow.mu.Unlock()
	if log := b.slow.logs[instance]; log != nil {
		return log.entries.Len()
	}
	return 0
}

// ResetSlow drops the entries of an instance's slow log. The next has the id that it would
// have had.
func (b *Book) ResetSlow(instance string) {
	b.slow.mu.Lock()
	defer b.slow.mu.Unlock()
	if log := b.slow.logs[instance]; log != nil {
		b.slow.trim(log, 0)
	}
}

// Forget drops the slow log of an instance that is gone. What else is kept of it goes by
// itself.
func (b *Book) Forget(instance string) {
	b.slow.mu.Lock()
	defer b.slow.mu.Unlock()
	if log := b.slow.logs[instance]; log != nil {
		b.slow.trim(log, 0)
		delete(b.slow.logs, instance)
	}
}
