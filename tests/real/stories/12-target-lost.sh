# The target loses its power in mid-transfer, and comes back
# shellcheck shell=bash disable=SC2154
new_domu a
tool_starts a 'xen-migrate migrate web'
mid_transfer a
"$here/down" b
say "(dom0-b has no power)"
tool_ends
[ "$rc" = 1 ] || [ "$rc" = 5 ] || fail "exit $rc instead of 1 or 5"
gives "$rc" "web runs on dom0-a"
on a 'xen-migrate status'
"$here/up" b 9>&- || fail "dom0-b does not come back"
# Its file forbids two Primaries and dom0-a still allows them, so DRBD does not connect by itself: that is what recover is for.
on b 'drbdadm up r0'
gives 0
watch_beats b
on a 'xen-migrate recover'
gives 0
on b 'xen-migrate recover'
gives 0
expect_runs_on a
options_shut
record_is a none
record_is b none
beats_go_on a
# Ended as an operator would; a disk that a lost peer holds on to would be seen here.
on a 'xl destroy web; sleep 2; xl list | tail -n +3'
[ -z "$out" ] || fail "it cannot be ended: dom0-a needs a reboot"
