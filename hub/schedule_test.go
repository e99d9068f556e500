package hub

import (
	"testing"
	"time"

	"github.com/livefn/livefn/internal/fault"
)

// Twice a year a day has 23 or 25 hours, and jobs of the night run twice or never if nobody looks.
func TestSchedulesKeepTheirTimesWhenClocksChange(t *testing.T) {
	for _, c := range []struct {
		spec, zone, from string
		want             []string
	}{
		{"30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", []string{"2026-03-29T03:30:00+02:00", "2026-03-30T02:30:00+02:00"}},
		{"30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", []string{"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"}},
		{"0 2,3 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", []string{"2026-10-25T02:00:00+02:00", "2026-10-25T03:00:00+01:00", "2026-10-26T02:00:00+01:00"}},
		{"*/30 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", []string{"2026-10-25T02:30:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T02:30:00+01:00", "2026-10-25T03:00:00+01:00"}},
		{"*/30 * * * *", "Europe/Berlin", "2026-03-29T00:10:00Z", []string{"2026-03-29T01:30:00+01:00", "2026-03-29T03:00:00+02:00"}},
		{"30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", []string{"2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"}},
		{"30 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", []string{"2026-03-08T03:30:00-04:00", "2026-03-09T02:30:00-04:00"}},
		{"15 2 * * *", "Australia/Lord_Howe", "2026-10-03T10:00:00Z", []string{"2026-10-04T02:45:00+11:00", "2026-10-05T02:15:00+11:00"}}, // half an hour
		{"45 1 * * *", "Australia/Lord_Howe", "2026-04-03T20:00:00Z", []string{"2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"}},
		{"@daily", "Europe/Berlin", "2026-10-24T12:00:00Z", []string{"2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"}},
		{"@every 90s", "", "2026-01-01T00:00:00Z", []string{"2026-01-01T00:01:30Z", "2026-01-01T00:03:00Z"}},
		{"*/20 * * * * *", "", "2026-01-01T00:00:00Z", []string{"2026-01-01T00:00:20Z", "2026-01-01T00:00:40Z", "2026-01-01T00:01:00Z"}},
		{"0 0 13 * FRI", "", "2026-03-01T00:00:00Z", []string{"2026-03-06T00:00:00Z", "2026-03-13T00:00:00Z", "2026-03-20T00:00:00Z"}},
	} {
		s, err := parseSchedule(c.spec, c.zone)
		if err != nil {
			t.Errorf("%s in %s: %v", c.spec, c.zone, err)
			continue
		}
		at, err := time.Parse(time.RFC3339, c.from)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range c.want {
			at = s.after(at)
			if got := at.In(s.zone).Format(time.RFC3339); got != want {
				t.Errorf("%s in %s: %s, want %s", c.spec, c.zone, got, want)
			}
		}
	}
}

func TestWhatIsNoScheduleIsRefused(t *testing.T) {
	for _, c := range [][2]string{
		{"", ""}, {"61 * * * *", ""}, {"* * *", ""}, {"@every 5ms", ""}, {"@sometimes", ""}, {"0 0 30 2 *", ""},
		{"* * * * *", "Nowhere/Town"}, {"* * * * *", "Local"}, {"CRON_TZ=Europe/Berlin * * * * *", ""}, {"TZ= * * * * *", ""},
	} {
		if _, err := parseSchedule(c[0], c[1]); !fault.Is(err, fault.InvalidRequest) {
			t.Errorf("%q in %q: %v", c[0], c[1], err)
		}
	}
}
