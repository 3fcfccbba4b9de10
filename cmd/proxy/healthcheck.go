package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
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

func (c HTTPConfig) askReady(ctx context.Context, addr string) error {
	scheme, client, err := c.client()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+addr+"/health/ready", nil)
	if err != nil {
		return err
	}
	res, err := client.Do(r)
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

// client returns what asks the HTTP side of a proxy with this configuration. Over TLS it
// believes a proxy whose certificate is the one in http.cert_file, or is signed by one
// there. The name and the time are not looked at: it asks at an address of this machine,
// and an expired certificate must not have a proxy killed that serves its clients.
func (c HTTPConfig) client() (scheme string, client *http.Client, err error) {
	transport := &http.Transport{}
	client = &http.Client{Transport: transport}
	if c.CertFile == "" {
		return "http", client, nil
	}
	loaded, err := c.files().load()
	if err != nil {
		return "", nil, err
	}
	ours := x509.NewCertPool()
	for _, der := range loaded.config.Certificates[0].Certificate {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return "", nil, fmt.Errorf("http.cert_file: %w", err)
		}
		ours.AddCert(cert)
	}
	transport.TLSClientConfig = &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection does it
		VerifyConnection: func(state tls.ConnectionState) error {
			leaf := state.PeerCertificates[0]
			_, err := leaf.Verify(x509.VerifyOptions{Roots: ours, CurrentTime: leaf.NotBefore, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
			return err
		},
	}
	return "https", client, nil
}
