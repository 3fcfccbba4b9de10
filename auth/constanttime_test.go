package auth

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// secrets are the names of what must not be compared byte by byte.
var secrets = regexp.MustCompile(`[hH]ash|^[sS]ecret$|^Text$|^Reveal$`)

// compared returns where a Go file compares secrets with ==, != or a function of another
// package than crypto/subtle; src is as for parser.ParseFile.
func compared(t *testing.T, file string, src any) (places []string) {
	t.Helper()
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, file, src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	named := func(x ast.Expr) (found bool) {
		ast.Inspect(x, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			found = found || ok && secrets.MatchString(id.Name)
			return !found
		})
		return found
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			if (n.Op == token.EQL || n.Op == token.NEQ) && !isCall(n.X, "subtle") && (named(n.X) || named(n.Y)) {
				places = append(places, files.Position(n.OpPos).String())
			}
		case *ast.CallExpr:
			if slices.ContainsFunc([]string{"bytes", "slices", "strings", "reflect", "cmp"}, func(pkg string) bool { return isCall(n, pkg) }) && slices.ContainsFunc(n.Args, named) {
				places = append(places, files.Position(n.Pos()).String())
			}
		}
		return true
	})
	return places
}

// isCall reports whether x calls a function of pkg.
func isCall(x ast.Expr, pkg string) bool {
	call, ok := x.(*ast.CallExpr)
	if !ok {
		return false
	}
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	id, ok := f.X.(*ast.Ident)
	return ok && id.Name == pkg
}

// TestSecretsAreComparedInConstantTime reads this package: a comparison that ends at the
// first difference would tell how much of a secret was guessed.
func TestSecretsAreComparedInConstantTime(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, place := range compared(t, file, nil) {
			t.Errorf("%s: a secret is compared without crypto/subtle", place)
		}
	}
	for planted, want := range map[string]int{
		"e.hash == *hash": 1, "g.Key.SecretHash != h": 1, "bytes.Equal(e.hash[:], h[:])": 1, "string(hash[:]) == x": 1,
		"subtle.ConstantTimeCompare(e.hash[:], hash[:]) != 1": 0, "e.id == id": 0,
	} {
		if got := compared(t, "planted.go", "package auth\nvar _ = "+planted); len(got) != want {
			t.Errorf("%s: found at %v, want %d places", planted, got, want)
		}
	}
}
