package control

import (
	"context"
	"iter"
	"time"

	"github.com/respgate/respgate/tenant"
)

const (
	// PictureSpan is how far back a picture reaches.
	PictureSpan = 2 * time.Minute
	// MaxHotCommands is how many hot commands a picture has at most.
	MaxHotCommands = 8
)

// Picture is how an instance does, in the eyes of one proxy: what its clients do at other
// proxies is not in it.
type Picture struct {
	Proxy  string       `json:"proxy"`        // the proxy's id
	Hot    []HotCommand `json:"hot_commands"` // of the last point, the hottest first
	Points []Point      `json:"points"`       // the oldest first
}

// Point is how an instance did for about a second.
type Point struct {
	At       time.Time `json:"at"` // when that ended, in UTC
	Commands float64   `json:"commands_per_second"`
	Errors   float64   `json:"errors_per_second"`    // commands answered with an error, refused ones too
	Limited  float64   `json:"limited_per_second"`   // of these, the ones refused by a limit
	BytesIn  float64   `json:"bytes_in_per_second"`  // from clients
	BytesOut float64   `json:"bytes_out_per_second"` // to clients
	P50      *float64  `json:"p50_seconds"`          // from sending a command to its reply; null: there was none
	P99      *float64  `json:"p99_seconds"`
	Clients  int64     `json:"clients"` // that are authenticated, at that time, as links
	Links    Links     `json:"links"`
}

// Links is how many connections to an instance are open, by what they are for.
type Links struct {
	Shared     int `json:"shared"`     // by many clients
	Pinned     int `json:"pinned"`     // for what one client leaves in a connection
	Subscriber int `json:"subscriber"` // for one that has subscribed
}

// HotCommand is how often a command was sent.
type HotCommand struct {
	Command   string  `json:"command"` // in lower case; other: it is not known
	PerSecond float64 `json:"per_second"`
}

// Pictures shows how instances do at this proxy. It is called from several goroutines.
type Pictures interface {
	// Picture returns an instance's picture with its points after a time, one at least: it
	// waits for that, a second or two. The error is ctx's, or ErrUnavailable.
	Picture(ctx context.Context, in tenant.Instance, after time.Time) (Picture, error)
}

// Live returns how an instance does at this proxy, and did in the last PictureSpan as far as
// somebody has asked. For members; ErrUnavailable where this process serves no clients.
func (s *Service) Live(ctx context.Context, a Actor, org, instance string) (Picture, error) {
	return s.picture(ctx, a, org, instance, time.Time{})
}

// Watch returns what Live does, and then a picture with each new point as it comes, until
// the caller has enough, or an error, which is the last: that of ctx too, and what Live says
// when the actor may no longer see the instance or it is gone. Whether what the actor has
// authenticated with is still good is for the caller to see to.
func (s *Service) Watch(ctx context.Context, a Actor, org, instance string) iter.Seq2[Picture, error] {
	return func(yield func(Picture, error) bool) {
		var seen time.Time
		for {
			p, err := s.picture(ctx, a, org, instance, seen)
			if !yield(p, err) || err != nil {
				return
			}
			seen = p.Points[len(p.Points)-1].At
		}
	}
}

func (s *Service) picture(ctx context.Context, a Actor, org, instance string, after time.Time) (Picture, error) {
	in, err := s.Instance(ctx, a, org, instance)
	switch {
	case err != nil:
		return Picture{}, err
	case s.cfg.Pictures == nil:
		return Picture{}, problem(ErrUnavailable, "this process serves no clients")
	}
	return s.cfg.Pictures.Picture(ctx, in, after)
}
