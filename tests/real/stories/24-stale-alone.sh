# The Dom0 with the old data boots alone: it waits, whoever asks, until the other one is back, and what was written meanwhile is there
# shellcheck shell=bash disable=SC2154
started_at_home
loses_power b
counts_on a
loses_power a
boots b
decides b wait
on b 'drbdadm dstate r0; drbdadm role r0'
for verb in start reload restart; do
	on b "xen-drbd-auto $verb"
	gives 0
	decides b wait
	idle b
done
boots a
one_starts_it
lives_again "$runs"
decides "$(other "$runs")" ignored
options_shut
beats_go_on "$runs"
