package tenants

import (
	"maps"
	"slices"
	"strings"
)

// unknownField says that there is no such field, and which one may be meant or else which there are.
func unknownField[T any](name string, fields map[string]T) string {
	known := slices.Sorted(maps.Keys(fields))
	nearest, least := "", 3
	for _, k := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < least && d < len(k) {
			nearest, least = k, d
		}
	}
	if nearest != "" {
		return "it is not known; is " + nearest + " meant?"
	}
	return "it is not known; there are " + strings.Join(known, ", ") + "."
}

// distance counts the letters to insert, delete, replace or swap with their neighbour to make b of a.
func distance(a, b string) int {
	if len(a) > 64 { // of no use, and somebody else's to choose
		return len(a)
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		for j := range rows[i] {
			switch {
			case i == 0 || j == 0:
				rows[i][j] = i + j
			default:
				same := 1
				if a[i-1] == b[j-1] {
					same = 0
				}
				rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+same)
				if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
					rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
				}
			}
		}
	}
	return rows[len(a)][len(b)]
}
