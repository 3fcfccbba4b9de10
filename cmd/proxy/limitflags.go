package main

import (
	"fmt"
	"strings"

	"github.com/respgate/respgate/tenant"
)

// followsDefault is what flags say for the proxies' own setting.
const followsDefault = "default"

func byteRateHelp(with string) string {
	return "bytes of commands and replies per second " + with + ": a `SIZE` such as 10MiB, 0 for unlimited"
}

const (
	limitModeHelp = "what happens beyond its limits: a `MODE` of reject, delay or dry_run (counted only), or 'default' for the proxy's own"
	cacheHelp     = "what each proxy may keep of it in a near cache: a `SIZE` such as 64MiB, 0 for no cache"
)

// sizeFlag reads a flag that is a number of bytes.
func sizeFlag(name, value string) (int64, error) {
	n, err := tenant.ParseSize(value)
	if err != nil || n > tenant.MaxBytes {
		return 0, fmt.Errorf("--%s: want a size such as 64KiB, 10MiB or 1GiB, up to 1TiB, got %s", name, shown(value))
	}
	return n, nil
}

// limitModeFlag reads --limit-mode.
func limitModeFlag(value string) (tenant.LimitMode, error) {
	if value == followsDefault {
		return tenant.LimitDefault, nil
	}
	mode, err := tenant.ParseLimitMode(value)
	if err != nil || mode == tenant.LimitDefault {
		return mode, fmt.Errorf("--limit-mode: want one of %s, or 'default', got %s", strings.Join(tenant.LimitModes(), ", "), shown(value))
	}
	return mode, nil
}

// shownByteRate is bytes per second; nil follows the default.
func shownByteRate(n *int64) string {
	switch {
	case n == nil:
		return followsDefault
	case *n == 0:
		return unlimited
	}
	return tenant.FormatSize(*n) + "/s"
}

func shownCache(n int64) string {
	if n == 0 {
		return "none"
	}
	return tenant.FormatSize(n)
}
