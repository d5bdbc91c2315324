# METADATA
# scope: package
# description: Weekly hours, such as working days from 08:00 to 18:00 in one time zone.
package remit.lib.time_window

# METADATA
# description: >-
#   Says whether a moment (nanoseconds since 1970) falls within hours: {"days": ["Monday"], "from": "08:00", "to": "18:00",
#   "time_zone": "Europe/Berlin"}. The beginning belongs to them, the end does not.
is_open(hours, moment) if {
	time.weekday([moment, hours.time_zone]) in hours.days
	[hour, minute, _] := time.clock([moment, hours.time_zone])
	clock := sprintf("%s:%s", [two_digits(hour), two_digits(minute)])
	hours.from <= clock
	clock < hours.to
}

# METADATA
# description: A number from 0 to 59 as two digits.
two_digits(number) := format_int(number, 10) if number >= 10

two_digits(number) := sprintf("0%s", [format_int(number, 10)]) if number < 10
