# kill -9 of xl migrate in mid-transfer: it stays at home
# shellcheck shell=bash disable=SC2154
new_domu a
tool_starts a 'xen-migrate migrate web'
mid_transfer a
quietly a 'pkill -9 -f "^/usr/lib/xen-[0-9.]*/bin/xl .*migrate "'
tool_ends
gives 1 "web runs on dom0-a"
expect_runs_on a
options_shut
record_is a none
record_is b none
beats_go_on a
