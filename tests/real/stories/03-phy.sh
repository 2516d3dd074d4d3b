# phy: disk: nobody promotes it but the program
# shellcheck shell=bash disable=SC2154
new_domu a phy
on a 'xen-migrate migrate web'
gives 0 "web runs on dom0-b."
expect_runs_on b
options_shut
beats_go_on b
on a 'xen-migrate reverse web'
gives 0 "web runs on dom0-a."
expect_runs_on a
options_shut
record_is a none
record_is b none
beats_go_on a
