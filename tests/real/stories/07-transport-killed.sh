# The ssh that carries the memory is killed in mid-transfer: it stays at home
# shellcheck shell=bash disable=SC2154
new_domu a
tool_starts a 'xen-migrate migrate web'
mid_transfer a
quietly a 'pkill -x ssh'
tool_ends
gives 1 "web runs on dom0-a"
expect_runs_on a
options_shut
record_is a none
record_is b none
for host in a b; do
	on $host 'xen-migrate recover'
	gives 0
done
beats_go_on a
