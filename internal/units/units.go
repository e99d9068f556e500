// Package units reads and writes durations and sizes as users write them: milliseconds or "500ms",
// "90s", "2h", "3d"; bytes or "64KiB", "10MiB".
package units

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration that JSON gives in milliseconds or with units.
type Duration time.Duration

var durationUnits = []struct {
	name string
	unit time.Duration
}{{"ms", time.Millisecond}, {"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}, {"d", 24 * time.Hour}}

// ParseDuration reads "1500", "500ms", "90s", "1h30m" or "3d"; of several units each is smaller than the
// one before. It is not negative.
func ParseDuration(s string) (Duration, error) {
	wrong := fmt.Errorf("%q is not a duration: milliseconds, or 500ms, 90s, 2h, 3d", s)
	if n, err := strconv.ParseUint(s, 10, 63); err == nil {
		return multiply(n, time.Millisecond, wrong)
	}
	var sum Duration
	above := time.Duration(math.MaxInt64)
	for rest := s; rest != "" || s == ""; {
		i := 0
		for i < len(rest) && rest[i] >= '0' && rest[i] <= '9' {
			i++
		}
		j := i
		for j < len(rest) && rest[j] >= 'a' && rest[j] <= 'z' {
			j++
		}
		n, err := strconv.ParseUint(rest[:i], 10, 63)
		unit := unitOf(rest[i:j])
		if err != nil || unit == 0 || unit >= above {
			return 0, wrong
		}
		above = unit
		d, err := multiply(n, unit, wrong)
		if err != nil || d > math.MaxInt64-sum {
			return 0, wrong
		}
		sum += d
		rest = rest[j:]
	}
	return sum, nil
}

func unitOf(name string) time.Duration {
	for _, u := range durationUnits {
		if u.name == name {
			return u.unit
		}
	}
	return 0
}

func multiply(n uint64, unit time.Duration, wrong error) (Duration, error) {
	if n > uint64(math.MaxInt64/unit) { //nolint:gosec // unit is positive
		return 0, wrong
	}
	return Duration(time.Duration(n) * unit), nil //nolint:gosec // checked above
}

// String gives the largest unit that divides the duration: "90s", "2h", "1500ms".
func (d Duration) String() string {
	if d == 0 {
		return "0ms"
	}
	for i := len(durationUnits) - 1; i >= 0; i-- {
		if u := durationUnits[i]; time.Duration(d)%u.unit == 0 {
			return strconv.FormatInt(int64(time.Duration(d)/u.unit), 10) + u.name
		}
	}
	return time.Duration(d).String()
}

// MarshalJSON gives String.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON reads a number of milliseconds or what ParseDuration reads.
func (d *Duration) UnmarshalJSON(b []byte) (err error) {
	*d, err = ParseDuration(unquote(b))
	return err
}

// UnmarshalText reads what ParseDuration reads.
func (d *Duration) UnmarshalText(b []byte) (err error) {
	*d, err = ParseDuration(string(b))
	return err
}

// Size is a number of bytes.
type Size int64

var sizeUnits = []struct {
	name string
	unit int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// ParseSize reads "1024", "64KiB", "10MiB" or "1GiB". It is not negative.
func ParseSize(s string) (Size, error) {
	number, unit := s, int64(1)
	for _, u := range sizeUnits {
		if n, ok := strings.CutSuffix(s, u.name); ok {
			number, unit = n, u.unit
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil || n > uint64(math.MaxInt64/unit) { //nolint:gosec // unit is positive
		return 0, fmt.Errorf("%q is not a size: bytes, or 64KiB, 10MiB, 1GiB", s)
	}
	return Size(int64(n) * unit), nil //nolint:gosec // checked above
}

// String gives the largest unit that divides the size.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if int64(s)%u.unit == 0 && s != 0 {
			return strconv.FormatInt(int64(s)/u.unit, 10) + u.name
		}
	}
	return "0B"
}

// MarshalJSON gives String.
func (s Size) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// UnmarshalJSON reads a number of bytes or what ParseSize reads.
func (s *Size) UnmarshalJSON(b []byte) (err error) {
	*s, err = ParseSize(unquote(b))
	return err
}

func unquote(b []byte) string {
	var s string
	if json.Unmarshal(b, &s) == nil && len(b) > 0 && b[0] == '"' {
		return s
	}
	return string(b)
}
