// Package pages reads the project's pages, so that tests can run what these tell people to
// type. Every block of commands or of a program has a test that runs it, its tour, or says why
// none does, in the words behind its language:
//
//	```sh                                   run by the page's first tour in Tours
//	```sh tour="TestComposeRuns"            run by that one
//	```sh not-run="wants a Docker engine"   run by none
package pages

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/text"
)

// Block is a block of code of a page.
type Block struct {
	Page   string // from the project's folder, with slashes
	Line   int    // its first one, from 1
	Lang   string // "" for an indented block, and for one that names none
	Tour   string // the test that it names
	NotRun string // why no test runs it
	Text   string
}

// executable are the languages of what people type or run. Others are shown only, or looked
// at by tests of their own.
var executable = map[string]bool{
	"sh": true, "bash": true, "console": true,
	"go": true, "js": true, "ts": true, "python": true, "java": true, "ruby": true, "php": true,
}

// ownedBy says whether the test of that name is to run the block.
func (b Block) ownedBy(test string) bool {
	tour, ok := tourOf(b)
	return ok && tour.Test == test && b.NotRun == ""
}

// Executable says whether people are meant to type or run it.
func (b Block) Executable() bool { return executable[b.Lang] }

// Blocks returns the blocks of a page that the running test is the tour of, in the languages,
// or in all that are executable. The test fails when Tours does not have it, or there are none.
func Blocks(tb testing.TB, page string, languages ...string) []Block {
	tb.Helper()
	name, _, _ := strings.Cut(tb.Name(), "/")
	var own []Block
	for _, b := range Read(tb, page) {
		if wanted := slices.Contains(languages, b.Lang) || len(languages) == 0 && b.Executable(); wanted && b.ownedBy(name) {
			own = append(own, b)
		}
	}
	if len(own) == 0 {
		tb.Fatalf("%s has nothing that %s runs: see pages.Tours", page, name)
	}
	return own
}

// Read returns all of a page's blocks.
func Read(tb testing.TB, page string) []Block {
	tb.Helper()
	return read(tb, page).blocks
}

// Own returns the pages that have blocks of which the running test is the tour.
func Own(tb testing.TB) (names []string) {
	tb.Helper()
	name, _, _ := strings.Cut(tb.Name(), "/")
	for _, of := range all(tb) {
		if slices.ContainsFunc(read(tb, of).blocks, func(b Block) bool { return b.Executable() && b.ownedBy(name) }) {
			names = append(names, of)
		}
	}
	return names
}

// Script is what stands in a page's shell blocks of which the running test is the tour.
func Script(tb testing.TB, page string) string {
	tb.Helper()
	var script strings.Builder
	for _, b := range Blocks(tb, page, "sh", "bash") {
		script.WriteString(b.Text)
	}
	return script.String()
}

// Root is the project's folder.
func Root(tb testing.TB) string {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "docs", "ARCHITECTURE.md")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			tb.Fatal("the test does not run in the project's folder")
		}
		dir = up
	}
}

// page is what is looked at of one.
type page struct {
	blocks   []Block
	links    []string
	headings []string // their texts
}

var (
	named    = regexp.MustCompile(`(\S+)="([^"]*)"`)
	markdown = goldmark.DefaultParser()
)

func parse(name string, source []byte) (p page) {
	walk := func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.FencedCodeBlock:
			b := Block{Page: name, Lang: string(n.Language(source))}
			if n.Info != nil {
				for _, pair := range named.FindAllSubmatch(n.Info.Segment.Value(source), -1) {
					switch string(pair[1]) {
					case "tour":
						b.Tour = string(pair[2])
					case "not-run":
						b.NotRun = string(pair[2])
					}
				}
			}
			p.blocks = append(p.blocks, b.filled(n, source))
		case *ast.CodeBlock:
			p.blocks = append(p.blocks, Block{Page: name}.filled(n, source))
		case *ast.Heading:
			p.headings = append(p.headings, words(n, source))
		case *ast.Link:
			p.links = append(p.links, string(n.Destination))
		case *ast.Image:
			p.links = append(p.links, string(n.Destination))
		}
		return ast.WalkContinue, nil
	}
	// walk returns no error.
	_ = ast.Walk(markdown.Parse(text.NewReader(source)), walk)
	return p
}

// filled is b with what stands in the node.
func (b Block) filled(n ast.Node, source []byte) Block {
	lines := n.Lines()
	if lines.Len() > 0 {
		b.Line = 1 + strings.Count(string(source[:lines.At(0).Start]), "\n")
	}
	b.Text = string(lines.Value(source))
	return b
}

// words is the text of a node and of those in it.
func words(n ast.Node, source []byte) string {
	var all strings.Builder
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		if leaf, ok := c.(*ast.Text); ok {
			all.Write(leaf.Value(source))
		} else {
			all.WriteString(words(c, source))
		}
	}
	return all.String()
}

// others are folders whose pages, if any, are not the project's, or copies: what .gitignore has, and tests' own.
var others = []string{"bin", "dist", "node_modules", "testdata", "var"}

// all are the project's pages.
func all(tb testing.TB) (names []string) {
	tb.Helper()
	root := Root(tb)
	err := filepath.WalkDir(root, func(name string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (slices.Contains(others, d.Name()) || name != root && strings.HasPrefix(d.Name(), ".")) {
			return filepath.SkipDir
		}
		if path.Ext(name) == ".md" {
			relative, err := filepath.Rel(root, name)
			names = append(names, filepath.ToSlash(relative))
			return err
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return names
}

func read(tb testing.TB, name string) page {
	tb.Helper()
	source, err := fs.ReadFile(os.DirFS(Root(tb)), name)
	if err != nil {
		tb.Fatal(err)
	}
	return parse(name, source)
}
