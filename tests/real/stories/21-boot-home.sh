# dom0-a loses its power with the domU at home: dom0-b waits; after the boot one of them starts it, once
# shellcheck shell=bash disable=SC2154
started_at_home
loses_power a
decides b wait
idle b
on b 'xen-drbd-auto reload'
decides b wait
idle b
boots a
one_starts_it
lives_again "$runs"
decides "$(other "$runs")" ignored
options_shut
beats_go_on "$runs"
