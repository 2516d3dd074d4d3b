# SIGINT in mid-transfer: it stops while that is safe, and it stays at home
# shellcheck shell=bash disable=SC2154
new_domu a
tool_starts a 'xen-migrate migrate web'
mid_transfer a
quietly a 'pkill -INT -x xen-migrate'
tool_ends
gives 1 "stopped as asked" "web runs on dom0-a"
expect_runs_on a
options_shut
record_is a none
record_is b none
beats_go_on a
on a 'xen-migrate migrate web'
gives 0 "web runs on dom0-b."
expect_runs_on b
beats_go_on b
