# Two phy: disks, there and back
# shellcheck shell=bash disable=SC2154
new_domu a phy two
there_and_back
and_so_on
