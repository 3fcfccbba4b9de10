package pool

import "testing"

func TestSlot(t *testing.T) {
	for _, c := range []struct {
		key  string
		slot int
	}{
		{"", 0}, {"123456789", 12739}, {"foo", 12182}, {"{foo}bar", 12182}, {"x{foo}bar{zap}", 12182},
		{"foo{}", 5542}, {"{}foo", 9500}, {"foo{{bar}}zap", 4015}, {"foo{bar", 15278},
	} {
		if got := Slot([]byte(c.key)); got != c.slot {
			t.Errorf("Slot(%q) = %d, want %d", c.key, got, c.slot)
		}
	}
}

func TestFit(t *testing.T) {
	for _, c := range []struct {
		name, info string
		want       bool
	}{
		{"a primary", "# Persistence\r\nloading:0\r\n# Replication\r\nrole:master\r\n", true},
		{"a replica in step", "loading:0\r\nrole:slave\r\nmaster_link_status:up\r\n", true},
		{"a replica without its primary", "loading:0\r\nrole:slave\r\nmaster_link_status:down\r\n", false},
		{"a replica that loads", "# Persistence\r\nloading:1\r\nrole:slave\r\nmaster_link_status:up\r\n", false},
		{"one that loads beside", "# Persistence\r\nloading:0\r\nasync_loading:1\r\nrole:slave\r\nmaster_link_status:up\r\n", false},
	} {
		if got := fit("#\r\n" + c.info); got != c.want {
			t.Errorf("fit of %s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestConcerns(t *testing.T) {
	for _, c := range []struct {
		channel, payload string
		want             bool
	}{
		{"+switch-master", "mymaster 10.0.0.1 6379 10.0.0.2 6379", true},
		{"+switch-master", "mymaster2 10.0.0.1 6379 10.0.0.2 6379", false},
		{"+sdown", "master mymaster 10.0.0.1 6379", true},
		{"+sdown", "slave 10.0.0.2:6379 10.0.0.2 6379 @ mymaster 10.0.0.1 6379", true},
		{"+sdown", "slave 10.0.0.2:6379 10.0.0.2 6379 @ other 10.0.0.1 6379", false},
		{"+odown", "", false},
	} {
		if got := concerns(c.channel, c.payload, "mymaster"); got != c.want {
			t.Errorf("%s %q: %v, want %v", c.channel, c.payload, got, c.want)
		}
	}
}

// TestMovedKeepsEachPrimarysLowestSlot moves slots one by one, the lowest first, as
// redis-cli --cluster reshard does: a primary is found by its lowest slot as long as it has any.
func TestMovedKeepsEachPrimarysLowestSlot(t *testing.T) {
	l := &Layout{Primaries: []Backend{{Addr: "a"}, {Addr: "b"}}, Lowest: []int{0, HashSlots - 3}, slots: new([HashSlots]uint16)}
	for slot := range l.slots {
		l.slots[slot] = 1
		if slot >= l.Lowest[1] {
			l.slots[slot] = 2
		}
	}
	first := l
	for _, c := range []struct {
		slot, to int
		want     [2]int
	}{
		{HashSlots - 3, 0, [2]int{0, HashSlots - 2}},
		{0, 1, [2]int{1, 0}},
		{HashSlots - 1, 0, [2]int{1, 0}},
		{0, 0, [2]int{0, HashSlots - 2}},
	} {
		if l = l.moved(c.slot, c.to); [2]int(l.Lowest) != c.want {
			t.Fatalf("with slot %d at primary %d the lowest are %v, want %v", c.slot, c.to, l.Lowest, c.want)
		}
		for i, lowest := range l.Lowest {
			if l.Owner(lowest) != i {
				t.Errorf("primary %d is looked for at slot %d, which primary %d has", i, lowest, l.Owner(lowest))
			}
		}
	}
	if !l.SameServers(first) || first.Lowest[1] != HashSlots-3 {
		t.Error("the layout that slots have moved in has other servers, or has been changed")
	}
	if l = l.moved(HashSlots-2, 0); l.Owns(1) || !l.Owns(0) {
		t.Errorf("the second primary has slots: %v, the first: %v; want the first only", l.Owns(1), l.Owns(0))
	}
}
