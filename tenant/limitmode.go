package tenant

import "fmt"

// LimitMode says what happens to commands that are over a limit.
type LimitMode uint8

// The modes. The zero one follows the proxy's configuration.
const (
	LimitDefault LimitMode = iota
	LimitReject            // they are refused
	LimitDelay             // they wait until there is room for them
	LimitDryRun            // they are counted, and served
)

var limitModes = [...]string{LimitDefault: "", LimitReject: "reject", LimitDelay: "delay", LimitDryRun: "dry_run"}

// LimitModes are the names of the modes that can be asked for.
func LimitModes() []string { return append([]string(nil), limitModes[LimitReject:]...) }

// String returns the mode's name in the configuration, the API and the store: "" is the default.
func (m LimitMode) String() string {
	if int(m) < len(limitModes) {
		return limitModes[m]
	}
	return fmt.Sprintf("LimitMode(%d)", uint8(m))
}

// MarshalText implements encoding.TextMarshaler.
func (m LimitMode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *LimitMode) UnmarshalText(text []byte) (err error) {
	*m, err = ParseLimitMode(string(text))
	return err
}

// ParseLimitMode is the inverse of String. Its error names what is wanted.
func ParseLimitMode(name string) (LimitMode, error) {
	for m, known := range limitModes {
		if name == known {
			return LimitMode(m), nil
		}
	}
	return LimitDefault, fmt.Errorf("limit mode %q: want reject, delay or dry_run", name)
}
