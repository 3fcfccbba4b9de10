package pool

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/respgate/respgate/loop"
)

// TLS is how a backend is reached over TLS; the zero value is without. Files are read at
// each dial, so that renewed ones are taken up.
type TLS struct {
	ServerName string // whose certificate the backend must have; "" is without TLS
	CAFile     string // who must have signed it; "" is whom the system trusts
	CertFile   string // what respgate shows, with KeyFile; "" is nothing
	KeyFile    string
}

// options are what a URL may set: server_name (unless set, the name of the host that is
// connected to), ca_file, cert_file and key_file.
func (t *TLS) options() map[string]*string {
	return map[string]*string{"server_name": &t.ServerName, "ca_file": &t.CAFile, "cert_file": &t.CertFile, "key_file": &t.KeyFile}
}

// check reports options that do not go together.
func (t *TLS) check() error {
	if (t.CertFile == "") != (t.KeyFile == "") {
		return errors.New("backend URL: cert_file and key_file: want both or none")
	}
	return nil
}

// Config reads the files; it returns nil without TLS.
func (t TLS) Config() (*tls.Config, error) {
	if t.ServerName == "" {
		return nil, nil
	}
	c := &tls.Config{ServerName: t.ServerName, MinVersion: tls.VersionTLS12}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file: %s: no certificate in it", t.CAFile)
		}
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("cert_file, key_file: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// secure does the TLS handshake with a backend over conn, which it closes when that fails;
// without TLS it returns conn.
func (t TLS) secure(ctx context.Context, conn net.Conn) (net.Conn, error) {
	c, err := t.Config()
	if err != nil {
		return nil, errors.Join(&filesError{err}, conn.Close())
	}
	if c == nil {
		return conn, nil
	}
	secured := tls.Client(loop.NewTransport(conn), c)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secured, nil
}

// filesError says that the files for TLS are no good.
type filesError struct{ error }

func (e *filesError) Unwrap() error { return e.error }

// tlsReason is Reason for what TLS can say; "" for other errors.
func tlsReason(err error) string {
	var files *filesError
	var untrusted *tls.CertificateVerificationError
	var alert *net.OpError // crypto/tls has no type for what the peer objects to
	var plain tls.RecordHeaderError
	switch {
	case errors.As(err, &files):
		return "its files for TLS cannot be used"
	case errors.As(err, &untrusted):
		return "its certificate is not trusted"
	case errors.As(err, &alert) && alert.Op == "remote error":
		return "it refused the TLS handshake"
	case errors.As(err, &plain):
		return "it does not speak TLS"
	}
	return ""
}
