package pages

import (
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// TestLinksLead: what a page links to in the project is there, and so is the heading.
func TestLinksLead(t *testing.T) {
	root := Root(t)
	for _, name := range all(t) {
		for _, link := range read(t, name).links {
			u, err := url.Parse(link)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if u.Scheme != "" {
				continue
			}
			target := name
			if u.Path != "" {
				target = path.Join(path.Dir(name), u.Path)
			}
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s: %s leads nowhere", name, link)
			} else if u.Fragment != "" && (path.Ext(target) != ".md" || !slices.Contains(anchors(read(t, target).headings), u.Fragment)) {
				t.Errorf("%s: %s: %s has no such heading", name, link, target)
			}
		}
	}
}

// TestIndexIsWhole: docs/README.md has every page of its folder, and the runbooks' and
// decisions' own lists.
func TestIndexIsWhole(t *testing.T) {
	const index = "docs/README.md"
	links := read(t, index).links
	for _, name := range all(t) {
		folder := path.Dir(name)
		listed := folder == "docs" || folder == "docs/quickstart" || path.Base(name) == "README.md" && strings.HasPrefix(folder, "docs/")
		if listed && name != index && !slices.Contains(links, strings.TrimPrefix(name, "docs/")) {
			t.Errorf("%s does not name %s", index, name)
		}
	}
}

// TestAnchors has the headings' names in links, as GitHub makes them.
func TestAnchors(t *testing.T) {
	got := anchors([]string{"What `read_from` does, and why", "What's there?", "Same", "Same", "Ünit-tests (2)"})
	want := []string{"what-read_from-does-and-why", "whats-there", "same", "same-1", "ünit-tests-2"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// anchors are the names of headings in links.
func anchors(headings []string) (names []string) {
	times := map[string]int{}
	for _, heading := range headings {
		name := strings.Map(func(r rune) rune {
			switch {
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			case r == ' ':
				return '-'
			}
			return -1
		}, heading)
		names = append(names, name)
		if n := times[name]; n > 0 {
			names[len(names)-1] += "-" + strconv.Itoa(n)
		}
		times[name]++
	}
	return names
}
