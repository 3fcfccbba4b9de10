package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/oapi-codegen/nullable"

	respgate "github.com/respgate/respgate/clients/go"
)

// record is something to show: marshalled with --json, else by its columns.
type record interface {
	columns() []string // lower-case names, the same for every value of the type
	cells() []string   // one for each column
}

// one shows a single record: a line for each column.
func (a *app) one(r record) error {
	if a.json {
		return a.encode(r)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	cells := printable(r.cells())
	for i, column := range r.columns() {
		if _, err := fmt.Fprintf(w, "%s\t%s\n", column, cells[i]); err != nil {
			return err
		}
	}
	return w.Flush()
}

// many shows records as a table.
func many[T record](a *app, records []T) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	var zero T
	rows := [][]string{zero.columns()}
	for i := range rows[0] {
		rows[0][i] = strings.ToUpper(rows[0][i])
	}
	for _, r := range records {
		rows = append(rows, printable(r.cells()))
	}
	for _, row := range rows {
		if _, err := fmt.Fprintln(w, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return w.Flush()
}

// printable has '?' for what would move the cursor of a terminal: tenants' clients name
// themselves and their keys.
func printable(cells []string) []string {
	for i := range cells {
		cells[i] = strings.Map(func(r rune) rune {
			if unicode.IsPrint(r) {
				return r
			}
			return '?'
		}, cells[i])
	}
	return cells
}

// done says that something was done to one thing: "deleted acme", {"deleted":"acme"}.
func (a *app) done(what string, value any) error {
	if a.json {
		return a.encode(map[string]any{what: value})
	}
	_, err := fmt.Fprintln(a.stdout, what, value)
	return err
}

// encode prints one line of JSON. "<", ">" and "&" stand as they are: nobody puts
// this into a page.
func (a *app) encode(v any) error {
	e := json.NewEncoder(a.stdout)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// given is a pointer to what may be null.
func given[T any](v nullable.Nullable[T]) *T {
	if value, err := v.Get(); err == nil {
		return &value
	}
	return nil
}

func shownTime(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// shownState is what has become of what ends by itself or is revoked; nil is never.
func shownState(revoked, ends *time.Time) string {
	switch {
	case revoked != nil:
		return "revoked " + shownTime(revoked)
	case ends != nil && ends.Before(time.Now()):
		return "expired " + shownTime(ends)
	case ends != nil:
		return "until " + shownTime(ends)
	}
	return "live"
}

// show returns a function that shows the thing that the management API has answered with,
// as JSON just as it came.
func show[V record](a *app) func(respgate.Answer, error) error {
	return func(answer respgate.Answer, err error) error {
		v, err := answered[V](answer, err)
		if err != nil {
			return err
		}
		if a.json {
			return a.encode(json.RawMessage(answer.Bytes()))
		}
		return a.one(v)
	}
}

// showAll is show for the items of a list, the first limit ones where that is not 0.
func showAll[V record](a *app, limit int, page func(cursor *string) (respgate.Answer, error)) error {
	items := []json.RawMessage{}
	for item, err := range respgate.All[json.RawMessage](page) {
		if err != nil {
			return err
		}
		items = append(items, item)
		if len(items) == limit {
			break
		}
	}
	if a.json {
		return a.encode(items)
	}
	views := make([]V, len(items))
	for i, item := range items {
		if err := json.Unmarshal(item, &views[i]); err != nil {
			return err
		}
	}
	return many(a, views)
}

// deletedRow is what can be restored.
type deletedRow struct {
	Name      string     `json:"name"`
	ID        string     `json:"id"`
	DeletedAt *time.Time `json:"deleted_at"`
}

func (deletedRow) columns() []string { return []string{"name", "id", "deleted"} }
func (v deletedRow) cells() []string { return []string{v.Name, v.ID, shownTime(v.DeletedAt)} }
