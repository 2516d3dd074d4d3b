# The permission arrives and the answer is lost: it runs there, whatever xl says
# shellcheck shell=bash disable=SC2154
new_domu a
quietly a 'mkdir -p /root/pump.d; cp /root/pump /root/pump.d/ssh; echo answer-lost >/run/pump'
tool_starts a 'PATH=/root/pump.d:$PATH xen-migrate migrate web'
tool_ends
pump_has_cut a
if [ "$rc" = 5 ]; then
	on a 'xen-migrate recover'
fi
gives 0 "web runs on dom0-b"
expect_runs_on b
options_shut
record_is a "away dom0-b"
beats_go_on b
