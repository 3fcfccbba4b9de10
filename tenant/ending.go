package tenant

import "strings"

// Ending is what the store's changes say of a session that is to end. It ends only where it
// is the organization's: who asked for it may not have known that.
type Ending struct {
	ID    string // the session's
	OrgID string // "" is any
}

// String is how it is told: the ids with a '-' between them.
func (e Ending) String() string {
	if e.OrgID == "" {
		return e.ID
	}
	return e.ID + "-" + e.OrgID
}

// ParseEnding reads what String wrote.
func ParseEnding(text string) Ending {
	proxy, rest, _ := strings.Cut(text, "-")
	client, org, _ := strings.Cut(rest, "-")
	return Ending{proxy + "-" + client, org}
}
