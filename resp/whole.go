package resp

// whole frames a command of the commonest form at one go: a multibulk of at most nine
// arguments that is all there and as the protocol has it, each of fewer than 10,000
// bytes. It returns 0 for any other, which it leaves to the slow way.
func (f *Framer) whole(b []byte, fr *Frame) int {
	if len(b) < 4 || b[0] != '*' || b[1]-'1' > 8 || b[2] != '\r' || b[3] != '\n' {
		return 0
	}
	args := int(b[1] - '0')
	rest := b[4:]
	for i := range args {
		size, from := shortHeader(rest)
		if from == 0 || len(rest)-from-2 < size || rest[from+size] != '\r' || rest[from+size+1] != '\n' {
			return 0
		}
		switch i {
		case 0:
			fr.Name, fr.Sub = rest[from:from+size], nil
		case 1:
			fr.Sub = rest[from : from+size]
		}
		rest = rest[from+size+2:]
	}
	pos := len(b) - len(rest)
	if int64(pos) > f.lim.MaxCommand || args > f.lim.MaxArgs {
		return 0
	}
	fr.Raw, fr.Args = b[:pos], args
	return pos
}

// shortHeader reads an argument's header of one to four digits and returns where the
// argument begins: 0 for any other header.
func shortHeader(b []byte) (size, from int) {
	if len(b) < 7 || b[0] != '$' {
		return 0, 0
	}
	size = int(b[1] - '0')
	if b[2] == '\r' && b[3] == '\n' && size <= 9 {
		return size, 4
	}
	for from = 2; from < 5 && b[from]-'0' <= 9; from++ {
		size = size*10 + int(b[from]-'0')
	}
	if b[1]-'1' > 8 || b[from] != '\r' || b[from+1] != '\n' {
		return 0, 0
	}
	return size, from + 2
}
