package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// validate checks that the files are there and fit each other.
func (c TLSConfig) validate() error {
	_, err := c.load()
	return err
}

// load reads the files; it returns nil while TLS is off.
func (c TLSConfig) load() (*tls.Config, error) {
	if c.Listen == "" {
		for key, file := range map[string]string{"tls.cert_file": c.CertFile, "tls.key_file": c.KeyFile, "tls.client_ca_file": c.ClientCAFile} {
			if file != "" {
				return nil, fmt.Errorf("tls.listen: want an address such as 127.0.0.1:6390, since %s is set", key)
			}
		}
		return nil, nil
	}
	if c.CertFile == "" {
		return nil, errors.New("tls.cert_file: want a PEM file, since tls.listen is set")
	}
	if c.KeyFile == "" {
		return nil, errors.New("tls.key_file: want a PEM file, since tls.listen is set")
	}
	certPEM, err := os.ReadFile(c.CertFile)
	if err != nil {
		return nil, fileError("tls.cert_file", c.CertFile, err)
	}
	keyPEM, err := os.ReadFile(c.KeyFile)
	if err != nil {
		return nil, fileError("tls.key_file", c.KeyFile, err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("tls.cert_file, tls.key_file: %w", err)
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if c.ClientCAFile == "" {
		return cfg, nil
	}
	caPEM, err := os.ReadFile(c.ClientCAFile)
	if err != nil {
		return nil, fileError("tls.client_ca_file", c.ClientCAFile, err)
	}
	cfg.ClientCAs = x509.NewCertPool()
	if !cfg.ClientCAs.AppendCertsFromPEM(caPEM) {
		return nil, fmt.Errorf("tls.client_ca_file: %s: no certificate in it", c.ClientCAFile)
	}
	cfg.ClientAuth = tls.RequireAndVerifyClientCert
	return cfg, nil
}
