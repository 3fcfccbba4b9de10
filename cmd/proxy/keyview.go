package main

import (
	"cmp"
	"strings"
	"time"

	respgate "github.com/respgate/respgate/clients/go"
)

// keyRow is a key in a list, without its secret.
type keyRow struct{ respgate.Key }

func (keyRow) columns() []string {
	return []string{"id", "org", "instances", "name", "rate", "burst", "commands", "from", "connections", "certificate", "created", "state"}
}

func (v keyRow) cells() []string {
	return []string{v.ID, v.Org, strings.Join(v.Instances, ","), v.Name, shownRate(given(v.Rate)), shownBurst(given(v.Burst)), v.Commands,
		shownNetworks(v.AllowFrom), shownAmount(v.MaxConnections), cmp.Or(v.CertificateName, "none"), shownTime(&v.CreatedAt), shownState(given(v.RevokedAt), given(v.ExpiresAt))}
}

// keyView is a key with all that there is to it but its secret.
type keyView struct{ respgate.Key }

func (keyView) columns() []string {
	return append(keyRow{}.columns(), "byte rate", "limit mode", "audit", "used", "old secret")
}

func (v keyView) cells() []string {
	old := "none"
	if until := given(v.PreviousUntil); until != nil && until.After(time.Now()) {
		old = "until " + shownTime(until)
	}
	return append(keyRow(v).cells(), shownByteRate(given(v.ByteRate)), cmp.Or(string(v.LimitMode), followsDefault), cmp.Or(v.Audit, "none"), shownTime(given(v.LastUsedAt)), old)
}

// newKeyView is a key at the one time when its secret is shown.
type newKeyView struct {
	ID        string    `json:"id"`
	Org       string    `json:"org"`
	Instance  string    `json:"instance"`
	Name      string    `json:"name"`
	Key       string    `json:"key"`
	Rate      *int64    `json:"rate"`
	Burst     *int64    `json:"burst"`
	Commands  string    `json:"commands"`
	CreatedAt time.Time `json:"created_at"`
	Try       string    `json:"-"`
}

func (newKeyView) columns() []string {
	return []string{"key", "id", "instance", "name", "rate", "burst", "commands", "try"}
}

func (v newKeyView) cells() []string {
	return []string{v.Key + "   (shown this once)", v.ID, v.Org + "/" + v.Instance, v.Name, shownRate(v.Rate), shownBurst(v.Burst), v.Commands, v.Try}
}
