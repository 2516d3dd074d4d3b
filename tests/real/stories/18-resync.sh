# A resync is running: refused with the domU at home, and gone when it is over
# shellcheck shell=bash disable=SC2154
new_domu a
# 64 MiB at 100 KiB/s take longer than the story.
for host in a b; do
	on $host 'drbdadm disk-options --c-plan-ahead=0 --resync-rate=100K r0'
	gives 0
done
on b 'drbdadm invalidate r0'
gives 0
until_on a 'grep -q "^ 0: cs:SyncSource" /proc/drbd' || fail "no resync is running"
on a 'xen-migrate status ALL'
gives 0 "UpToDate/Inconsistent"
chapter refused
on a 'xen-migrate migrate web'
gives 3 "nothing was touched" r0
quietly a 'grep "^ 0:" /proc/drbd'
[[ "$out" == *cs:SyncSource* ]] || fail "the resync ended before the program was asked"
chapter there
on b 'xen-migrate status ALL'
gives 0
for host in a b; do quietly $host 'drbdadm adjust r0'; done
roles a
chapter after
on a 'xen-migrate migrate web --dry-run'
gives 0 "Nothing was touched"
expect_runs_on a
options_shut
record_is a none
record_is b none
beats_go_on a
