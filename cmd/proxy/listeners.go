package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"syscall"
)

// listeners are open from the very start, so that a taken port is found before
// anything else happens.
type listeners struct {
	resp, tls, http net.Listener // tls may be nil
	from            *predecessor // whose they were; nil: they are new
}

// table has each listener with its key and that key's value.
func (ls *listeners) table(cfg Config) []listenerSetting {
	return []listenerSetting{
		{offered{"listen", cfg.Listen}, &ls.resp},
		{offered{"http.listen", cfg.HTTP.Listen}, &ls.http},
		{offered{"tls.listen", cfg.TLS.Listen}, &ls.tls},
	}
}

type listenerSetting struct {
	offered
	at *net.Listener
}

// openListeners takes the listeners over from a proxy that runs already, where reuse_port
// says so and there is one; the others it opens.
func openListeners(ctx context.Context, cfg Config, log *slog.Logger) (ls listeners, err error) {
	if cfg.ReusePort {
		if ls.from, err = inherit(ctx, cfg, log); err != nil {
			return ls, err
		}
	}
	for _, l := range ls.table(cfg) {
		if l.Addr == "" {
			continue
		}
		if *l.at = ls.from.take(l.Key, l.Addr); *l.at != nil {
			continue
		}
		if *l.at, err = listen(ctx, l.Key, l.Addr); err != nil {
			ls.close()
			return ls, err
		}
	}
	return ls, nil
}

// offer returns the listeners that there are, each with its name.
func (ls listeners) offer(cfg Config) (names []offered, open []net.Listener) {
	for _, l := range ls.table(cfg) {
		if *l.at != nil {
			names, open = append(names, l.offered), append(open, *l.at)
		}
	}
	return names, open
}

// close closes them all; it may be called twice.
func (ls listeners) close() {
	closeAll([]net.Listener{ls.resp, ls.tls, ls.http})
	ls.from.close()
}

func closeAll(all []net.Listener) {
	for _, ln := range all {
		if ln != nil {
			_ = ln.Close()
		}
	}
}

// listen opens a listener; key is the configuration key to change when that
// cannot be.
func listen(ctx context.Context, key, addr string) (net.Listener, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s: %s is in use already: stop what listens there or change %s", key, addr, key)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: cannot listen on %s: %w", key, addr, rootCause(err))
	}
	return ln, nil
}
