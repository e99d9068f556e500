package hub

import (
	"strings"
	"time"
	_ "time/tzdata" // time zones, wherever the hub runs

	"github.com/netresearch/go-cron"

	"github.com/livefn/livefn/internal/fault"
)

// schedule says when a trigger runs: cron with five fields, or six with seconds before them; @daily and
// its like; @every 90s. Of days of the month and of the week, where both are given, either will do, as
// cron has it.
//
// Where clocks go forward, a time that there is not is run when they have: at 03:30 in place of 02:30.
// Where they go back, a time that comes twice is run once, the first time; except by schedules of every
// hour, which go on through both (as Vixie cron does).
type schedule struct {
	next  cron.Schedule // in its zone; of one that names hours, in UTC
	zone  *time.Location
	fixed bool // names hours of the day
}

// crons reads what users write. (go-cron is the maintained fork of robfig/cron.)
var crons = cron.MustNewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor | cron.DowOrDom)

// parseSchedule reads a schedule in a time zone (IANA name; "": UTC).
func parseSchedule(spec, timezone string) (*schedule, error) {
	spec = strings.TrimSpace(spec)
	if strings.Contains(spec, "TZ=") {
		return nil, fault.New(fault.InvalidRequest, "schedule: name the time zone in timezone.")
	}
	if timezone == "" {
		timezone = "UTC"
	}
	zone, err := time.LoadLocation(timezone)
	if err != nil || timezone == "Local" {
		return nil, fault.New(fault.InvalidRequest, "timezone: %q is not a time zone like Europe/Berlin.", timezone)
	}
	fixed := namesHours(spec)
	in := timezone
	if fixed {
		in = "UTC"
	}
	parsed, err := crons.Parse("CRON_TZ=" + in + " " + spec)
	if err != nil {
		return nil, fault.New(fault.InvalidRequest, "schedule: %v; it is cron with five or six fields, @daily, or @every 90s.", err)
	}
	s := &schedule{next: parsed, zone: zone, fixed: fixed}
	if s.after(time.Now()).IsZero() {
		return nil, fault.New(fault.InvalidRequest, "schedule: there is no such time.")
	}
	return s, nil
}

// namesHours reports whether a schedule is of certain hours rather than of each.
func namesHours(spec string) bool {
	if strings.HasPrefix(spec, "@") {
		return spec != "@hourly" && !strings.HasPrefix(spec, "@every")
	}
	fields := strings.Fields(spec)
	return len(fields) >= 5 && !strings.HasPrefix(fields[len(fields)-4], "*")
}

// after gives the first time after t; the zero time if there is none.
func (s *schedule) after(t time.Time) time.Time {
	if !s.fixed {
		return s.next.Next(t)
	}
	// What names hours is looked for on the clock's face, as if there were no zones.
	local := t.In(s.zone)
	face := time.Date(local.Year(), local.Month(), local.Day(), local.Hour(), local.Minute(), local.Second(), local.Nanosecond(), time.UTC)
	for {
		if face = s.next.Next(face); face.IsZero() {
			return face
		}
		if at := s.shown(face); at.After(t) {
			return at
		}
	}
}

// shown gives when clocks show a time for the first time; if they skip it, when they would have.
func (s *schedule) shown(face time.Time) time.Time {
	before, after := s.offset(face.Add(-24*time.Hour)), s.offset(face.Add(24*time.Hour))
	at := face.Add(-before) // the earlier one, if clocks are set back
	if s.offset(at) != before && s.offset(face.Add(-after)) == after {
		at = face.Add(-after)
	}
	return at
}

func (s *schedule) offset(t time.Time) time.Duration {
	_, seconds := t.In(s.zone).Zone()
	return time.Duration(seconds) * time.Second
}
