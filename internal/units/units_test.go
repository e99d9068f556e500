package units

import (
	"encoding/json"
	"testing"
	"time"
)

func TestDurationsAreReadAsUsersWriteThem(t *testing.T) {
	for in, want := range map[string]time.Duration{
		`0`: 0, `1500`: 1500 * time.Millisecond, `"1500"`: 1500 * time.Millisecond, `"500ms"`: 500 * time.Millisecond,
		`"90s"`: 90 * time.Second, `"2h"`: 2 * time.Hour, `"3d"`: 72 * time.Hour, `"1h30m"`: 90 * time.Minute,
	} {
		var d Duration
		if err := json.Unmarshal([]byte(in), &d); err != nil || time.Duration(d) != want {
			t.Errorf("%s: %v, %v", in, d, err)
		}
	}
	for _, in := range []string{`""`, `"x"`, `"-1s"`, `-1`, `1.5`, `"1.5h"`, `"3"s`, `"3 d"`, `"99999999999999d"`, `"1d1"`, `"1s1s"`, `"30m1h"`, `null`, `{}`, `true`, `1e3`, `"9223372036854ms9223372036854s"`} {
		var d Duration
		if err := json.Unmarshal([]byte(in), &d); err == nil {
			t.Errorf("%s is read as %v", in, d)
		}
	}
}

// What is shown is what could be written: the API's answers can be sent back.
func TestDurationsAreShownAsTheyAreRead(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: `"0ms"`, 1500 * time.Millisecond: `"1500ms"`, 90 * time.Second: `"90s"`, 90 * time.Minute: `"90m"`, 72 * time.Hour: `"3d"`,
	} {
		b, err := json.Marshal(Duration(d))
		var again Duration
		if err != nil || string(b) != want || json.Unmarshal(b, &again) != nil || time.Duration(again) != d {
			t.Errorf("%v is shown as %s and read as %v, %v", d, b, again, err)
		}
	}
	for s, want := range map[Size]string{0: `"0B"`, 1000: `"1000B"`, 64 << 10: `"64KiB"`, 3 << 30: `"3GiB"`} {
		if b, err := json.Marshal(s); err != nil || string(b) != want {
			t.Errorf("%d is shown as %s, %v", s, b, err)
		}
	}
}

func TestSizesAreReadAsUsersWriteThem(t *testing.T) {
	for in, want := range map[string]Size{`0`: 0, `5`: 5, `"5B"`: 5, `"64KiB"`: 64 << 10, `"10MiB"`: 10 << 20, `"2GiB"`: 2 << 30} {
		var s Size
		if err := json.Unmarshal([]byte(in), &s); err != nil || s != want {
			t.Errorf("%s: %v, %v", in, s, err)
		}
	}
	for _, in := range []string{`""`, `"KiB"`, `"-1"`, `1.5`, `"9999999999999GiB"`, `"5 MiB"`, `"5MB"`} {
		var s Size
		if err := json.Unmarshal([]byte(in), &s); err == nil {
			t.Errorf("%s is read as %v", in, s)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"1", "500ms", "1h30m", "3d", "64KiB", "", "h", "9223372036854775807"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := ParseDuration(s); err == nil {
			if again, err := ParseDuration(d.String()); err != nil || again != d || d < 0 {
				t.Errorf("%q is %d is %q is %d, %v", s, d, d, again, err)
			}
		}
		if n, err := ParseSize(s); err == nil {
			if again, err := ParseSize(n.String()); err != nil || again != n || n < 0 {
				t.Errorf("%q is %d is %q is %d, %v", s, n, n, again, err)
			}
		}
	})
}
