# The dedicated key, both ways: ping answers, and the key opens nothing else
# shellcheck shell=bash disable=SC2154
for host in a b; do
	there=dom0-$(other $host)
	on $host "xen-migrate ping $there"
	gives 0 "PING from dom0-$host" "PONG from $there" "Success."
	on $host "xen-migrate setup $there"
	gives 0 "in place on $there already" "Success."
	# No general ssh for root between the Dom0s, and no shell behind the key.
	on $host "ssh -o BatchMode=yes $there true"
	[ "$rc" = 255 ] || fail "root's own ssh opens $there"
	for words in "" id "xl list" "xen-migrate/1 ping; id" "sh -c id"; do
		on $host "ssh -o BatchMode=yes -i /root/.ssh/xen-migrate-dom0-$host $there '$words'"
		[ "$rc" != 0 ] || fail "the key does more than it should"
		grep -q 'uid=0\|Domain-0' <<<"$out" && fail "the key ran a command"
	done
done
on a 'xen-migrate status ALL'
gives 0
