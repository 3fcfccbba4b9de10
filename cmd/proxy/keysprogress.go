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
		p.app.note("%s", p.line(at, time.Since(p.moved)))
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
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionSetWidth(30),
		progressbar.OptionSetSpinnerChangeInterval(0)) // else it would draw by itself, also when it has been taken away
}

// line is how far it is, with the rate and about how much longer it takes; took is how long
// it has taken since keys were first told of.
func (p *keysProgress) line(at backup.Progress, took time.Duration) string {
	keys, rest := fmt.Sprintf("%d keys", at.Keys), ""
	rate := float64(at.Keys-p.first) / max(took.Seconds(), 0.001)
	if at.Total > 0 && rate > 0 {
		left := time.Duration(float64(max(0, at.Total-at.Keys)) / rate * float64(time.Second))
		keys, rest = fmt.Sprintf("%d of %d keys", at.Keys, at.Total), fmt.Sprintf(", %v left", left.Round(time.Second))
	}
	return fmt.Sprintf("%s %s, %d bytes, %.0f keys/s%s", keys, p.verb, at.Bytes, rate, rest)
}

// say prints a line in the bar's place; that comes again below it.
func (p *keysProgress) say(line string) {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	p.app.note("%s", line)
}

// end takes the bar away.
func (p *keysProgress) end() {
	if p.bar != nil {
		_ = p.bar.Clear()
		_ = p.bar.Exit()
	}
}

func (p *keysProgress) seconds() float64 { return time.Since(p.began).Seconds() }
