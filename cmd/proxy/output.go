package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
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
	cells := r.cells()
	for i, column := range r.columns() {
		if _, err := fmt.Fprintf(w, "%s\t%s\n", column, cells[i]); err != nil {
			return err
		}
	}
	return w.Flush()
}

// many shows records as a table, or as a JSON array (never null).
func many[T record](a *app, records []T) error {
	if a.json {
		if records == nil {
			records = []T{}
		}
		return a.encode(records)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	var zero T
	rows := [][]string{zero.columns()}
	for i := range rows[0] {
		rows[0][i] = strings.ToUpper(rows[0][i])
	}
	for _, r := range records {
		rows = append(rows, r.cells())
	}
	for _, row := range rows {
		if _, err := fmt.Fprintln(w, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return w.Flush()
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

func shownTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// show returns a function that shows one value from the store, or passes its error on.
func show[T any, V record](a *app, view func(T) V) func(T, error) error {
	return func(v T, err error) error {
		if err != nil {
			return err
		}
		return a.one(view(v))
	}
}

// showAll is show for many.
func showAll[T any, V record](a *app, view func(T) V) func([]T, error) error {
	return func(values []T, err error) error {
		if err != nil {
			return err
		}
		views := make([]V, 0, len(values))
		for _, v := range values {
			views = append(views, view(v))
		}
		return many(a, views)
	}
}
