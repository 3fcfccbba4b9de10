package tenant

import "log/slog"

const redacted = "[redacted]"

// Secret is text that must not be shown: printed, logged or marshalled, it
// appears as "[redacted]". Reveal is the only way to its value.
type Secret string

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String implements fmt.Stringer without the secret.
func (Secret) String() string { return redacted }

// GoString implements fmt.GoStringer without the secret.
func (Secret) GoString() string { return redacted }

// LogValue implements slog.LogValuer without the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler without the secret.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
