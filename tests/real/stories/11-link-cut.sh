# The link is cut for half a minute in mid-transfer
# shellcheck shell=bash disable=SC2154
new_domu a
tool_starts a 'xen-migrate migrate web'
mid_transfer a
quietly b '(ip link set eth1 down; sleep 30; ip link set eth1 up) </dev/null >/dev/null 2>&1 &'
tool_ends
[ "$rc" = 1 ] || [ "$rc" = 5 ] || fail "exit $rc instead of 1 or 5"
until_on b 'ip -br link show eth1 | grep -q " UP "' || fail "the link does not come back"
on a 'xen-migrate recover'
gives 0
on b 'xen-migrate recover'
gives 0
expect_runs_on a
options_shut
record_is a none
record_is b none
beats_go_on a
