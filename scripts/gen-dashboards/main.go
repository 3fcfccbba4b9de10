// Command gen-dashboards writes the Grafana dashboards in configs/grafana/dashboards: what
// they show stands in overview.go and tenant.go as tables, and is checked against Grafana's
// own types. Run it at the project's root (make dashboards); the test in this package fails
// when the files are not those that it would write.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

const directory = "configs/grafana/dashboards"

func main() {
	if err := write(directory); err != nil {
		fmt.Fprintln(os.Stderr, "gen-dashboards:", err)
		os.Exit(1)
	}
}

func write(dir string) error {
	for name, b := range boards() {
		text, err := render(b)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil { //nolint:gosec // everybody may read it
			return err
		}
	}
	return nil
}

// boards are all dashboards, by the name of their file.
func boards() map[string]board {
	return map[string]board{"overview.json": overview(), "tenant.json": tenantPage()}
}

// render is a dashboard's file: the same for the same board, to the byte.
func render(b board) ([]byte, error) {
	d := b.build()
	if err := d.Validate(); err != nil {
		return nil, err
	}
	return encode(d)
}

func encode(d dashboard.Dashboard) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(d)
	text := out.Bytes()
	for char, escaped := range map[string]string{"<": `\u003c`, ">": `\u003e`, "&": `\u0026`} { // expressions and links have many
		text = bytes.ReplaceAll(text, []byte(escaped), []byte(char))
	}
	return text, err
}
