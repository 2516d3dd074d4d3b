# The file allows two Primaries for good: they stay allowed, and a domU is passed from table to table
# shellcheck shell=bash disable=SC2154
file_says yes
listed b
new_domu a
on a 'xen-migrate migrate web'
gives 0 "web runs on dom0-b."
expect_runs_on b
two_primaries allowed
no_guard
# Here the other Dom0 sends it, by its own table.
on b 'xen-migrate migrate web'
gives 0 "web runs on dom0-a."
expect_runs_on a
two_primaries allowed
no_guard
beats_go_on a
