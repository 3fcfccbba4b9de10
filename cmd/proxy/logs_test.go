package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestAttributesAreDocumented reads all that the proxy may write to its log: every attribute
// is in the table of docs/LOGS.md, and what is there is used.
func TestAttributesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/LOGS.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "## Attributes")
	documented := map[string]bool{"repeated": true, "trace_id": true, "span_id": true} // the limiter's and the tracer's own
	for row := range strings.Lines(table) {
		if cells := strings.Split(row, "|"); len(cells) > 2 {
			for _, name := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(cells[1], -1) {
				documented[name[1]] = documented[name[1]] || false
			}
		}
	}
	calls := 0
	for _, dir := range []string{"admin", "auth", "cmd", "health", "loop", "metrics", "pool", "proxy", "ratelimit", "store", "tracing"} {
		err := filepath.WalkDir("../../"+dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				names, ok := attributes(call)
				if ok {
					calls++
				}
				for _, name := range names {
					if _, known := documented[name]; !known {
						t.Errorf("%s: the attribute %q is not in docs/LOGS.md", path, name)
					}
					documented[name] = true
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if calls < 60 {
		t.Errorf("only %d lines of the log are found", calls)
	}
	for name, used := range documented {
		if !used {
			t.Errorf("docs/LOGS.md has the attribute %q, which no line has", name)
		}
	}
}

// attributes are the names in a call that writes to the log, or that gathers attributes.
func attributes(call *ast.CallExpr) (names []string, ok bool) {
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return nil, false
	}
	args := call.Args
	switch name, withContext := strings.CutSuffix(f.Sel.Name, "Context"); {
	case withContext && len(args) > 1 && isLog(f.X):
		args = args[2:]
	case slices.Contains([]string{"Debug", "Info", "Warn", "Error"}, name) && len(args) > 0 && isLog(f.X):
		args = args[1:]
	case name == "about":
	case name == "aboutAs" && len(args) > 0:
		args = args[1:]
	default:
		return nil, false
	}
	for i, arg := range args {
		if text, isText := arg.(*ast.BasicLit); isText && text.Kind == token.STRING && i%2 == 0 {
			name, err := strconv.Unquote(text.Value)
			if err == nil {
				names = append(names, name)
			}
		}
		if gathered, isCall := arg.(*ast.CallExpr); isCall { // append(attrs, "name", value…)
			if f, isName := gathered.Fun.(*ast.Ident); isName && f.Name == "append" {
				more, _ := attributes(&ast.CallExpr{Fun: &ast.SelectorExpr{Sel: ast.NewIdent("about")}, Args: gathered.Args[1:]})
				names = append(names, more...)
			}
		}
	}
	return names, true
}

// isLog reports whether an expression is a logger, by its name.
func isLog(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return strings.EqualFold(x.Name, "log")
	case *ast.SelectorExpr:
		return strings.EqualFold(x.Sel.Name, "log")
	}
	return false
}
