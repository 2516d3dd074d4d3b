# kill -9 of xl migrate while the sender is suspended: nobody else would wake it
# shellcheck shell=bash disable=SC2154
new_domu a
tool_starts a 'xen-migrate migrate web'
sender_suspended a
quietly a 'pkill -9 -f "^/usr/lib/xen-[0-9.]*/bin/xl .*migrate "'
tool_ends
# Where it goes on depends on what had been said by then; that it goes on, and once, does not.
if [ "$rc" = 5 ]; then
	on a 'xen-migrate recover'
fi
at=a
grep -q 'web runs on dom0-b' <<<"$out" && at=b
expect_runs_on $at
options_shut
beats_go_on $at
