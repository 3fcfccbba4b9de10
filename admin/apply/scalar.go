package apply

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/respgate/respgate/tenant"
)

const wantText = "want text, in quotes where it looks like something else"

func isText(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" }

// text reads text. What it is is not told when it is something else: it may be a secret.
func text(r *reader, n *yaml.Node, at string, to *string) bool {
	if !isText(n) {
		r.wrong(n, at, wantText)
		return false
	}
	*to = n.Value
	return true
}

// texts reads a list of texts, most at most, of which none is empty.
func texts(r *reader, n *yaml.Node, at string, most int) (all []string, ok bool) {
	switch {
	case n.Kind != yaml.SequenceNode:
		r.wrong(n, at, "want a list, such as [a, b]")
		return nil, false
	case len(n.Content) > most:
		r.wrong(n, at, "%d are too many: want at most %d", len(n.Content), most)
		return nil, false
	}
	for i, item := range n.Content {
		why := ""
		switch item = r.node(item); {
		case !isText(item):
			why = wantText
		case strings.TrimSpace(item.Value) == "": // nothing in a list of networks would be all of them
			why = "it is empty"
		}
		if why != "" {
			r.wrong(item, fmt.Sprintf("%s[%d]", at, i), "%s", why)
			return nil, false
		}
		all = append(all, item.Value)
	}
	return all, true
}

// whole reads a number from 0 to most.
func whole(r *reader, n *yaml.Node, at string, most int, to *int) bool {
	var i int
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" || n.Decode(&i) != nil || i < 0 || i > most {
		r.wrong(n, at, "want a whole number from 0 to %d", most)
		return false
	}
	*to = i
	return true
}

// size is a number of bytes, in plans.
type size int64

// String is as files have it.
func (s size) String() string { return tenant.FormatSize(int64(s)) }

// sized reads a size of at most tenant.MaxBytes.
func sized(r *reader, n *yaml.Node, at string, to *int64) bool {
	b, err := tenant.ParseSize(n.Value)
	if tag := n.ShortTag(); n.Kind != yaml.ScalarNode || tag != "!!int" && tag != "!!str" || err != nil || b > tenant.MaxBytes {
		r.wrong(n, at, "want a size such as 64KiB, 10MiB or 1GiB, up to 1TiB")
		return false
	}
	*to = b
	return true
}

// moment reads a time as RFC 3339 has it. A duration would be another time tomorrow.
func moment(r *reader, n *yaml.Node, at string, to *time.Time) {
	t, err := time.Parse(time.RFC3339, n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || t.Unix() <= 0 {
		r.wrong(n, at, "want a time such as 2027-01-31T00:00:00Z")
		return
	}
	*to = t.UTC().Truncate(time.Millisecond) // as it is stored
}

// threshold is a slow log's, in plans.
type threshold time.Duration

// MarshalJSON is as the API has it: microseconds.
func (t threshold) MarshalJSON() ([]byte, error) {
	return json.Marshal(tenant.SlowlogMicroseconds((*time.Duration)(&t)))
}

// String is as files have it.
func (t threshold) String() string { return tenant.FormatSlowlogThreshold((*time.Duration)(&t)) }

// slowlogThreshold reads a slow log's threshold.
func slowlogThreshold(r *reader, n *yaml.Node, at string, to **time.Duration) {
	d, err := tenant.ParseSlowlogThreshold(n.Value)
	if n.Kind != yaml.ScalarNode {
		_, err = tenant.ParseSlowlogThreshold("")
	}
	if err != nil {
		r.wrong(n, at, "%v", err)
		return
	}
	*to = d
}
