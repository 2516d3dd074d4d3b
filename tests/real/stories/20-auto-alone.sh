# xen-drbd-auto: with the link cut both wait; when it is back, one starts it, and there is no split brain
# shellcheck shell=bash disable=SC2154
config 'drbd:r0,xvda,w'
born=yes
for host in a b; do
	quietly "$host" 'mkdir -p /etc/xen/drbd-auto; cp /etc/xen/web.cfg /etc/xen/drbd-auto/web.cfg'
	[ "$rc" = 0 ] || fail "the config on dom0-$host: $out"
done
quietly b 'ip link set eth1 down'
say "at once, while DRBD still shows a connection that is gone"
on a 'xen-drbd-auto start'
gives 0 wait
on b 'xen-drbd-auto start'
gives 0 wait
until_on a '! drbdadm cstate r0 | grep -q "^Connected"' || fail "DRBD does not notice"
for host in a b; do
	on "$host" 'xen-drbd-auto status'
	gives 0 "daemon waits"
	[ -z "$(copies "$host")" ] || fail "dom0-$host runs it"
done
quietly b 'ip link set eth1 up'
until_on a 'drbdadm cstate r0 | grep -q "^Connected"' || fail "DRBD does not connect: a split brain?"
say "the event wakes whoever waits"
for try in $(seq 1 60); do
	runs=
	for host in a b; do [ -z "$(copies "$host")" ] || runs="$runs$host"; done
	[ -z "$runs" ] || break
	sleep 3
done
[ ${#runs} = 1 ] || fail "it runs on: ${runs:-none} (try $try)"
until_on "$runs" 'grep -aq "^beat 2" /var/log/xen/console/guest-web.log' || fail "it does not count on dom0-$runs"
expect_runs_on "$runs"
until_on "$(other "$runs")" 'xen-drbd-auto status | grep -q ignored' || fail "the other one does not leave it alone"
on "$runs" 'xen-drbd-auto explain web'
gives 0 started
options_shut
no_guard
beats_go_on "$runs"
