# xen-drbd-auto: both Dom0s start it in the same second; one does, and the other leaves it alone; and with the link cut neither does
# shellcheck shell=bash disable=SC2154
config 'drbd:r0,xvda,w'
born=yes
for host in a b; do
	quietly "$host" 'mkdir -p /etc/xen/drbd-auto; cp /etc/xen/web.cfg /etc/xen/drbd-auto/web.cfg'
	[ "$rc" = 0 ] || fail "the config on dom0-$host: $out"
done
say "both at once"
quietly b 'rm -f /root/auto.rc; setsid -f sh -c "xen-drbd-auto start >/root/auto.out 2>&1; echo \$? >/root/auto.rc" </dev/null >/dev/null 2>&1'
on a 'xen-drbd-auto start'
gives 0
until_on b '[ -s /root/auto.rc ]' || fail "start on dom0-b does not end"
on b 'cat /root/auto.out; exit $(cat /root/auto.rc)'
gives 0
until_on a 'xl domid web >/dev/null 2>&1 || { xen-drbd-auto status | grep -q ignored; }' || fail "dom0-a neither runs it nor leaves it alone"
runs=
for host in a b; do [ -z "$(copies "$host")" ] || runs="$runs$host"; done
[ ${#runs} = 1 ] || fail "it runs on: ${runs:-none}"
until_on "$runs" 'grep -aq "^beat 2" /var/log/xen/console/guest-web.log' || fail "it does not count on dom0-$runs"
expect_runs_on "$runs"
options_shut
no_guard
idle=$(other "$runs")
on "$idle" 'xen-drbd-auto reload; xen-drbd-auto status'
gives 0 ignored
on "$runs" 'xen-drbd-auto status'
gives 0 started "daemon gone"
say "a second start changes nothing"
on "$runs" 'xen-drbd-auto start'
gives 0 exists
beats_go_on "$runs"
