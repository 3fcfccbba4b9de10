package main

// nearest returns the name of known that s most likely is a misspelling of, or
// "" when none is within two edits (one for short names).
func nearest(s string, known []string) string {
	best, limit := "", 3
	if len(s) < 6 {
		limit = 2
	}
	for _, name := range known {
		if d := edits(s, name); d < limit {
			best, limit = name, d
		}
	}
	return best
}

// edits is the Levenshtein distance of two ASCII names.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substituted := diagonal
			if a[i] != b[j] {
				substituted++
			}
			diagonal = row[j+1]
			row[j+1] = min(substituted, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
