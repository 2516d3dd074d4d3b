# shellcheck shell=bash
# More words for stories: a Dom0 loses its power or is booted, and xen-drbd-auto decides. Sourced after story.sh.

# Both Dom0s have the domU among those that xen-drbd-auto starts, and nobody has started it.
for_auto() {
	local host
	config 'drbd:r0,xvda,w'
	born=yes
	for host in a b; do
		quietly "$host" 'mkdir -p /etc/xen/drbd-auto; cp /etc/xen/web.cfg /etc/xen/drbd-auto/web.cfg'
		[ "$rc" = 0 ] || fail "the config on dom0-$host: $out"
	done
}

# dom0-a starts it as its init script would, and dom0-b leaves it alone.
started_at_home() {
	for_auto
	on a 'xen-drbd-auto start'
	gives 0 "web: started"
	on b 'xen-drbd-auto start'
	gives 0 "web: ignored"
	until_on a 'grep -aq "^beat 2" /var/log/xen/console/guest-web.log' || fail "it does not count on dom0-a"
}

# The same command on several at once. Leaves ${rcs[a]} and ${outs[a]}, and the same for b.
declare -A rcs outs
together() { # hosts seconds-that-the-last-one-comes-later command
	local host pids=() late=0
	for host in $1; do
		[ "$host" = "${1##* }" ] && late=$2
		(
			sleep "$late"
			dom0 "$host" "export NO_COLOR=1 LC_ALL=C; $3" >"$RUN/together.$host" 2>&1 </dev/null
			echo $? >"$RUN/together.$host.rc"
		) &
		pids+=($!)
	done
	wait "${pids[@]}"
	for host in $1; do
		outs[$host]=$(cat "$RUN/together.$host")
		rcs[$host]=$(cat "$RUN/together.$host.rc")
	done
}

# What they said, into the log.
told_together() { # hosts command
	local host
	for host in $1; do
		printf '%s  dom0-%s# %s\n' "$(date +%T)" "$host" "$2"
		[ -z "${outs[$host]}" ] || sed 's/^/    /' <<<"${outs[$host]}"
		printf '    [exit %s]\n' "${rcs[$host]}"
	done
}

# Its power is gone from one moment to the next. What its domU said until now is in a log on its own disk, and would be lost with it.
loses_power() { # a|b…
	local host
	for host; do quietly "$host" sync; done
	for host; do
		"$here/down" "$host" 9>&- || fail "dom0-$host cannot be powered off"
	done
	say "(no power: $*)"
}

# It is booted, and does what its init scripts do, in their order: DRBD is brought up, without waiting for a peer, and xen-drbd-auto decides.
# Several boot at the same time.
boots() { # a|b…
	local host
	"$here/up" "$@" 9>&- || fail "booting: $*"
	for host; do watch_beats "$host"; done
	together "$*" 0 'drbdadm up r0 && drbdadm up r1 && /etc/init.d/xen-drbd-auto start'
	told_together "$*" 'drbdadm up r0 && drbdadm up r1 && /etc/init.d/xen-drbd-auto start'
	for host; do
		[ "${rcs[$host]}" = 0 ] || fail "dom0-$host after its boot: exit ${rcs[$host]}"
	done
}

# At their next boot they do so by themselves, as README tells operators to set it up; rest (pair.sh) takes it back. Debian's drbd.service
# waits for the peer without end, so this is for stories in which both boot.
boots_by_itself() { # a|b…
	local host words='systemctl -q enable drbd.service && update-rc.d xen-drbd-auto defaults && sync'
	together "$*" 0 "$words"
	told_together "$*" "$words"
	for host; do [ "${rcs[$host]}" = 0 ] || fail "exit ${rcs[$host]} on dom0-$host"; done
}

# They boot, and nobody types anything.
boots_alone() { # a|b…
	local host
	"$here/up" "$@" 9>&- || fail "booting: $*"
	for host; do
		watch_beats "$host"
		until_on "$host" 'systemctl -q is-active xen-drbd-auto.service' || { on "$host" 'systemctl status drbd xen-drbd-auto --no-pager -l'; fail "xen-drbd-auto is not started by dom0-$host's init"; }
		on "$host" 'systemctl show -p SourcePath,After xen-drbd-auto.service; journalctl -q --no-pager -o cat -u xen-drbd-auto.service; xen-drbd-auto status'
	done
}

# What xen-drbd-auto decided last; it may need an event to come to that.
decides() { # a|b word
	until_on "$1" "xen-drbd-auto status | grep -q '^web  *$2 '" || { on "$1" 'xen-drbd-auto status'; fail "dom0-$1 does not decide: $2"; }
	on "$1" 'xen-drbd-auto status'
}

# Nothing of it is here, and DRBD is not Primary.
idle() { # a|b
	[ -z "$(copies "$1")" ] || fail "dom0-$1 runs it: $(copies "$1")"
	quietly "$1" 'drbdadm role r0'
	[[ $out == Secondary/* ]] || fail "r0 on dom0-$1 is $out"
}

# Sooner or later exactly one of the two starts it. Leaves it in $runs. Never two, whenever one looks.
one_starts_it() {
	local host try
	for try in $(seq 1 $((REAL_PATIENCE / 3))); do
		runs=
		for host in a b; do [ -z "$(copies "$host")" ] || runs="$runs$host"; done
		[ ${#runs} != 2 ] || fail "IT RUNS ON BOTH"
		[ -z "$runs" ] || break
		sleep 3
	done
	[ -n "$runs" ] || fail "nobody starts it"
	say "dom0-$runs has started it"
	until_on "$runs" 'xen-drbd-auto status | grep -q "^web  *started "' || { on "$runs" 'xen-drbd-auto status'; fail "dom0-$runs does not say that it has started it"; }
	until_on "$runs" '[ "$(xl block-list web | awk "NR>1{print \$4}" | sort -u)" = 4 ]' || fail "its disks are not connected on dom0-$runs"
	expect_runs_on "$runs"
}

# A further life of the domU: it came up after everything that it had said before.
lives_again() { # a|b
	lives=$((lives + 1))
	counts_on "$1"
}

# It goes on counting here; the other Dom0 need not answer.
counts_on() { # a|b
	local before
	before=$(last_beat "$1")
	until_on "$1" "n=\$($LAST_BEAT); [ \"\${n:-0}\" -ge $((before + 3)) ]" || fail "the domU stopped counting on dom0-$1, at $before"
	say "it counts on: $before -> $(last_beat "$1")"
}

# The cable between them, at one end: it stays cut while the other one is booted.
link() { # a|b up|down
	quietly "$1" "ip link set eth1 $2"
	say "(link $2, at dom0-$1)"
	if [ "$2" = down ]; then
		for host in a b; do
			! alive $host || until_on $host '! drbdadm cstate r0 | grep -q "^Connected"' || fail "DRBD on dom0-$host does not notice"
		done
	else
		until_on "$1" 'drbdadm cstate r0 | grep -qE "^(Connected|Sync|Paused)"' || { look; fail "DRBD does not connect: a split brain?"; }
	fi
}
