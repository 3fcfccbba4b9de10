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
