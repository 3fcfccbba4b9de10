package testbed

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"slices"
	"strings"
	"testing"
)

// tlsArguments are those of a server's arguments that say how it speaks TLS.
func tlsArguments(args []string) (own []string) {
	for i, a := range args {
		if strings.HasPrefix(a, "--tls-") && i+1 < len(args) {
			own = append(own, a, args[i+1])
		}
	}
	return own
}

// clientTLS is what clients of a server with those arguments need, who show its own
// certificate; nil is a server without one.
func clientTLS(tb testing.TB, args []string) *tls.Config {
	tb.Helper()
	file := func(name string) string { return args[slices.Index(args, name)+1] }
	if !slices.Contains(args, "--tls-cert-file") {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(file("--tls-cert-file"), file("--tls-key-file"))
	if err != nil {
		tb.Fatal(err)
	}
	pem, err := os.ReadFile(file("--tls-ca-cert-file"))
	if err != nil {
		tb.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, MinVersion: tls.VersionTLS12}
}
