package resp

import "bytes"

// inline reads an inline command: a line of words, as typed into telnet. n is 0
// when the line does not end yet; an empty line is consumed without a frame.
func (f *Framer) inline(b []byte, fr *Frame) (n int, err error) {
	nl := bytes.IndexByte(b[f.scan:], '\n')
	if nl < 0 {
		f.scan = len(b)
		if len(b) > f.lim.MaxInline {
			return 0, ProtocolError("too big inline request")
		}
		return 0, nil
	}
	nl += f.scan
	f.scan = 0
	if nl > f.lim.MaxInline {
		return 0, ProtocolError("too big inline request")
	}
	args, ok := splitWords(bytes.TrimSuffix(b[:nl], []byte{'\r'}))
	switch {
	case !ok:
		return 0, ProtocolError("unbalanced quotes in request")
	case len(args) > f.lim.MaxArgs:
		return 0, ProtocolError("unauthenticated multibulk length")
	case len(args) > 0:
		*fr = newFrame(args)
	}
	return nl + 1, nil
}

// splitWords splits a line as redis-cli and Redis do (sdssplitargs): words lie
// between blanks; "double quotes" know \xHH and the escapes \n \r \t \b \a;
// 'single quotes' know \' only; a closing quote ends its word. ok is false when
// a quote is not closed or something follows it. A NUL byte ends the line.
func splitWords(line []byte) (words [][]byte, ok bool) {
	if end := bytes.IndexByte(line, 0); end >= 0 {
		line = line[:end]
	}
	for {
		for len(line) > 0 && isSpace(line[0]) {
			line = line[1:]
		}
		if len(line) == 0 {
			return words, true
		}
		word, rest, ok := splitWord(line)
		if !ok {
			return nil, false
		}
		words = append(words, word)
		line = rest
	}
}

// splitWord takes the first word off line, which begins with no blank.
func splitWord(line []byte) (word, rest []byte, ok bool) {
	word = []byte{}
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case endsWord(c):
			return word, line[i:], true
		case c == '"' || c == '\'':
			word, i, ok = quoted(word, line, i)
			if !ok || i+1 < len(line) && !isSpace(line[i+1]) {
				return nil, nil, false
			}
			return word, line[i+1:], true
		default:
			word = append(word, c)
		}
	}
	return word, nil, true
}

// quoted appends to word what lies between the quote at line[i] and the one
// that closes it, whose index it returns.
func quoted(word, line []byte, i int) (_ []byte, end int, ok bool) {
	quote := line[i]
	for i++; i < len(line); i++ {
		c := line[i]
		switch {
		case c == quote:
			return word, i, true
		case c != '\\' || i+1 >= len(line):
			word = append(word, c)
		case quote == '\'':
			if line[i+1] == '\'' {
				i++
				c = '\''
			}
			word = append(word, c)
		case i+3 < len(line) && line[i+1] == 'x' && isHex(line[i+2]) && isHex(line[i+3]):
			word = append(word, unhex(line[i+2])<<4|unhex(line[i+3]))
			i += 3
		default:
			i++
			word = append(word, unescape(line[i]))
		}
	}
	return nil, 0, false
}

func unescape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'b':
		return '\b'
	case 'a':
		return '\a'
	}
	return c
}

// endsWord is what ends a word that is not quoted: not all of isSpace does.
func endsWord(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// isSpace is C's isspace in the POSIX locale.
func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}
