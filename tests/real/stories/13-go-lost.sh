# xl's permission to start is lost: both copies are complete, neither may run, and recover finds the one that goes on
# shellcheck shell=bash disable=SC2154
new_domu a
quietly a 'mkdir -p /root/pump.d; cp /root/pump /root/pump.d/ssh; echo go-lost >/run/pump'
tool_starts a 'PATH=/root/pump.d:$PATH xen-migrate migrate web'
tool_ends
pump_has_cut a
at=a
grep -q 'web runs on dom0-b' <<<"$out" && at=b
if [ "$rc" = 5 ]; then
	on a 'xen-migrate recover'
	gives 0
	at=a
	grep -q 'web runs on dom0-b' <<<"$out" && at=b
fi
expect_runs_on $at
options_shut
beats_go_on $at
