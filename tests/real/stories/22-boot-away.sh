# The home loses its power while the domU is away, then the host where it is: each is booted, nothing is started twice, and reverse brings it home
# shellcheck shell=bash disable=SC2154
new_domu a
for_auto
on a 'xen-migrate migrate web'
gives 0 "web runs on dom0-b."
loses_power a
counts_on b
boots a
[[ ${outs[a]} == *"web: migrated"* ]] || fail "dom0-a does not decide: migrated"
idle a
expect_runs_on b
record_is a "away dom0-b"
record_is b "visiting dom0-a"
beats_go_on b
say "--- the other one"
loses_power b
on a 'xen-drbd-auto start'
gives 0 "web: migrated"
idle a
on a 'xen-migrate status ALL'
boots b
one_starts_it
[ "$runs" = b ] || fail "dom0-a has started it, and its record says away"
lives_again b
idle a
options_shut
record_is a "away dom0-b"
record_is b "visiting dom0-a"
on a 'xen-migrate reverse web'
gives 0 "web runs on dom0-a."
expect_runs_on a
options_shut
record_is a none
record_is b none
beats_go_on a
