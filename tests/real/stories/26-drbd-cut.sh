# DRBD alone is cut in mid-transfer, at first silently and then by drbdadm disconnect; ssh goes on: the domU goes on at home, and recover joins it again
# shellcheck shell=bash disable=SC2154
new_domu a
for how in silently drbdadm; do
	say "--- $how"
	tool_starts a 'xen-migrate migrate web'
	mid_transfer a
	if [ $how = silently ]; then
		for host in a b; do
			quietly $host 'tc qdisc add dev xenbr0 root handle 1: prio && for way in dport sport; do
				tc filter add dev xenbr0 parent 1: protocol ip u32 match ip $way 7788 0xffff action drop || exit 1; done'
			[ "$rc" = 0 ] || fail "DRBD's packets are not dropped: $out"
		done
	else
		on a 'drbdadm disconnect r0'
		gives 0
	fi
	tool_ends
	gives 1 "the replication of r0 is lost" "web runs on dom0-a."
	expect_one_copy a
	counts_on a
	if [ $how = silently ]; then
		quietly a 'grep "^ 0:" /proc/drbd'
		[[ $out != *cs:Connected* ]] || fail "DRBD was never cut"
		for host in a b; do quietly $host 'tc qdisc del dev xenbr0 root'; done
		on a 'xen-migrate status ALL'
		gives 0 "xen-migrate recover web"
		until_on a '[ "$(drbdadm cstate r0)" = Connected ]' || fail "r0 does not join again"
	fi
	on a 'xen-migrate recover'
	gives 0
	on b 'xen-migrate recover'
	gives 0
	expect_runs_on a
	options_shut
	record_is a none
	record_is b none
	beats_go_on a
done
on a 'xen-migrate migrate web'
gives 0 "web runs on dom0-b."
expect_runs_on b
options_shut
beats_go_on b
