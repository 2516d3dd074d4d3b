# Split-brain made on purpose: nothing moves, status says why on both sides, and once it is joined again all goes on
# shellcheck shell=bash disable=SC2154
new_domu a
on b 'drbdadm disconnect r0; drbdadm primary r0 && echo other history | dd of=/dev/drbd0 bs=512 seek=100000 conv=notrunc,fsync,sync 2>/dev/null; drbdadm secondary r0'
gives 0
# The domU writes meanwhile: two histories.
beats_go_on a
on b 'drbdadm connect r0'
on a 'drbdadm connect r0'
until_on a 'dmesg | grep -q "Split-Brain detected"' || fail "DRBD has found no split brain"
until_on b '[ "$(drbdadm cstate r0)" != Connected ] && ! drbdadm cstate r0 | grep -q WFReport' || fail "DRBD is connected"
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
gives 0
expect_one_copy a
say "the other history is thrown away, as the operator decides"
quietly b 'drbdadm disconnect r0; drbdadm connect --discard-my-data r0'
quietly a 'drbdadm cstate r0 | grep -q StandAlone && drbdadm connect r0'
roles a
on a 'xen-migrate migrate web'
gives 0 "web runs on dom0-b."
expect_runs_on b
options_shut
beats_go_on b
