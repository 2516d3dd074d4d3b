# Two disks (drbd: and script=block-drbd), there and back
# shellcheck shell=bash disable=SC2154
new_domu a drbd two
there_and_back
and_so_on
