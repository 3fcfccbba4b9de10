package console

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/tenant"
)

// number reads a field with a whole number; an empty one is nil.
func (v *visit) number(field string) (*int, error) {
	text := v.form(field)
	if text == "" {
		return nil, nil
	}
	n, err := strconv.Atoi(strings.ReplaceAll(text, ",", ""))
	if err != nil || n < 0 {
		return nil, wrong("%s: want a whole number, 0 or more, got %q", strings.ReplaceAll(field, "_", " "), text)
	}
	return &n, nil
}

// size reads a field with a number of bytes; an empty one is nil.
func (v *visit) size(field string) (*int64, error) {
	text := v.form(field)
	if text == "" {
		return nil, nil
	}
	n, err := tenant.ParseSize(text)
	if err != nil {
		return nil, wrong("%s: want a size such as 64KiB or 10MiB, got %q", strings.ReplaceAll(field, "_", " "), text)
	}
	return &n, nil
}

// limitMode reads what happens beyond limits; nothing is the proxy's setting.
func (v *visit) limitMode() (tenant.LimitMode, error) {
	mode, err := tenant.ParseLimitMode(v.form("limit_mode"))
	if err != nil {
		return mode, wrong("%v", err)
	}
	return mode, nil
}

// version is the one that a form was made from.
func (v *visit) version() (int64, error) {
	version, err := strconv.ParseInt(v.form("version"), 10, 64)
	if err != nil || version < 1 {
		return 0, errUnreadable
	}
	return version, nil
}

// keyForm reads what the fields of a key say, and returns what applies it.
func (v *visit) keyForm() (func(*tenant.Key) error, error) {
	rate, err := v.number("rate")
	if err != nil {
		return nil, err
	}
	burst, err := v.number("burst")
	if err != nil {
		return nil, err
	}
	byteRate, err := v.size("byte_rate")
	if err != nil {
		return nil, err
	}
	mode, err := v.limitMode()
	if err != nil {
		return nil, err
	}
	most, err := v.number("max_connections")
	if err != nil {
		return nil, err
	}
	networks, err := tenant.ParseNetworks(strings.Join(strings.Fields(strings.ReplaceAll(v.form("allow_from"), ",", " ")), ","))
	if err != nil {
		return nil, wrong("networks: %v", err)
	}
	return func(k *tenant.Key) error {
		k.Limits.Rate, k.Limits.Burst, k.Limits.ByteRate, k.Limits.Mode = rate, burst, byteRate, mode
		k.AllowFrom, k.Commands, k.Audit = networks, v.form("commands"), v.form("audit")
		k.MaxConnections = 0
		if most != nil {
			k.MaxConnections = *most
		}
		return nil
	}, nil
}

func (v *visit) createKey() (*page, error) {
	own := v.form("instance")
	others := slices.DeleteFunc(slices.Clone(v.r.PostForm["also"]), func(name string) bool { return name == own })
	k := tenant.Key{Org: v.r.PathValue("org"), Name: v.form("name"), Instances: append([]string{own}, others...)}
	apply, err := v.keyForm()
	if err != nil {
		return nil, err
	}
	days, err := v.number("days")
	switch {
	case err != nil:
		return nil, err
	case days != nil && (*days < 1 || *days > 36500):
		return nil, wrong("days: want 1 to 36500, got %d", *days)
	case days != nil:
		k.ExpiresAt = v.cfg.Now().Add(time.Duration(*days) * 24 * time.Hour)
	}
	_ = apply(&k) // never fails
	made, err := v.control.CreateKey(v.r.Context(), v.actor, k)
	if err != nil {
		return nil, err
	}
	return v.toldKey("Key created", made), nil
}

// toldKey is the one page with a key's secret.
func (v *visit) toldKey(title string, k control.NewKey) *page {
	return v.told(title, secretPage{
		What: "the key " + k.Name, Secret: k.Text, Next: keyPath(k.ID),
		For: "Clients send it as their password. The user name chooses an instance that the key opens; without one it is " + k.Instances[0] + ".",
		Use: []string{"redis://" + k.Instances[0] + ":KEY@HOST:6380/0", "redis-cli -h HOST -p 6380 --user " + k.Instances[0] + " --askpass"},
	})
}

// keyPage is one key.
type keyPage struct {
	control.KeyView
	Key    tenant.Key
	Status string // live, revoked or expired
}

func (v *visit) key() (*page, error) {
	k, err := v.control.Key(v.r.Context(), v.actor, v.r.PathValue("key"))
	if err != nil {
		return nil, err
	}
	o, err := v.org(k.Org)
	if err != nil {
		return nil, err
	}
	return &page{name: "key", title: k.Name, org: o, tab: "overview", data: keyPage{control.ViewKey(k), k, keyStatus(k, v.cfg.Now())}}, nil
}

func keyStatus(k tenant.Key, now time.Time) string {
	switch {
	case !k.RevokedAt.IsZero():
		return "revoked"
	case !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt):
		return "expired"
	}
	return "live"
}

func (v *visit) changeKey() (*page, error) {
	version, err := v.version()
	if err != nil {
		return nil, err
	}
	apply, err := v.keyForm()
	if err != nil {
		return nil, err
	}
	k, err := v.control.UpdateKey(v.r.Context(), v.actor, v.r.PathValue("key"), control.Change[tenant.Key]{Version: version, Apply: apply})
	if err != nil {
		return nil, err
	}
	return redirect(keyPath(k.ID) + "?done=key"), nil
}

// overlaps are for how long the old secret of a key can stay good.
var overlaps = map[string]time.Duration{"0": 0, "1h": time.Hour, "24h": 24 * time.Hour, "168h": 7 * 24 * time.Hour}

func (v *visit) rotateKey() (*page, error) {
	overlap, ok := overlaps[v.form("overlap")]
	if !ok {
		return nil, wrong("for how long the old secret stays good: choose one of the times")
	}
	version, err := v.version()
	if err != nil {
		return nil, err
	}
	made, err := v.control.RotateKey(v.r.Context(), v.actor, v.r.PathValue("key"), overlap, version)
	if err != nil {
		return nil, err
	}
	return v.toldKey("Secret replaced", made), nil
}

func (v *visit) revokeKey() (*page, error) {
	k, err := v.control.RevokeKey(v.r.Context(), v.actor, v.r.PathValue("key"), 0)
	if err != nil {
		return nil, err
	}
	return redirect(keyPath(k.ID) + "?done=revoked"), nil
}
