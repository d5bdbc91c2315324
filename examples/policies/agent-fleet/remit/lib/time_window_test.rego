package remit.lib.time_window_test

import data.remit.lib.time_window

weekdays := {"days": ["Monday", "Tuesday"], "from": "08:00", "to": "18:30", "time_zone": "Europe/Berlin"}

at(text) := time.parse_rfc3339_ns(text)

test_within_the_hours if {
	time_window.is_open(weekdays, at("2026-11-23T09:05:00Z"))
}

test_the_beginning_belongs_to_the_hours if {
	time_window.is_open(weekdays, at("2026-11-23T07:00:00Z"))
	not time_window.is_open(weekdays, at("2026-11-23T06:59:59Z"))
}

test_the_end_does_not if {
	time_window.is_open(weekdays, at("2026-11-23T17:29:59Z"))
	not time_window.is_open(weekdays, at("2026-11-23T17:30:00Z"))
}

test_other_days_are_closed if {
	not time_window.is_open(weekdays, at("2026-11-25T09:00:00Z"))
}

test_the_day_is_the_day_of_the_time_zone if {
	late := {"days": ["Tuesday"], "from": "00:00", "to": "01:00", "time_zone": "Europe/Berlin"}

	time_window.is_open(late, at("2026-11-23T23:30:00Z"))
}

test_summer_time_moves_the_hours if {
	time_window.is_open(weekdays, at("2026-07-06T06:00:00Z"))
	not time_window.is_open(weekdays, at("2026-07-06T16:30:00Z"))
}

test_two_digits if {
	time_window.two_digits(0) == "00"
	time_window.two_digits(9) == "09"
	time_window.two_digits(10) == "10"
	time_window.two_digits(59) == "59"
}
