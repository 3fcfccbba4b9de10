package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"time"
)

// The same on both sides: TLS 1.3 with these and a P-256 key.
const (
	cipherSuite = "TLS_AES_128_GCM_SHA256"
	curve       = "X25519"
)

// certificate is files in PEM.
type certificate struct{ cert, key, both string }

// newCertificate makes one for 127.0.0.1 that is its own authority.
func (l *lab) newCertificate() (*certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	certDER, err1 := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	keyDER, err2 := x509.MarshalPKCS8PrivateKey(key)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certDER})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	var c certificate
	c.cert, err1 = l.write("cert.pem", "%s", certPEM)
	c.key, err2 = l.write("key.pem", "%s", keyPEM)
	var err3 error
	c.both, err3 = l.write("both.pem", "%s%s", certPEM, keyPEM)
	return &c, errors.Join(err1, err2, err3)
}

// trustAnything is for clients of this machine's own targets.
func trustAnything() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519}}
}
