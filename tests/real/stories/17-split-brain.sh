# Split-brain made on purpose: nothing moves, status says why on both sides, and once it is joined again all goes on
# shellcheck shell=bash disable=SC2154
new_domu a
on b 'drbdadm disconnect r0; drbdadm primary r0 && echo other history | dd of=/dev/drbd0 bs=512 seek=100000 conv=notrunc,fsync,sync 2>/dev/null; drbdadm secondary r0'
gives 0
# The domU writes meanwhile: two histories.
beats_go_on a
# dom0-a waits for its peer already. A connect there as well would meet the handshake before or after its end, and afterwards only dom0-a waits again.
on b 'drbdadm connect r0'
gives 0
until_on a 'dmesg | grep -q "Split-Brain detected"' || fail "DRBD has found no split brain"
for host in a b; do until_on $host 'drbdadm cstate r0 | grep -q StandAlone' || fail "DRBD on dom0-$host is not StandAlone"; done
on a 'drbdadm cstate r0; drbdadm role r0; drbdadm dstate r0'
on b 'drbdadm cstate r0; drbdadm role r0; drbdadm dstate r0'
on a 'xen-migrate status ALL'
gives 0 r0
grep -qi 'split' <<<"$out" || fail "status does not speak of a split brain"
on b 'xen-migrate status ALL'
gives 0
on a 'xen-migrate migrate web'
gives 3 "nothing was touched" r0
on a 'xen-migrate reverse web'
gives 0 "web runs on dom0-a already."
on a 'xen-migrate recover'
gives 1 "on dom0-b: drbdadm secondary r0; drbdadm connect --discard-my-data r0" "on dom0-a: drbdadm connect r0"
expect_one_copy a
say "the other history is thrown away, as the operator decides, with these commands"
on b 'drbdadm secondary r0; drbdadm connect --discard-my-data r0'
gives 0
on a 'drbdadm connect r0'
gives 0
roles a
on a 'xen-migrate migrate web'
gives 0 "web runs on dom0-b."
expect_runs_on b
options_shut
beats_go_on b
