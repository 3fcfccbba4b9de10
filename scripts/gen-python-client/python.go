package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// width is how many bytes lines have at most, where they can be broken.
const width = 100

// node is Python in brackets, which may take several lines, or without, which may not.
type node struct {
	open  string
	args  []node
	close string
}

func leaf(format string, args ...any) node { return node{open: fmt.Sprintf(format, args...)} }

// at returns the node at an indentation: on one line if it fits there.
func (n node) at(indent int) string {
	if line := n.line(); len(n.args) == 0 || indent+len(line) <= width-len(",") {
		return line
	}
	var b strings.Builder
	b.WriteString(n.open + "\n")
	for _, arg := range n.args {
		fmt.Fprintf(&b, "%*s%s,\n", indent+4, "", arg.at(indent+4))
	}
	fmt.Fprintf(&b, "%*s%s", indent, "", n.close)
	return b.String()
}

func (n node) line() string {
	args := make([]string, len(n.args))
	for i, arg := range n.args {
		args[i] = arg.line()
	}
	return n.open + strings.Join(args, ", ") + n.close
}

// docstring returns a summary, a description, and lines about arguments.
func docstring(indent int, summary, description string, arguments []string) string {
	lines := wrap(summary, width-indent)
	if description != "" {
		lines = append(append(lines, ""), wrap(description, width-indent)...)
	}
	for i, arg := range arguments {
		if i == 0 {
			lines = append(lines, "")
		}
		for j, line := range wrap(arg, width-indent-4) {
			lines = append(lines, strings.Repeat(" ", min(4*j, 4))+line)
		}
	}
	text := strings.NewReplacer(`\`, `\\`, `"""`, `\"\"\"`).Replace(strings.Join(lines, "\n"))
	if len(lines) > 1 {
		text += "\n"
	}
	var b strings.Builder
	for line := range strings.SplitSeq(`"""`+text+`"""`, "\n") {
		if line != "" {
			line = strings.Repeat(" ", indent) + line
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

var null = regexp.MustCompile(`\bnull\b`)

// wrap returns a description in lines of at most so many bytes, if no word is longer.
func wrap(text string, bytes int) []string {
	var lines []string
	for _, word := range strings.Fields(null.ReplaceAllString(text, "None")) {
		if last := len(lines) - 1; last >= 0 && len(lines[last])+1+len(word) <= bytes {
			lines[last] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return lines
}

// imports returns the line that imports those of the names that the text uses; "" for none.
func imports(text, module string, names ...string) string {
	used := slices.DeleteFunc(names, func(name string) bool {
		return !regexp.MustCompile(`(: |\[|\(|-> |= |@)` + name + `\b`).MatchString(text)
	})
	if len(used) == 0 {
		return ""
	}
	return "from " + module + " import " + strings.Join(used, ", ") + "\n"
}

var hump = regexp.MustCompile(`([a-z0-9])([A-Z])`)

// identifier returns a name as Python's names are written.
func identifier(name string) string {
	name = strings.ToLower(strings.ReplaceAll(hump.ReplaceAllString(name, "${1}_$2"), "-", "_"))
	if slices.Contains(keywords, name) {
		name += "_"
	}
	return name
}

var keywords = strings.Fields(`and as assert async await break class continue def del elif else except finally for from
	global if import in is lambda nonlocal not or pass raise return try while with yield`)
