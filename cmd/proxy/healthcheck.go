package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const healthcheckTimeout = 3 * time.Second

func (a *app) healthcheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask a proxy on this machine whether it is ready: exit 0 or 1",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(a.configFile)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), healthcheckTimeout)
			defer cancel()
			host, port := clientHost(cfg.HTTP.Listen)
			if err := cfg.HTTP.askReady(ctx, net.JoinHostPort(host, port)); err != nil {
				return err
			}
			return a.done("status", "ready")
		},
	}
}

// askReady asks the proxy at addr whether it is ready.
func (c HTTPConfig) askReady(ctx context.Context, addr string) error {
	scheme, transport := "http", &http.Transport{}
	if c.CertFile != "" {
		// Whoever answers at that address of this machine is believed, as without TLS. It is
		// told no secret, and a certificate that has expired, or is just being replaced, must
		// not have a proxy killed that serves its clients.
		scheme, transport.TLSClientConfig = "https", &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true} //nolint:gosec // see above
	}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+addr+"/health/ready", nil)
	if err != nil {
		return err
	}
	res, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		return fmt.Errorf("no answer at http.listen (%s): %w", addr, rootCause(err))
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, 4096))
	if err == nil && res.StatusCode != http.StatusOK {
		err = errors.New("not ready: " + strings.TrimSpace(string(body)))
	}
	return err
}
