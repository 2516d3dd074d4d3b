# drbd: disk, the file forbids two Primaries: status, setup, ping, migrate, status, reverse; the window is open only meanwhile
# shellcheck shell=bash disable=SC2154
new_domu a
there_and_back
on a 'xen-migrate reverse web'
gives 0 "web runs on dom0-a already."
on a 'xen-migrate recover'
gives 0 "Nothing is in flight"
and_so_on
