package loop

import (
	"bytes"
	"io"
	"testing"
)

// BenchmarkRoundTrip has one client wait for the echo of a line.
func BenchmarkRoundTrip(b *testing.B) {
	for name, pair := range transports {
		b.Run(name, func(b *testing.B) {
			client, server := pair(b)
			attachEcho(startLoop(b), server)
			line := append(bytes.Repeat([]byte("x"), 63), '\n')
			got := make([]byte, len(line))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := client.Write(line); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(client, got); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
