package pages

import (
	"regexp"
	"testing"
)

// Want has the test fail unless something in what commands have printed matches each expression.
func Want(tb testing.TB, out []byte, expressions ...string) {
	tb.Helper()
	for _, want := range expressions {
		if !regexp.MustCompile(want).Match(out) {
			tb.Errorf("nothing matches %s", want)
		}
	}
	if tb.Failed() {
		tb.Logf("%s", out)
	}
}
