package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// anywhere stands for no list of networks.
const anywhere = "any"

// allowFromFlag adds --allow-from to a command.
func allowFromFlag(c *cobra.Command, to *[]string) {
	c.Flags().StringArrayVar(to, "allow-from", nil, "a `NETWORK` that it may be used from, such as 10.0.0.0/8, or several with commas between them; may be repeated; 'any' for everywhere")
}

func networks(values []string) (tenant.Networks, error) {
	text := strings.Join(values, ",")
	if text == anywhere {
		return nil, nil
	}
	n, err := tenant.ParseNetworks(text)
	if err == nil && len(n) == 0 {
		err = errors.New("want a network such as 10.0.0.0/8, or 'any'")
	}
	if err != nil {
		return nil, fmt.Errorf("--allow-from: %w", err)
	}
	return n, nil
}

func shownNetworks(n []string) string {
	if len(n) == 0 {
		return anywhere
	}
	return strings.Join(n, ",")
}

// connectionsFlag adds --max-connections to a command; with says whose are bounded.
func connectionsFlag(c *cobra.Command, to *string, with string) {
	c.Flags().StringVar(to, "max-connections", "0", "the `NUMBER` of connections at once "+with+", to each proxy; 0 for unlimited")
}

func connections(value string) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 || n > store.MaxConnections {
		return 0, fmt.Errorf("--max-connections: want a whole number from 0 to %d, got %s", store.MaxConnections, shown(value))
	}
	return n, nil
}

func shownConnections(n int) string {
	if n == 0 {
		return "unlimited"
	}
	return strconv.Itoa(n)
}
