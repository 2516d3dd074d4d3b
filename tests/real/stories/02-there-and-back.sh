# drbd: disk, the file forbids two Primaries: migrate, status, reverse; the window is open only meanwhile
# shellcheck shell=bash disable=SC2154
new_domu a
on a 'xen-migrate status ALL'
gives 0 "web dom0-a running"
tool_starts a 'xen-migrate migrate web'
mid_transfer a
two_primaries allowed
tool_ends
gives 0 "web runs on dom0-b."
expect_runs_on b
options_shut
record_is a "away dom0-b"
record_is b "visiting dom0-a"
beats_go_on b
on a 'xen-migrate status ALL'
gives 0 "web dom0-b away"
on b 'xen-migrate status ALL'
gives 0 "web dom0-b running"
on a 'xen-migrate migrate web'
gives 0 "web runs on dom0-b already."
on a 'xen-migrate reverse web'
gives 0 "web runs on dom0-a."
expect_runs_on a
options_shut
record_is a none
record_is b none
beats_go_on a
on a 'xen-migrate reverse web'
gives 0 "web runs on dom0-a already."
on a 'xen-migrate recover'
gives 0 "Nothing is in flight"
