package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/oapi-codegen/nullable"
	"github.com/spf13/cobra"

	"github.com/respgate/respgate/auth"
	respgate "github.com/respgate/respgate/clients/go"
	"github.com/respgate/respgate/store"
)

// keyFlags are what `key create` and `key set` may say of a key.
type keyFlags struct {
	name, rate, burst, commands, expires string
	maxConnections, certificate, audit   string
	byteRate, limitMode                  string
	instances, allowFrom                 []string
}

func (f *keyFlags) add(a *app, c *cobra.Command) {
	c.Flags().StringVar(&f.name, "name", "", "the key's `NAME`")
	c.Flags().StringArrayVar(&f.instances, "instance", nil, "`NAME` of an instance that it opens; may be repeated: the first is the key's own")
	c.Flags().StringVar(&f.rate, "rate", "", "commands per second: a `NUMBER`, 0 for unlimited, or 'default'")
	c.Flags().StringVar(&f.burst, "burst", "", "commands at once: a `NUMBER`, or 'default' for as many as the rate")
	c.Flags().StringVar(&f.byteRate, "byte-rate", "", byteRateHelp("with it")+", or 'default'")
	c.Flags().StringVar(&f.limitMode, "limit-mode", "", limitModeHelp)
	c.Flags().StringVar(&f.commands, "commands", "", "`RULES` as in Redis's ACL, such as '+@all -@dangerous'; '' for the default")
	c.Flags().StringVar(&f.expires, "expires", "", "`WHEN` it ends: a duration such as 720h, a time such as 2027-01-31T00:00:00Z, or 'never'")
	c.Flags().StringArrayVar(&f.allowFrom, "allow-from", nil, "a `NETWORK` that it may be used from, such as 10.0.0.0/8, or several with commas between them; may be repeated; 'any' for everywhere")
	c.Flags().StringVar(&f.maxConnections, "max-connections", "0", connectionsHelp("with it"))
	c.Flags().StringVar(&f.certificate, "certificate-name", "", "`NAME` of a client certificate that opens the key without AUTH: one of its URIs or DNS names, or its common name; 'none' for no such")
	c.Flags().StringVar(&f.audit, "audit", "", "`RULES` of the commands that are noted in the audit log, with the names of their keys, such as '+@write'; 'none' for no such")
	a.completes(c, "instance", a.instanceNames)
}

// keyField reads the flag with that name into a patch.
type keyField struct {
	flag string
	read func(*respgate.KeyPatch) error
}

func (f *keyFlags) fields() []keyField {
	return []keyField{
		{"name", func(p *respgate.KeyPatch) error { p.Name = &f.name; return nil }},
		{"instance", func(p *respgate.KeyPatch) error { p.Instances = &f.instances; return nil }},
		{"rate", func(p *respgate.KeyPatch) (err error) { p.Rate, err = limitFlag("rate", f.rate); return err }},
		{"burst", func(p *respgate.KeyPatch) (err error) { p.Burst, err = limitFlag("burst", f.burst); return err }},
		{"byte-rate", func(p *respgate.KeyPatch) error {
			p.ByteRate = nullable.NewNullNullable[int64]()
			if f.byteRate == followsDefault {
				return nil
			}
			n, err := sizeFlag("byte-rate", f.byteRate)
			p.ByteRate.Set(n)
			return err
		}},
		{"limit-mode", func(p *respgate.KeyPatch) error {
			mode, err := limitModeFlag(f.limitMode)
			p.LimitMode = new(respgate.KeyPatchLimitMode(mode.String()))
			return err
		}},
		{"allow-from", func(p *respgate.KeyPatch) (err error) { p.AllowFrom, err = networks(f.allowFrom); return err }},
		{"max-connections", func(p *respgate.KeyPatch) error {
			n, err := amount("max-connections", f.maxConnections, store.MaxConnections)
			p.MaxConnections = &n
			return err
		}},
		{"expires", func(p *respgate.KeyPatch) (err error) { p.ExpiresAt, err = expiry(f.expires); return err }},
		{"certificate-name", func(p *respgate.KeyPatch) error {
			p.CertificateName = orNone(f.certificate)
			if f.certificate == "" {
				return errors.New("--certificate-name: want a name such as spiffe://corp/web, or 'none'")
			}
			return nil
		}},
		{"commands", func(p *respgate.KeyPatch) error {
			p.Commands = orNone(strings.TrimSpace(f.commands))
			_, err := auth.ParseRules(f.commands)
			return inFlag("commands", err)
		}},
		{"audit", func(p *respgate.KeyPatch) error {
			p.Audit = orNone(strings.TrimSpace(f.audit))
			if p.Audit.IsNull() {
				return nil
			}
			_, err := auth.ParseAudit(f.audit)
			return inFlag("audit", err)
		}},
	}
}

// given are the fields whose flags were.
func (f *keyFlags) given(c *cobra.Command) (all []keyField) {
	for _, field := range f.fields() {
		if c.Flags().Changed(field.flag) {
			all = append(all, field)
		}
	}
	return all
}

// read is what the flags that were given say.
func (f *keyFlags) read(c *cobra.Command) (p respgate.KeyPatch, err error) {
	for _, field := range f.given(c) {
		if err := field.read(&p); err != nil {
			return p, err
		}
	}
	return p, nil
}

// inFlag is an error in what a flag says.
func inFlag(name string, err error) error {
	if err != nil {
		return fmt.Errorf("--%s: %w", name, err)
	}
	return nil
}

// orNone is null for "" and 'none'.
func orNone(value string) nullable.Nullable[string] {
	if value == "" || value == "none" {
		return nullable.NewNullNullable[string]()
	}
	return nullable.NewNullableWithValue(value)
}

func limitFlag(name, value string) (nullable.Nullable[int64], error) {
	if value == followsDefault {
		return nullable.NewNullNullable[int64](), nil
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 || n > maxRate {
		return nil, fmt.Errorf("--%s: want a whole number from 0 to %d or 'default', got %s", name, maxRate, shown(value))
	}
	return nullable.NewNullableWithValue(int64(n)), nil
}

// expiry reads --expires; null is never.
func expiry(value string) (nullable.Nullable[time.Time], error) {
	if value == "never" {
		return nullable.NewNullNullable[time.Time](), nil
	}
	if d, err := time.ParseDuration(value); err == nil && d > 0 {
		return nullable.NewNullableWithValue(time.Now().Add(d)), nil
	}
	t, err := time.Parse(time.RFC3339, value)
	if err != nil || t.Before(time.Now()) {
		return nil, fmt.Errorf("--expires: want a duration such as 720h, a time to come such as 2027-01-31T00:00:00Z, or 'never', got %s", shown(value))
	}
	return nullable.NewNullableWithValue(t), nil
}
