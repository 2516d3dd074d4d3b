# Both lose their power at once and boot together, by themselves: with the domU at home one starts it; with it away only its host does
# shellcheck shell=bash disable=SC2154
started_at_home
boots_by_itself a b
loses_power a b
boots_alone a b
one_starts_it
lives_again "$runs"
decides "$(other "$runs")" ignored
options_shut
beats_go_on "$runs"
say "--- away"
away=$(other "$runs")
# Its home is where it is now, and only there.
for host in a b; do quietly $host 'rm -f /etc/xen/migrate-tab.txt'; done
listed "$runs"
on "$runs" 'xen-migrate migrate web'
gives 0 "web runs on dom0-$away."
expect_runs_on "$away"
loses_power a b
boots_alone a b
one_starts_it
[ "$runs" = "$away" ] || fail "dom0-$runs has started it, and it was away on dom0-$away"
lives_again "$runs"
decides "$(other "$runs")" migrated
options_shut
record_is "$(other "$away")" "away dom0-$away"
record_is "$away" "visiting dom0-$(other "$away")"
beats_go_on "$runs"
