# Both are booted one after the other while the link is down: each waits; when it is back, one starts it, from the newer data
# shellcheck shell=bash disable=SC2154
started_at_home
link a down
counts_on a
say "--- the one with the old data boots"
loses_power b
boots b
decides b wait
idle b
counts_on a
say "--- the one with the new data boots"
quietly b 'ip link set eth1 down'
loses_power a
boots a
decides a wait
idle a
on a 'xen-migrate status ALL'
on b 'xen-drbd-auto reload'
decides b wait
idle b
link b up
one_starts_it
lives_again "$runs"
decides "$(other "$runs")" ignored
on "$runs" 'xen-drbd-auto explain web'
gives 0 started
options_shut
beats_go_on "$runs"
