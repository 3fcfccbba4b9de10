package main

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// certificateFiles are the files of one listener's TLS, by the keys of the configuration
// that name them.
type certificateFiles struct {
	listener string // tls or http, as metrics and logs call it
	pairs    []certificatePair
	clientCA namedFile // "": clients show no certificate
	err      error     // why the configuration is no good
}

type certificatePair struct{ cert, key namedFile }

type namedFile struct{ key, path string }

// loadedTLS is what was in the files at one time.
type loadedTLS struct {
	config *tls.Config
	seen   [sha256.Size]byte // of the content of them all
}

// certificateFiles returns the files of the listeners that speak TLS.
func (c Config) certificateFiles() (all []certificateFiles) {
	if files := c.TLS.files(); files.err != nil || len(files.pairs) > 0 {
		all = append(all, files)
	}
	if files := c.HTTP.files(); files.err != nil || len(files.pairs) > 0 {
		all = append(all, files)
	}
	return all
}

// files returns the files of the TLS listener, and none while it is off. The first pair is
// for clients that ask for no name or for one that no certificate has.
func (c TLSConfig) files() certificateFiles {
	cert, key := namedFile{"tls.cert_file", c.CertFile}, namedFile{"tls.key_file", c.KeyFile}
	files := certificateFiles{listener: "tls", clientCA: namedFile{"tls.client_ca_file", c.ClientCAFile}}
	if cert.path != "" || key.path != "" || len(c.Certificates) == 0 {
		files.pairs = append(files.pairs, certificatePair{cert, key})
	}
	for i, pair := range c.Certificates {
		at := fmt.Sprintf("tls.certificates[%d].", i)
		files.pairs = append(files.pairs, certificatePair{namedFile{at + "cert_file", pair.CertFile}, namedFile{at + "key_file", pair.KeyFile}})
	}
	if c.Listen != "" {
		return files
	}
	off := certificateFiles{listener: "tls"}
	for _, f := range append(files.all(), files.clientCA) {
		if f.path != "" && off.err == nil {
			off.err = fmt.Errorf("tls.listen: want an address such as 127.0.0.1:6390, since %s is set", f.key)
		}
	}
	return off
}

// files returns the files of the HTTP listener, and none while it goes without TLS.
func (c HTTPConfig) files() certificateFiles {
	files := certificateFiles{listener: "http"}
	if c.CertFile != "" || c.KeyFile != "" {
		files.pairs = []certificatePair{{namedFile{"http.cert_file", c.CertFile}, namedFile{"http.key_file", c.KeyFile}}}
	}
	return files
}

func (f certificateFiles) all() (all []namedFile) {
	for _, pair := range f.pairs {
		all = append(all, pair.cert, pair.key)
	}
	if f.clientCA.path != "" {
		all = append(all, f.clientCA)
	}
	return all
}

// check looks at what the configuration says, without the files.
func (f certificateFiles) check() error {
	if f.err != nil {
		return f.err
	}
	for _, file := range f.all() {
		if file.path == "" {
			return fmt.Errorf("%s: want a PEM file, since %s", file.key, map[string]string{
				"tls":  "tls.listen is set",
				"http": "the other one of http.cert_file and http.key_file is set",
			}[f.listener])
		}
	}
	return nil
}

// load reads the files. What it has seen it returns with an error too.
func (f certificateFiles) load() (l loadedTLS, err error) {
	if err := f.check(); err != nil {
		return l, err
	}
	content := map[namedFile][]byte{}
	seen := sha256.New()
	for _, file := range f.all() {
		b, e := file.read()
		content[file] = b
		_, _ = fmt.Fprintf(seen, "%d %s %v\n", len(b), b, e)
		if err == nil {
			err = e
		}
	}
	l.seen = [sha256.Size]byte(seen.Sum(nil))
	if err != nil {
		return l, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	for _, pair := range f.pairs {
		c, err := tls.X509KeyPair(content[pair.cert], content[pair.key])
		if err != nil {
			return l, fmt.Errorf("%s, %s: %w", pair.cert.key, pair.key.key, err)
		}
		config.Certificates = append(config.Certificates, c)
	}
	if f.clientCA.path != "" {
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(content[f.clientCA]) {
			return l, fmt.Errorf("%s: %s: no certificate in it", f.clientCA.key, f.clientCA.path)
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	l.config = config
	return l, nil
}

// maxPEM bounds a file of certificates or keys: a bundle of all public authorities has a
// quarter of that.
const maxPEM = 1 << 20

func (f namedFile) read() ([]byte, error) {
	info, err := os.Stat(f.path)
	switch {
	case err != nil:
		return nil, fileError(f.key, f.path, err)
	case !info.Mode().IsRegular() || info.Size() > maxPEM:
		return nil, fmt.Errorf("%s: %s: want a PEM file of at most %d bytes", f.key, f.path, maxPEM)
	}
	b, err := os.ReadFile(f.path)
	if err != nil {
		return nil, fileError(f.key, f.path, err)
	}
	return b, nil
}
