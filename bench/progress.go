package main

import (
	"fmt"
	"os"
)

// progress tells people how far it is: on one line on a terminal, else a line each.
type progress struct {
	total, n int
	tty      bool
}

func newProgress(chosen []section, o options) *progress {
	p := &progress{tty: isTerminal(os.Stderr)}
	for _, s := range chosen {
		p.total += len(s.rows) * len(s.targets) * s.roundsOf(o)
	}
	return p
}

// step says what is measured next.
func (p *progress) step(what string) {
	p.n++
	p.tell(what)
}

// tell says what happens meanwhile.
func (p *progress) tell(what string) {
	if p.tty {
		fmt.Fprintf(os.Stderr, "\r\x1b[K[%d/%d] %s", p.n, p.total, what)
		return
	}
	fmt.Fprintf(os.Stderr, "[%d/%d] %s\n", p.n, p.total, what)
}

func (p *progress) done() {
	if p.tty {
		fmt.Fprint(os.Stderr, "\r\x1b[K")
	}
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
