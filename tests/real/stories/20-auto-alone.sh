# xen-drbd-auto: the link is cut and both start it while DRBD still shows a connection: none does; when it is back, one does, and there is no split brain
# shellcheck shell=bash disable=SC2154
for_auto
for allowed in yes no; do
	say "--- two Primaries in the file: $allowed"
	file_says $allowed
	quietly b 'ip link set eth1 down'
	together 'a b' 0 'grep "^ 0:" /proc/drbd; xen-drbd-auto start'
	told_together 'a b' 'grep "^ 0:" /proc/drbd; xen-drbd-auto start'
	for host in a b; do
		[ "${rcs[$host]}" = 0 ] || fail "exit ${rcs[$host]} on dom0-$host"
		[[ ${outs[$host]} == *"cs:Connected ro:Secondary/Secondary"* ]] || fail "dom0-$host knew of the cut already: nothing was shown"
	done
	until_on a '! drbdadm cstate r0 | grep -q "^Connected"' || fail "DRBD does not notice"
	for host in a b; do
		on "$host" 'xen-drbd-auto status'
		gives 0 "daemon waits"
		idle "$host"
	done
	link b up
	say "the event wakes whoever waits"
	one_starts_it
	decides "$(other "$runs")" ignored
	on "$runs" 'xen-drbd-auto explain web'
	gives 0 started
	no_guard
	if [ $allowed = yes ]; then
		two_primaries allowed
		counts_on "$runs"
		together 'a b' 0 'xen-drbd-auto stop'
		on "$runs" 'xl destroy web'
		until_on "$runs" 'grep -q "^ 0: cs:Connected ro:Secondary/Secondary" /proc/drbd' || fail "r0 stays Primary"
	fi
done
lives=2
options_shut
beats_go_on "$runs"
