package pool

import (
	"errors"
	"net"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"
)

var validRegion = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// CheckRegion checks a region's name.
func CheckRegion(name string) error {
	if !validRegion.MatchString(name) {
		return errors.New("want 1 to 63 of a-z, 0-9 and '-', beginning and ending with a letter or digit")
	}
	return nil
}

// regionOption begins the options of a URL that say which servers are in a region.
const regionOption = "region."

// Regions say in which region a group's servers are: "eu=10.1.0.0/16,cache-eu-*.example.com
// us=10.2.0.0/16:6379 …", regions in order. Equal values mean the same.
type Regions string

var errRegion = errors.New("backend URL: option region.NAME: want a name of a-z, 0-9 and '-', and addresses with commas between: networks such as 10.1.0.0/16, hosts such as 10.1.0.5 or cache-eu-*.example.com, or hosts with ports")

// add has servers be in a region: addresses with commas between.
func (r *Regions) add(name, addrs string) error {
	if CheckRegion(name) != nil {
		return errRegion
	}
	for pattern := range strings.SplitSeq(addrs, ",") {
		if !validPattern(pattern) {
			return errRegion
		}
	}
	all := append(strings.Fields(string(*r)), name+"="+addrs)
	slices.Sort(all)
	*r = Regions(strings.Join(all, " "))
	return nil
}

// validPattern reports whether a pattern can match any server. What is written with a slash
// is a network.
func validPattern(pattern string) bool {
	if strings.Contains(pattern, "/") {
		_, err := netip.ParsePrefix(pattern)
		return err == nil
	}
	_, err := path.Match(pattern, "")
	return err == nil && pattern != "" && !strings.ContainsAny(pattern, " =\\")
}

// Names are the regions, in order.
func (r Regions) Names() []string {
	names := strings.Fields(string(r))
	for i, one := range names {
		names[i], _, _ = strings.Cut(one, "=")
	}
	return names
}

// Of returns the region of the server at addr, host:port: the first in the order of names
// that one of its patterns says; "" is none.
func (r Regions) Of(addr string) string {
	if r == "" {
		return ""
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	ip, _ := netip.ParseAddr(host)
	for one := range strings.FieldsSeq(string(r)) {
		name, addrs, _ := strings.Cut(one, "=")
		for pattern := range strings.SplitSeq(addrs, ",") {
			if matches(pattern, addr, host, ip) {
				return name
			}
		}
	}
	return ""
}

func matches(pattern, addr, host string, ip netip.Addr) bool {
	if network, err := netip.ParsePrefix(pattern); err == nil {
		return ip.IsValid() && network.Contains(ip.Unmap())
	}
	for _, name := range []string{host, addr} {
		if ok, err := path.Match(pattern, name); ok && err == nil {
			return true
		}
	}
	return false
}

// region is where a server of the group is; "" is not known.
func (t *Topology) region(server Backend) string {
	if t == nil {
		return server.Regions.Of(server.Addr)
	}
	return t.Backend.Regions.Of(server.Addr)
}
