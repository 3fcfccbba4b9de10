package tenant

import "testing"

func TestSizes(t *testing.T) {
	for given, want := range map[string]struct {
		n    int64
		text string
	}{
		"0": {0, "0"}, "1": {1, "1"}, "1000B": {1000, "1000"}, "1024": {1024, "1KiB"}, "64KiB": {65536, "64KiB"}, "10 MiB": {10 << 20, "10MiB"}, "512 MiB": {512 << 20, "512MiB"},
		"3GiB": {3 << 30, "3GiB"}, "1TiB": {MaxBytes, "1TiB"}, "1536KiB": {1536 << 10, "1536KiB"}, "8388607TiB": {8388607 << 40, "8388607TiB"},
	} {
		n, err := ParseSize(given)
		if err != nil || n != want.n || FormatSize(n) != want.text {
			t.Errorf("ParseSize(%q) = %d, %v, and is written %q; want %d, %q", given, n, err, FormatSize(n), want.n, want.text)
		}
	}
	for _, bad := range []string{"", "-1", "1KB", "1kib", "1.5MiB", "KiB", "9223372036854775808", "8388608TiB", "1KiBB", "1 2"} {
		if n, err := ParseSize(bad); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", bad, n)
		}
	}
}

// FuzzSize: a size is what it says, and never negative.
func FuzzSize(f *testing.F) {
	for _, seed := range []string{"0", "512MiB", "1GiB", "8388608TiB", "9223372036854775807B", " 1 KiB", "KiB", "1KB", "+1", "0x10", "１", "BKiB1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := ParseSize(text)
		if err != nil {
			if n != 0 {
				t.Errorf("%q: %d and %v", text, n, err)
			}
			return
		}
		if again, err := ParseSize(FormatSize(n)); n < 0 || err != nil || again != n {
			t.Errorf("%q was read as %d, then %d, %v", text, n, again, err)
		}
	})
}
