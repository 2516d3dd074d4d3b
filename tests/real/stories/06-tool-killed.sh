# kill -9 of the program in mid-transfer: its xl goes on alone, and recover settles it
# shellcheck shell=bash disable=SC2154
new_domu a
tool_starts a 'xen-migrate migrate web'
mid_transfer a
quietly a 'pkill -9 -x xen-migrate'
tool_ends
[ "$rc" = 137 ] || fail "it was not killed"
on a 'xen-migrate status'
gives 0
on a 'xen-migrate migrate web'
gives 3
until_on a '! pgrep -f "^/usr/lib/xen-[0-9.]*/bin/xl .*migrate " >/dev/null' || fail "xl does not end"
on a 'xen-migrate recover'
gives 0 "web runs on dom0-b."
expect_runs_on b
options_shut
record_is a "away dom0-b"
on b 'xen-migrate recover'
gives 0
beats_go_on b
