package tenant

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// MaxNetworks bounds a list of networks: each is looked at when a client authenticates.
const MaxNetworks = 64

// Networks are where the clients of a key may connect from; none allow every address.
// They are in order, each once, and those of IPv4 are never mapped into IPv6.
type Networks []netip.Prefix

// ParseNetworks reads networks such as 10.0.0.0/8 or 2001:db8::/32, and single addresses,
// with commas between them; "" is none.
func ParseNetworks(text string) (Networks, error) {
	var all Networks
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); word == "" && text == "" {
			break
		}
		n, err := parseNetwork(word)
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	slices.SortFunc(all, netip.Prefix.Compare)
	all = slices.Compact(all)
	if len(all) > MaxNetworks {
		return nil, fmt.Errorf("%d networks: want at most %d", len(all), MaxNetworks)
	}
	return all, nil
}

// mappedBits are what an IPv4 address is preceded by when it is mapped into IPv6
// (RFC 4291, 2.5.5.2).
const mappedBits = 96

func parseNetwork(word string) (netip.Prefix, error) {
	bad := func(why string) (netip.Prefix, error) {
		return netip.Prefix{}, fmt.Errorf("network %.50q: %s", word, why)
	}
	n, err := netip.ParsePrefix(word)
	if err != nil {
		addr, err := netip.ParseAddr(word)
		if err != nil || addr.Zone() != "" {
			return bad("want one such as 10.0.0.0/8, 2001:db8::/32 or 192.0.2.1")
		}
		n = netip.PrefixFrom(addr, addr.BitLen())
	}
	if n.Addr().Is4In6() {
		if n.Bits() < mappedBits {
			return bad("it holds more than IPv4 addresses mapped into IPv6: write the IPv4 network")
		}
		n = netip.PrefixFrom(n.Addr().Unmap(), n.Bits()-mappedBits)
	}
	// Whoever writes 10.1.2.3/8 may have meant one address, and would let in millions.
	if n != n.Masked() {
		return bad(fmt.Sprintf("it has bits beyond its prefix: want %v for the network or %v for the address", n.Masked(), n.Addr()))
	}
	return n, nil
}

// Allow reports whether a client at addr may come in. An address that is not known, the
// zero one, is in no network.
func (n Networks) Allow(addr netip.Addr) bool {
	if len(n) == 0 {
		return true
	}
	addr = addr.Unmap().WithZone("")
	return slices.ContainsFunc(n, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// Strings returns the networks as text, one by one; never nil.
func (n Networks) Strings() []string {
	all := make([]string, 0, len(n))
	for _, p := range n {
		all = append(all, p.String())
	}
	return all
}

// String returns the networks as ParseNetworks reads them.
func (n Networks) String() string { return strings.Join(n.Strings(), ",") }
