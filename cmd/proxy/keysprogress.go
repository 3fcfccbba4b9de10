package main

import (
	"fmt"
	"os"
	"time"

	"github.com/charmbracelet/x/term"
	"github.com/schollz/progressbar/v3"

	"github.com/respgate/respgate/backup"
)

// progressEvery is how often a line says how far it is, where there is no terminal.
const progressEvery = 10 * time.Second

// keysProgress says on stderr how far it is: a bar on a terminal, else a line now and then.
type keysProgress struct {
	app   *app
	quiet bool
	verb  string
	began time.Time
	first int64     // keys that were done when it was told of some for the first time,
	moved time.Time // and when that was
	bar   *progressbar.ProgressBar
	last  time.Time
}

// progress begins to say how far it is; verb is what keys have been.
func (a *app) progress(quiet bool, verb string) *keysProgress {
	now := time.Now()
	return &keysProgress{app: a, quiet: quiet, verb: verb, began: now, first: -1, last: now}
}

// show says how far it is.
func (p *keysProgress) show(at backup.Progress) {
	if p.first < 0 {
		p.first, p.moved = at.Keys, time.Now()
		p.open(at.Total)
	}
	switch {
	case p.quiet:
	case p.bar != nil:
		// A bar of which there is more than there was to be would be an error, and end.
		if at.Keys > p.bar.GetMax64() && at.Total > 0 {
			p.bar.ChangeMax64(at.Keys)
		}
		_ = p.bar.Set64(at.Keys)
	case time.Since(p.last) >= progressEvery:
		p.last = time.Now()
		p.app.note("%s", p.line(at))
	}
}

// open draws a bar where there is a terminal.
func (p *keysProgress) open(total int64) {
	out, ok := p.app.stderr.(*os.File)
	if p.quiet || !ok || os.Getenv("TERM") == "dumb" || !term.IsTerminal(out.Fd()) {
		return
	}
	if total <= 0 {
		total = -1
	}
	p.bar = progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(out), progressbar.OptionSetDescription(p.verb), progressbar.OptionSetItsString("keys"),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetPredictTime(true),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionSetWidth(30))
}

// line is how far it is, with the rate and about how much longer it takes.
func (p *keysProgress) line(at backup.Progress) string {
	rate := float64(at.Keys-p.first) / max(time.Since(p.moved).Seconds(), 0.001)
	text := fmt.Sprintf("%d keys %s, %.0f keys/s", at.Keys, p.verb, rate)
	if at.Total > 0 && rate > 0 {
		left := time.Duration(float64(max(0, at.Total-at.Keys)) / rate * float64(time.Second))
		text = fmt.Sprintf("%d of %d keys %s, %.0f keys/s, %v left", at.Keys, at.Total, p.verb, rate, left.Round(time.Second))
	}
	return text
}

// end takes the bar away.
func (p *keysProgress) end() {
	if p.bar != nil {
		_ = p.bar.Clear()
		_ = p.bar.Exit()
	}
}

func (p *keysProgress) seconds() float64 { return time.Since(p.began).Seconds() }
