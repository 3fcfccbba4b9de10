package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	respgate "github.com/respgate/respgate/clients/go"
	"github.com/respgate/respgate/tenant"
)

const (
	serverVariable = "RESPGATE_SERVER"
	tokenVariable  = "RESPGATE_TOKEN" //nolint:gosec // a name

	// remoteTimeout bounds a request: a connection test of many servers takes the longest.
	remoteTimeout = 2 * time.Minute
	// maxAnswer bounds an answer, in bytes: far more than a page of a list has.
	maxAnswer = 64 << 20
	// maxTokenFile bounds what is read of a token's file.
	maxTokenFile = 4 << 10

	// maxTries and maxPause bound how often a request is made that comes too soon, and how
	// long the server may have it wait.
	maxTries = 10
	maxPause = 10 * time.Second
)

// remote is a client of a proxy's management API; from is what names the server.
func (a *app) remote(server, from string) (*client, error) {
	u, err := parseServer(server)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	token, tokenFrom, err := a.token(from)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		a.note("warning: %s: the token goes to %s as plain text: use https", from, u.Host)
	}
	caller := &caller{name: from + " " + u.Scheme + "://" + u.Host, tokenFrom: tokenFrom, trace: os.Getenv("TRACEPARENT"), Client: http.Client{
		Timeout:       remoteTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the token is for this server
	}}
	return respgate.NewClientWithResponses(u.String(), respgate.WithHTTPClient(caller), respgate.WithToken(token.Reveal()))
}

// parseServer reads a server's URL, without /api/v1.
func parseServer(server string) (*url.URL, error) {
	u, err := url.Parse(server)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return nil, errors.New("want a URL such as https://respgate.example.com:3000")
	case u.User != nil, u.RawQuery != "", u.Fragment != "":
		return nil, fmt.Errorf("want nothing but scheme, host, port and path: the token comes from %s or --token-file", tokenVariable)
	}
	u.Path, u.RawPath = strings.TrimSuffix(strings.TrimSuffix(u.Path, "/"), "/api/v1"), ""
	return u, nil
}

// loopback reports whether host is this machine.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// token returns the bearer token for the server, and what it comes from.
func (a *app) token(serverFrom string) (token tenant.Secret, from string, err error) {
	text, from := os.Getenv(tokenVariable), tokenVariable
	if a.tokenFile != "" {
		from = "--token-file"
		if text, err = readTokenFile(a.tokenFile); err != nil {
			return "", from, fileError(from, a.tokenFile, err)
		}
	}
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return "", from, fmt.Errorf("%s: want a token in %s or in the file that --token-file names", serverFrom, tokenVariable)
	case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }):
		return "", from, fmt.Errorf("%s: want one line of visible ASCII characters", from)
	}
	return tenant.Secret(text), from, nil
}

func readTokenFile(name string) (string, error) {
	f, err := os.Open(name) //nolint:gosec // the operator names it
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxTokenFile+1))
	if err == nil && len(text) > maxTokenFile {
		err = fmt.Errorf("want a token of at most %d bytes", maxTokenFile)
	}
	return string(text), err
}

// caller makes requests to a server.
type caller struct {
	http.Client
	name      string // of the server, in errors
	tokenFrom string // where the token comes from
	trace     string // of which the requests are to be a part, as W3C's traceparent; "" is none
}

// Do implements respgate.HttpRequestDoer. A request that comes too soon was not done: it is
// made again when the server says.
func (c *caller) Do(r *http.Request) (*http.Response, error) {
	for try := 1; ; try++ {
		res, err := c.once(r)
		if err != nil || res.StatusCode != http.StatusTooManyRequests || try == maxTries {
			return res, err
		}
		seconds, err := strconv.Atoi(res.Header.Get("Retry-After"))
		pause := time.Duration(seconds) * time.Second
		if err != nil || pause < 0 || pause > maxPause || r.Body != nil && r.GetBody == nil {
			return res, nil
		}
		_ = res.Body.Close()
		if err := sleep(r.Context(), pause); err != nil {
			return nil, err
		}
		if r.GetBody != nil {
			if r.Body, err = r.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

// once makes a request. Whatever does not answer as a management API does is an error.
func (c *caller) once(r *http.Request) (*http.Response, error) {
	if c.trace != "" {
		r.Header.Set("Traceparent", c.trace)
	}
	res, err := c.Client.Do(r) //nolint:gosec // the operator names the server
	if err != nil {
		if r.Context().Err() != nil {
			return nil, r.Context().Err()
		}
		return nil, fmt.Errorf("%s: %w", c.name, rootCause(err))
	}
	media, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	switch {
	case res.StatusCode/100 == 3:
		err = fmt.Errorf("it redirects to %q, where the token is not sent: name that", res.Header.Get("Location"))
	case res.StatusCode == http.StatusUnauthorized:
		err = fmt.Errorf("the token of %s is not good, or no longer", c.tokenFrom)
	case res.StatusCode != http.StatusNoContent && media != "application/json" && media != "application/problem+json":
		err = fmt.Errorf("it answers %s, and not as a management API does", res.Status)
	}
	if err != nil {
		_ = res.Body.Close()
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	res.Body = http.MaxBytesReader(nil, res.Body, maxAnswer)
	return res, nil
}

// sleep returns after d, or with ctx's error when that ends before.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
