package pool

import (
	"strings"
	"testing"
)

func TestRegionOf(t *testing.T) {
	var r Regions
	for name, addrs := range map[string]string{"us": "10.2.0.0/16,fd00:2::/32,cache-us-*.example.com", "eu": "10.1.0.0/16,10.2.7.7,127.0.0.1:7001", "ap": "ap-?"} {
		if err := r.add(name, addrs); err != nil {
			t.Fatal(err)
		}
	}
	for addr, want := range map[string]string{
		"10.1.2.3:6379": "eu", "10.2.3.4:6379": "us", "10.2.7.7:6379": "eu", "10.3.0.1:6379": "",
		"[fd00:2::5]:6379": "us", "[::ffff:10.1.0.1]:6379": "eu", "127.0.0.1:7001": "eu", "127.0.0.1:7002": "",
		"cache-us-4.example.com:6379": "us", "cache-us-4.example.org:6379": "", "ap-1:6379": "ap", "ap-12:6379": "", "": "",
	} {
		if got := r.Of(addr); got != want {
			t.Errorf("%q is in %q, want %q", addr, got, want)
		}
	}
	if got := Regions("").Of("10.1.2.3:6379"); got != "" {
		t.Errorf("without regions a server is in %q", got)
	}
}

// TestRegionsAreInOrder: equal URLs but for the order of their options are the same backend.
func TestRegionsAreInOrder(t *testing.T) {
	a, b := mustParse(t, "redis://h?region.eu=h1&region.us=h2"), mustParse(t, "redis://h?region.us=h2&region.eu=h1")
	if a != b {
		t.Errorf("%+v and %+v are not the same", a.Regions, b.Regions)
	}
	if got := strings.Join(b.Regions.Names(), " "); got != "eu us" {
		t.Errorf("the regions are %q, want eu and us", got)
	}
	if got := Regions("").Names(); len(got) > 0 {
		t.Errorf("no regions are %q", got)
	}
}

func TestCheckRegion(t *testing.T) {
	for _, name := range []string{"eu", "eu-west-1", "a", "7"} {
		if err := CheckRegion(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", "EU", "eu_west", "-eu", "eu-", "e u", "e=u"} {
		if CheckRegion(name) == nil {
			t.Errorf("%q is a region's name", name)
		}
	}
}
