# Two domUs: migrate ALL empties dom0-a and reverse ALL brings both back; killed in the middle and run again it completes the job
# shellcheck shell=bash disable=SC2154
domus='web mail'
each new_domu a
# Each has its own resource, and both are at home on dom0-a.
listed a
each expect_runs_on a
on a 'xen-migrate check'
gives 0 "web -> dom0-b could go there now" "mail -> dom0-b could go there now"

both_are_on() { # a|b
	each expect_runs_on "$1"
	each options_shut
	case $1 in
	a)
		each record_is a none
		each record_is b none
		;;
	b)
		each record_is a "away dom0-b"
		each record_is b "visiting dom0-a"
		;;
	esac
	each beats_go_on "$1"
}

say "--- the plan"
on a 'xen-migrate migrate ALL --dry-run'
gives 0 "The plan, for 2 domUs, one after the other:" "Nothing was touched"
both_are_on a

say "--- there"
tool_starts a 'xen-migrate migrate ALL'
mid_transfer a
tool_ends
gives 0 "[2/2]" "All 2 domUs went from dom0-a."
both_are_on b
for host in a b; do
	on $host 'xen-migrate status ALL'
	gives 0
	in_time $host 'xen-migrate status ALL --fleet'
	gives 0 "web dom0-b running" "mail dom0-b running"
done
on a 'xen-migrate where mail'
gives 0 "mail is running on dom0-b"
on a 'xen-migrate migrate ALL'
gives 0 "web is away on dom0-b already" "There was nothing to move."

say "--- and back"
tool_starts a 'xen-migrate reverse ALL'
tool_ends
gives 0 "All 2 domUs came back to dom0-a."
both_are_on a

say "--- killed in the middle: what was in flight goes on alone, and nothing else is begun"
tool_starts a 'xen-migrate migrate ALL'
mid_transfer a
# The one that was typed, and those that it has started under the executable's own name.
quietly a 'pkill -9 -x xen-migrate; pkill -9 -x xen-drbd'
tool_ends
[ "$rc" = 137 ] || fail "it was not killed: exit $rc"
on a 'xen-migrate status'
gives 0
until_on a '! pgrep -f "^/usr/lib/xen-[0-9.]*/bin/xl .*migrate " >/dev/null' || fail "xl does not end"
about mail
expect_one_copy a
about web

say "--- run again, it completes the job"
on a 'xen-migrate migrate ALL'
gives 0 "mail runs on dom0-b." "went from dom0-a."
both_are_on b
tool_starts a 'xen-migrate reverse ALL'
tool_ends
gives 0 "All 2 domUs came back to dom0-a."
both_are_on a
