# phy: disk, there and back: nobody promotes it but the program
# shellcheck shell=bash disable=SC2154
new_domu a phy
there_and_back
and_so_on
