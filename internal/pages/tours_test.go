package pages

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestEveryCommandIsRun: what the pages have people type or run is run by a test, or says why
// it is not.
func TestEveryCommandIsRun(t *testing.T) {
	claimed := map[Tour]int{}
	for _, name := range all(t) {
		for _, b := range read(t, name).blocks {
			if wrong := fault(b); wrong != "" {
				t.Errorf("%s:%d: %s", b.Page, b.Line, wrong)
			}
			if tour, ok := tourOf(b); ok && b.Executable() && b.NotRun == "" {
				claimed[tour]++
			}
		}
	}
	for _, tour := range Tours {
		if claimed[tour] == 0 {
			t.Errorf("%s runs nothing of %s", tour.Test, tour.Page)
		}
	}
}

// fault is what is wrong with a block, if anything.
func fault(b Block) string {
	_, hasTour := tourOf(b)
	switch {
	case !b.Executable() && b.NotRun == "" && b.Tour == "":
		if word := typed(b.Text); word != "" && (b.Lang == "" || b.Lang == "text") {
			return "what people type (" + word + ") stands in a block ```sh"
		}
	case b.NotRun != "" && b.Tour != "":
		return "it has a tour, and a reason to have none"
	case b.NotRun != "" && len(strings.Fields(b.NotRun)) < 3:
		return "that is no reason why no test runs it: " + b.NotRun
	case b.NotRun == "" && !hasTour:
		return "no test runs it: name one in pages.Tours, or say why with not-run=\"…\""
	}
	return ""
}

// typed is the first word of a text's lines that is a command's name.
func typed(text string) string {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) > 1 && slices.Contains(commands, strings.TrimPrefix(words[0], "bin/")) {
			return words[0]
		}
	}
	return ""
}

var commands = []string{
	"respgate", "redis-cli", "redis-server", "redis-benchmark", "memtier_benchmark", "curl", "openssl", "psql", "promtool", "sudo", "apt", "apt-get", "dpkg", "rpm",
	"systemctl", "journalctl", "docker", "kubectl", "helm", "kubeconform", "make", "go", "npm", "npx", "node", "pip", "pip3", "python3", "gem", "bundle", "composer", "php", "mvn",
	"export", "cd", "cp", "age", "age-keygen", "tar", "kill",
}

// TestFault: a block without a test that runs it is found.
func TestFault(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want string // how what is wrong begins
	}{
		"the page's tour":          {"```sh\nrespgate version\n```\n", ""},
		"the tour that it names":   {"```sh tour=\"TestComposeRuns\"\nrespgate version\n```\n", ""},
		"a tour that is none":      {"```sh tour=\"TestNothing\"\nrespgate version\n```\n", "no test runs it"},
		"a reason":                 {"```sh not-run=\"wants a Docker engine\"\ndocker ps\n```\n", ""},
		"no reason":                {"```sh not-run=\"later\"\ndocker ps\n```\n", "that is no reason"},
		"a reason and a tour":      {"```sh not-run=\"wants a Docker engine\" tour=\"TestReadmeTour\"\ndocker ps\n```\n", "it has a tour"},
		"an indented command":      {"text\n\n    respgate version\n", "what people type (respgate)"},
		"a command without a name": {"```\nbin/respgate version\n```\n", "what people type (bin/respgate)"},
		"something shown":          {"```yaml\nlisten: 127.0.0.1:6380\n```\n", ""},
	} {
		blocks := parse("README.md", []byte(c.text)).blocks
		if len(blocks) != 1 {
			t.Errorf("%s: %d blocks, want 1", name, len(blocks))
			continue
		}
		got := fault(blocks[0])
		if c.want == "" && got != "" || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if b := parse("docs/NEW.md", []byte("```sh\nrespgate version\n```\n")).blocks[0]; fault(b) == "" {
		t.Error("a page without a tour is not found")
	}
}

// TestToursRunTheirPages: each tour is a test that is there, and asks for its page's blocks.
func TestToursRunTheirPages(t *testing.T) {
	folders := map[string]map[string]*ast.FuncDecl{}
	for _, tour := range Tours {
		if folders[tour.Package] == nil {
			folders[tour.Package] = functions(t, tour.Package)
		}
		body := folders[tour.Package][tour.Test]
		if body == nil {
			t.Errorf("%s: no %s is there", tour.Package, tour.Test)
		} else if !asks(folders[tour.Package], body, tour.Page) {
			t.Errorf("%s: %s does not ask package pages for the blocks of %s", tour.Package, tour.Test, tour.Page)
		}
	}
}

// functions are those of a package's tests, whatever they are built for.
func functions(t *testing.T, folder string) map[string]*ast.FuncDecl {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(Root(t), folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]*ast.FuncDecl{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				found[f.Name.Name] = f
			}
		}
	}
	return found
}

// asks says whether a function calls Own of this package, or Blocks or Script with the page's
// name, itself or by others of its package.
func asks(all map[string]*ast.FuncDecl, f *ast.FuncDecl, page string) bool {
	seen, calls, names := map[string]bool{}, false, false
	var look func(*ast.FuncDecl)
	look = func(f *ast.FuncDecl) {
		seen[f.Name.Name] = true
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				if value, err := strconv.Unquote(n.Value); err == nil && value == page {
					names = true
				}
			case *ast.SelectorExpr:
				if of, ok := n.X.(*ast.Ident); ok && of.Name == "pages" && slices.Contains([]string{"Blocks", "Script", "Own"}, n.Sel.Name) {
					calls, names = true, names || n.Sel.Name == "Own"
				}
				if called := all[n.Sel.Name]; called != nil && !seen[n.Sel.Name] {
					look(called)
				}
			case *ast.Ident:
				if called := all[n.Name]; called != nil && !seen[n.Name] {
					look(called)
				}
			}
			return true
		})
	}
	look(f)
	return calls && names
}
