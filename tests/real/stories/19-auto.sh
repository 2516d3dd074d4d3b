# xen-drbd-auto: both Dom0s start it in the same second, twenty times, with two Primaries allowed for good: one does, and the other leaves it alone
# shellcheck shell=bash disable=SC2154
for_auto
seen='xl list | tail -n +3 | sed "s/^/domain /"; ls /var/log/xen/console/guest-web.log /var/log/xen/xl-web.log 2>/dev/null
	grep "^ 0:" /proc/drbd; drbdsetup show r0 | grep -E "allow-two|fencing"; xen-drbd-auto status'
forget='rm -rf /run/xen-drbd-auto /var/log/xen/console/guest-* /var/log/xen/xl-web.log*'

# Both at once: one after the other by no, a little and a little more time, each first in turn. Leaves the winner in $runs.
claim_at_once() { # round yes|no
	local order='a b' late try idle
	[ $(($1 % 2)) = 1 ] || order='b a'
	late=$(printf '%s\n' 0 0.2 0.5 1 2 | sed -n "$((($1 - 1) / 2 % 5 + 1))p")
	together "$order" "$late" 'xen-drbd-auto start'
	told_together "$order" "xen-drbd-auto start  (the second one $late s later)"
	for host in a b; do [ "${rcs[$host]}" = 0 ] || fail "exit ${rcs[$host]} on dom0-$host"; done
	for try in $(seq 1 $((REAL_PATIENCE / 3))); do
		together 'a b' 0 "$seen"
		runs=
		for host in a b; do
			if grep -q '^domain ' <<<"${outs[$host]}"; then runs=$runs$host; fi
		done
		[ ${#runs} != 2 ] || fail "IT RUNS ON BOTH: ${outs[a]} ${outs[b]}"
		[ -n "$runs" ] || continue
		idle=$(other "$runs")
		# The daemon of the one that came too late may be at its own look.
		if settled "$runs" "cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate" "$2" && settled "$idle" "cs:Connected ro:Secondary/Primary ds:UpToDate/UpToDate" "$2" &&
			grep -q '^web *started' <<<"${outs[$runs]}" && grep -q '^web *ignored' <<<"${outs[$idle]}"; then break; fi
		[ "$try" -lt $((REAL_PATIENCE / 3)) ] || fail "it does not settle: ${outs[a]} ${outs[b]}"
	done
	! grep -q 'web.log' <<<"${outs[$idle]}" || fail "it was created on dom0-$idle as well: ${outs[$idle]}"
	say "round $1: it runs on dom0-$runs alone, seen at look $try, and was never created on dom0-$idle"
	echo "won-$runs 1" >>"$figures"
}

# DRBD stands so, and has the options of the file again. What is as DRBD has it by itself (no) it does not show.
settled() { # a|b words yes|no
	local now=no
	! grep -q 'allow-two-primaries[[:space:]]*yes' <<<"${outs[$1]}" || now=yes
	grep -qF "$2" <<<"${outs[$1]}" && [ $now = "$3" ] && ! grep -q fencing <<<"${outs[$1]}"
}

# Nobody waits any more, and nobody runs it.
ended() {
	together 'a b' 0 'xen-drbd-auto stop'
	together 'a b' 0 "for d in \$(xl list | awk 'NR>2{print \$2}'); do xl destroy \$d; done
		for _ in \$(seq $REAL_PATIENCE); do drbdadm secondary r0 2>/dev/null && break; sleep 0.5; done; $forget"
	until_on a 'grep -q "^ 0: cs:Connected ro:Secondary/Secondary" /proc/drbd' || fail "nobody is Secondary"
}

together 'a b' 0 "$forget"
file_says yes
for round in $(seq "$REAL_CLAIMS"); do
	claim_at_once "$round" yes
	ended
done
say "--- two Primaries are forbidden by the file, and the domU is looked at"
file_says no
claim_at_once 1 no
until_on "$runs" 'grep -aq "^beat" /var/log/xen/console/guest-web.log' || fail "it does not count on dom0-$runs"
expect_runs_on "$runs"
options_shut
idle=$(other "$runs")
on "$idle" 'xen-drbd-auto reload; xen-drbd-auto status'
gives 0 ignored
on "$idle" 'xen-drbd-auto force-start web --reason "a word too much"'
gives 3 "nothing was touched"
on "$runs" 'xen-drbd-auto status'
gives 0 started "daemon gone"
say "a second start changes nothing"
on "$runs" 'xen-drbd-auto start'
gives 0 exists
# Only its last life is left in the logs.
lives=2
beats_go_on "$runs"
