package tenant

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestParseNetworks(t *testing.T) {
	for _, c := range []struct{ name, text, want, wantErr string }{
		{"none", "", "", ""},
		{"IPv4", "10.0.0.0/8", "10.0.0.0/8", ""},
		{"IPv6", "2001:DB8::/32", "2001:db8::/32", ""},
		{"an address", "192.0.2.1", "192.0.2.1/32", ""},
		{"an IPv6 address", "2001:db8::1", "2001:db8::1/128", ""},
		{"sorted, each once", "192.0.2.0/24, 10.0.0.0/8,192.0.2.0/24", "10.0.0.0/8,192.0.2.0/24", ""},
		{"everything", "0.0.0.0/0,::/0", "0.0.0.0/0,::/0", ""},
		{"mapped", "::ffff:10.0.0.0/104", "10.0.0.0/8", ""},
		{"a mapped address", "::ffff:192.0.2.1", "192.0.2.1/32", ""},
		{"more than mapped", "::ffff:0.0.0.0/90", "", "write the IPv4 network"},
		{"bits beyond", "10.1.2.3/8", "", "want 10.0.0.0/8 for the network or 10.1.2.3 for the address"},
		{"mapped, bits beyond", "::ffff:10.1.2.3/104", "", "want 10.0.0.0/8"},
		{"a name", "localhost", "", `network "localhost": want one such as 10.0.0.0/8`},
		{"too many bits", "10.0.0.0/33", "", "want one such as"},
		{"a zone", "fe80::1%eth0", "", "want one such as"},
		{"a comma too many", "10.0.0.0/8,", "", `network "": want`},
		{"only a comma", ",", "", `network "": want`},
		{"too many", manyNetworks(MaxNetworks + 1), "", "65 networks: want at most 64"},
		{"as many as may be", manyNetworks(MaxNetworks), manyNetworks(MaxNetworks), ""},
	} {
		got, err := ParseNetworks(c.text)
		switch {
		case c.wantErr != "":
			if err == nil || !strings.Contains(err.Error(), c.wantErr) {
				t.Errorf("%s: got %v, %v, want an error with %q", c.name, got, err, c.wantErr)
			}
		case err != nil || got.String() != c.want:
			t.Errorf("%s: got %v, %v, want %s", c.name, got, err, c.want)
		}
	}
}

// manyNetworks are n networks in order.
func manyNetworks(n int) string {
	var all []string
	for i := range n {
		all = append(all, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i), 0}), 24).String())
	}
	return strings.Join(all, ",")
}

func TestNetworksAllow(t *testing.T) {
	for _, c := range []struct {
		name, networks, addr string
		want                 bool
	}{
		{"no list", "", "192.0.2.1", true},
		{"inside", "10.0.0.0/8", "10.255.0.1", true},
		{"outside", "10.0.0.0/8", "11.0.0.1", false},
		{"in the second", "10.0.0.0/8,192.0.2.0/24", "192.0.2.255", true},
		{"IPv4 mapped into IPv6", "10.0.0.0/8", "::ffff:10.0.0.1", true},
		{"mapped, outside", "10.0.0.0/8", "::ffff:11.0.0.1", false},
		{"listed as mapped", "::ffff:10.0.0.0/104", "10.0.0.1", true},
		{"all of IPv6 is not IPv4", "::/0", "10.0.0.1", false},
		{"all of IPv6 is not mapped IPv4", "::/0", "::ffff:10.0.0.1", false},
		{"IPv6", "2001:db8::/32", "2001:db8:1::1", true},
		{"another IPv6", "2001:db8::/32", "2001:db9::1", false},
		{"with a zone", "fe80::/10", "fe80::1%eth0", true},
		{"the loopback", "127.0.0.1", "127.0.0.1", true},
	} {
		networks, err := ParseNetworks(c.networks)
		if err != nil {
			t.Fatal(err)
		}
		if got := networks.Allow(netip.MustParseAddr(c.addr)); got != c.want {
			t.Errorf("%s: %s in %q: got %v, want %v", c.name, c.addr, c.networks, got, c.want)
		}
	}
	if everything, _ := ParseNetworks("0.0.0.0/0,::/0"); everything.Allow(netip.Addr{}) {
		t.Error("an unknown address is in a network")
	}
	if !Networks(nil).Allow(netip.Addr{}) {
		t.Error("without a list an unknown address is kept out")
	}
}

// FuzzParseNetworks: what is read is the same when it is written and read again, and
// allows what it names.
func FuzzParseNetworks(f *testing.F) {
	for _, seed := range []string{"", "10.0.0.0/8", "2001:db8::/32,192.0.2.1", "::ffff:10.0.0.0/104", "10.1.2.3/8", "fe80::1%eth0", ",", "0.0.0.0/0, ::/0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := ParseNetworks(text)
		if err != nil {
			return
		}
		again, err := ParseNetworks(n.String())
		if err != nil || !slices.Equal(n, again) {
			t.Fatalf("%q was read as %v, then %v, %v", text, n, again, err)
		}
		for _, p := range n {
			if mapped := netip.AddrFrom16(p.Addr().As16()); !n.Allow(p.Addr()) || !n.Allow(mapped) {
				t.Fatalf("%q does not allow %v", text, p.Addr())
			}
		}
	})
}
