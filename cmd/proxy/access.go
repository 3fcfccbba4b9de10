package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/respgate/respgate/tenant"
)

// anywhere stands for no list of networks.
const anywhere = "any"

// networks reads --allow-from; no network is anywhere.
func networks(values []string) (*[]string, error) {
	text := strings.Join(values, ",")
	if text == anywhere {
		return &[]string{}, nil
	}
	n, err := tenant.ParseNetworks(text)
	if err == nil && len(n) == 0 {
		err = errors.New("want a network such as 10.0.0.0/8, or 'any'")
	}
	return new(n.Strings()), inFlag("allow-from", err)
}

func shownNetworks(n []string) string {
	if len(n) == 0 {
		return anywhere
	}
	return strings.Join(n, ",")
}

// connectionsHelp is that of --max-connections; with says whose are bounded.
func connectionsHelp(with string) string {
	return "the `NUMBER` of connections at once " + with + ", to each proxy; 0 for unlimited"
}

// amount reads a flag that is a whole number up to most.
func amount(name, value string, most int) (int64, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 || n > most {
		return 0, fmt.Errorf("--%s: want a whole number from 0 to %d, got %s", name, most, shown(value))
	}
	return int64(n), nil
}

const unlimited = "unlimited"

// shownAmount is for what 0 does not bound.
func shownAmount(n int64) string {
	if n == 0 {
		return unlimited
	}
	return strconv.FormatInt(n, 10)
}

// shownRate is commands per second; nil follows the default.
func shownRate(n *int64) string {
	switch {
	case n == nil:
		return followsDefault
	case *n == 0:
		return unlimited
	}
	return strconv.FormatInt(*n, 10) + "/s"
}

func shownBurst(n *int64) string {
	if n == nil || *n == 0 {
		return "as rate"
	}
	return strconv.FormatInt(*n, 10)
}
