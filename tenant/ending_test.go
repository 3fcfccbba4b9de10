package tenant

import "testing"

func TestEnding(t *testing.T) {
	for text, want := range map[string]Ending{
		"abcdef-7":              {"abcdef-7", ""},
		"abcdef-7-000000000001": {"abcdef-7", "000000000001"},
	} {
		if got := ParseEnding(text); got != want || got.String() != text {
			t.Errorf("%q is read as %+v and written as %q, want %+v", text, got, got.String(), want)
		}
	}
}
