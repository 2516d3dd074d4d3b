# shellcheck shell=bash
# The words that stories are written in. A story is a small script that run sources after this file, with the pair at rest: nothing
# runs, r0 is Connected, Secondary/Secondary and UpToDate, no record, the same table and configs on both. The first thing that is
# not as a story says ends it as FAILED. Afterwards the domU's own count is judged, whatever the story was about.

rc=0
out=
# The domUs of a story, and which resources each has; the minor of rN is N.
domus=web
declare -A disks_of=([web]=r0 [mail]=r1)
# How often one was started; it dies with the power of its Dom0.
lives=1

# Which of them the words are about from here on.
about() { # domU
	domu=$1
	resources=${disks_of[$1]}
	# What it said last on this Dom0.
	LAST_BEAT="cat /var/log/xen/console/guest-$domu.log /var/log/xen/console/guest-$domu--incoming.log 2>/dev/null | tr -d '\r' | sed -n 's/^beat \([0-9]*\)\$/\1/p' | sort -n | tail -1"
}
about web

# The same words about each of them.
each() { # word…
	local name
	for name in $domus; do
		about "$name"
		"$@"
	done
	about "${domus%% *}"
}
# Where the figures of a story go, and what our program said in it; run sets both.
figures=/dev/null
told=/dev/null

say() { printf '%s  %s\n' "$(date +%T)" "$*"; }
fail() { say "FAILED: $*"; look; exit 1; }

# --- doing

# A command on a Dom0. Leaves its exit code in $rc and all its words in $out, and both in the story's log.
on() { # a|b command
	local host=$1 begin=$EPOCHREALTIME
	shift
	rc=0
	out=$(dom0 "$host" "export NO_COLOR=1 LC_ALL=C; $*" 2>&1 </dev/null) || rc=$?
	printf '%s  dom0-%s# %s\n' "$(date +%T)" "$host" "$*"
	[ -z "$out" ] || sed 's/^/    /' <<<"$out"
	printf '    [exit %d, %s s]\n' "$rc" "$(since "$begin")"
	tell "$host" "$*"
}

# What our program said, as it will be compared with what it says on the pretend fleet (told/). Once for each story: with rounds, the first.
tell() { # a|b command
	[[ "$2" == xen-migrate* && -z "${untold:-}" ]] || return 0
	{
		printf 'dom0-%s$ %s\n' "$1" "$2"
		[ -z "$out" ] || sed 's/^/  /; s/ *$//' <<<"$out"
		printf '  exit %d\n' "$rc"
	} >>"$told"
}

# A question to the whole fleet, which gives each Dom0 half a minute: a Dom0 under emulation, with domUs on it, may need more. Who did not
# answer has cost a line and the exit code 4, as it should, and is asked again.
in_time() { # a|b command
	for _ in 1 2 3 4 5; do
		on "$@"
		[ "$rc" = 4 ] || return 0
	done
}

# The same without a trace in the log.
quietly() { # a|b command
	local host=$1
	shift
	rc=0
	out=$(dom0 "$host" "$*" 2>&1 </dev/null) || rc=$?
}

# What follows is compared by itself, with told/STORY.NAME.
chapter() { # name
	told=$logs/$name.$1.told
	: >"$told"
	say "--- $1"
}

# A command that goes on by itself while the story does something to it; tool_ends waits for it.
tool_starts() { # a|b command
	local host=$1
	shift
	say "dom0-$host# $* &"
	dom0 "$host" "cat >/root/tool.sh; rm -f /root/tool.rc; setsid -f bash /root/tool.sh </dev/null >/root/tool.out 2>&1" <<-END
		export NO_COLOR=1 LC_ALL=C
		$*
		echo \$? >/root/tool.rc
	END
	tool_on=$host tool_words=$* tool_began=$EPOCHREALTIME
}

# Several migrations one after the other may well take longer than one wait.
tool_ends() {
	local again
	for again in 1 2 3 4 5 6; do
		if until_on "$tool_on" '[ -s /root/tool.rc ]'; then break; fi
		[ "$again" -lt 6 ] || fail "the tool did not end within 6 times $REAL_PATIENCE s"
	done
	quietly "$tool_on" 'cat /root/tool.out'
	local words=$out
	quietly "$tool_on" 'cat /root/tool.rc'
	rc=$out out=$words
	say "it ended:"
	sed 's/^/    /' <<<"$out"
	printf '    [exit %d, %s s]\n' "$rc" "$(since "$tool_began")"
	if [ "$rc" = 0 ]; then echo "migration $(since "$tool_began")" >>"$figures"; fi
	tell "$tool_on" "$tool_words"
}

# One round: every word of the program that an ordinary day needs, from home to the other Dom0 and back.
there_and_back() {
	on a 'xen-migrate status ALL'
	gives 0 "web dom0-a running"
	on a 'xen-migrate setup dom0-b'
	gives 0 "in place on dom0-b already"
	on a 'xen-migrate ping dom0-b'
	gives 0 "Success."
	tool_starts a 'xen-migrate migrate web'
	mid_transfer a
	two_primaries allowed
	tool_ends
	gives 0 "web runs on dom0-b."
	expect_runs_on b
	options_shut
	record_is a "away dom0-b"
	record_is b "visiting dom0-a"
	beats_go_on b
	on a 'xen-migrate status ALL'
	gives 0 "web dom0-b away"
	on a 'xen-migrate migrate web'
	gives 0 "web runs on dom0-b already."
	on b 'xen-migrate status ALL'
	gives 0 "web dom0-b running"
	tool_starts a 'xen-migrate reverse web'
	tool_ends
	gives 0 "web runs on dom0-a."
	expect_runs_on a
	options_shut
	record_is a none
	record_is b none
	beats_go_on a
}

# The same again, until it has been done REAL_ROUNDS times.
and_so_on() {
	local round
	untold=1
	for round in $(seq 2 "$REAL_ROUNDS"); do
		say "round $round of $REAL_ROUNDS"
		there_and_back
	done
	echo "rounds $REAL_ROUNDS" >>"$figures"
}

# The transport that loses a word did lose it. Leaves $rc and $out as they are.
pump_has_cut() { # a|b
	local rc out
	quietly "$1" 'cat /run/pump.cut'
	[ -n "$out" ] || fail "the transport was never cut, so nothing was shown"
}

# Waits in the Dom0 until a condition holds; false when it does not within $REAL_PATIENCE.
until_on() { # a|b condition
	dom0 "$1" "for _ in \$(seq $REAL_PATIENCE); do if $2; then exit 0; fi; sleep 1; done; exit 1" </dev/null
}

# The memory is going over: more than the given MB have left the sender, and it has not ended.
mid_transfer() { # a|b [megabytes]
	local rc=0
	dom0 "$1" "for _ in \$(seq $((REAL_PATIENCE * 2))); do
		for pid in \$(pgrep -x ssh); do
			n=\$(sed -n 's/^rchar: //p' /proc/\$pid/io 2>/dev/null); [ \"\${n:-0}\" -gt ${2:-30}000000 ] && exit 0
		done
		[ ! -s /root/tool.rc ] || exit 1; sleep 0.5; done; exit 1" </dev/null || rc=$?
	[ "$rc" = 0 ] || { tool_ends; fail "the transfer was never seen in its middle"; }
	say "(${2:-30} MB have gone over)"
}

# The sender has stopped the domU for the last part.
sender_suspended() { # a|b
	local rc=0
	dom0 "$1" "for _ in \$(seq $((REAL_PATIENCE * 4))); do
		xl list web 2>/dev/null | grep -q -e '--\(-\|p\)ss-' && exit 0
		[ ! -s /root/tool.rc ] || exit 1; sleep 0.2; done; exit 1" </dev/null || rc=$?
	[ "$rc" = 0 ] || { tool_ends; fail "the sender was never seen suspended"; }
	say "(the sender's copy is suspended)"
}

# A new domU with empty disks, on one Dom0. What nobody promotes by itself is promoted by whoever starts it.
new_domu() { # a|b drbd|phy [two]
	local host=$1 kind=${2:-drbd} r
	if [ -n "${3:-}" ]; then
		disks_of[$domu]='r0 r1'
		about "$domu"
	fi
	case $kind${3:-} in
	drbd) config "drbd:$resources,xvda,w" ;;
	phy) config "phy:/dev/drbd${resources#r},xvda,w" ;;
	drbdtwo) config 'drbd:r0,xvda,w' 'script=block-drbd,vdev=xvdb,access=w,target=r1' ;;
	phytwo) config 'phy:/dev/drbd0,xvda,w' 'phy:/dev/drbd1,xvdb,w' ;;
	esac
	if [ "$kind" = phy ]; then
		for r in $resources; do on "$host" "drbdadm primary $r"; gives 0; done
	fi
	on "$host" "xl create -q /etc/xen/$domu.cfg"
	gives 0
	until_on "$host" "grep -aq '^beat 2' /var/log/xen/console/guest-$domu.log || ! xl domid $domu >/dev/null 2>&1"
	quietly "$host" "xl domid $domu && grep -a '^beat 2' /var/log/xen/console/guest-$domu.log || tail -3 /var/log/xen/console/guest-$domu.log"
	[[ $out == *beat* ]] || fail "the domU does not start counting: $out"
	born=yes
}

# Below about 96 MiB Debian's kernel finds no room at boot; more only takes longer to copy.
config() { # disk…
	local host disks
	disks=$(printf "'%s', " "$@")
	for host in a b; do
		dom0 "$host" "cat >/etc/xen/$domu.cfg" <<-END
			name    = "$domu"
			type    = "pvh"
			kernel  = "/root/domu/vmlinuz"
			ramdisk = "/root/domu/initrd"
			extra   = "console=hvc0 quiet mitigations=off loglevel=1 disks=$#"
			memory  = 104
			vcpus   = 1
			disk    = [ ${disks%, } ]
			on_crash = "destroy"
		END
	done
}

# A Dom0's table lists them, so their home is there.
listed() { # a|b
	quietly "$(other "$1")" '[ -e /etc/xen/migrate-tab.txt ] || echo "# <domu_name> <host_name> <options>" >/etc/xen/migrate-tab.txt'
	quietly "$1" "printf '%s dom0-$(other "$1") --live\n' $domus >/etc/xen/migrate-tab.txt"
}

# What DRBD's file says of two Primaries, on both.
file_says() { # yes|no
	local host
	for host in a b; do
		quietly "$host" "sed -i 's/allow-two-primaries.*/allow-two-primaries $1;/' /etc/drbd.d/r0.res && drbdadm adjust r0"
		[ "$rc" = 0 ] || fail "r0.res on dom0-$host: $out"
	done
	say "r0.res says allow-two-primaries $1 on both"
}

# --- expecting

gives() { # exit code [words that must be among what it said, however many blanks are between them]
	[ "$rc" = "$1" ] || fail "exit $rc instead of $1"
	shift
	local words
	for words; do
		tr -s ' ' <<<"$out" | grep -qF -e "$words" || fail "it does not say: $words"
	done
}

# Exactly one copy in the whole pair, on this Dom0, and DRBD is as it should be.
expect_runs_on() { # a|b
	expect_one_copy "$1"
	roles "$1"
	say "$domu runs on dom0-$1, and nowhere else"
}

# The copy alone: under its own name, not stopped, its disks connected.
expect_one_copy() { # a|b
	local host=$1 rows
	rows=$(copies "$host")
	[ "$(wc -l <<<"$rows")" = 1 ] && grep -qE "^$domu [0-9]+ [0-9]+ [1-9][0-9]* [r-][b-]-{4}\$" <<<"$rows" ||
		fail "dom0-$host should have one running $domu and nothing else: ${rows:-nothing}"
	rows=$(copies "$(other "$host")")
	[ -z "$rows" ] || fail "dom0-$(other "$host") should have nothing of it: $rows"
	quietly "$host" "xl block-list $domu | awk 'NR>1{print \$4}' | sort -u | tr '\n' ' '"
	[ "$out" = "4 " ] || fail "not all its disks are connected (states $out)"
}

# Every domain there that is no other domU's of the story, as `name id memory vcpus state`.
copies() { # a|b
	local rows name others=
	rows=$(dom0 "$1" "xl list" </dev/null) || fail "xl list on dom0-$1 does not answer"
	for name in $domus; do
		[ "$name" = "$domu" ] || others="$others $name $name--incoming $name--migratedaway"
	done
	awk -v others="$others " 'NR > 1 && $1 != "Domain-0" && !index(others, " " $1 " ") { print $1, $2, $3, $4, $5 }' <<<"$rows"
}

# Primary here, Secondary there, both whole and connected.
roles() { # a|b: who is Primary
	local host=$1 r
	for r in $resources; do
		until_on "$host" "grep -q '^ ${r#r}: cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate' /proc/drbd" || fail "$r on dom0-$host is not Connected Primary/Secondary"
		until_on "$(other "$host")" "grep -q '^ ${r#r}: cs:Connected ro:Secondary/Primary ds:UpToDate/UpToDate' /proc/drbd" || fail "$r on dom0-$(other "$host") is not Connected Secondary/Primary"
	done
}

# The domU goes on counting on this Dom0, and says nothing on the other.
beats_go_on() { # a|b
	local host=$1 before there
	before=$(last_beat "$host")
	there=$(last_beat "$(other "$host")")
	until_on "$host" "n=\$($LAST_BEAT); [ \"\${n:-0}\" -ge $((before + 3)) ]" || fail "$domu stopped counting on dom0-$host, at $before"
	[ "$(last_beat "$(other "$host")")" = "$there" ] || fail "$domu counts on dom0-$(other "$host") as well"
	say "$domu counts on: $before -> $(last_beat "$host")"
}

last_beat() { # a|b
	local n
	n=$(dom0 "$1" "$LAST_BEAT" </dev/null) || fail "dom0-$1 does not answer"
	echo "${n:-0}"
}

# What DRBD has in force at run time, on both. The guard leaves nothing behind either.
two_primaries() { # allowed|forbidden
	local host r
	for host in a b; do
		for r in $resources; do
			quietly "$host" "drbdsetup show $r | grep -q 'allow-two-primaries[[:space:]]*yes' && echo allowed || echo forbidden"
			[ "$out" = "$1" ] || fail "two Primaries of $r are $out on dom0-$host instead of $1"
		done
	done
	say "two Primaries are $1 on both"
}

options_shut() {
	local host
	two_primaries forbidden
	no_guard
}

no_guard() {
	local host r
	for host in a b; do
		for r in $resources; do
			quietly "$host" "drbdsetup show $r | grep fencing"
			[ -z "$out" ] || fail "the guard of $r is still set on dom0-$host: $out"
		done
	done
}

# The row of the domU on the record, or none.
record_is() { # a|b "state host" | none
	quietly "$1" "grep -v '^#' /etc/xen/migrate-status.txt 2>/dev/null | grep '^${domu}[[:space:]]'"
	local row
	row=$(awk '{print $2, $3}' <<<"$out")
	case $2 in
	none) [ -z "$out" ] || fail "dom0-$1 remembers: $out" ;;
	*) [ "$row" = "$2" ] || fail "dom0-$1 remembers \"$out\" instead of $2" ;;
	esac
	[[ $out != *open=* ]] || fail "dom0-$1 remembers options that are not put back: $out"
}

# Nothing of the tool or of a transfer goes on any more.
nobody_at_work() {
	local host
	for host in a b; do
		until_on "$host" '! pgrep -x xen-migrate >/dev/null && ! pgrep -x migrate2 >/dev/null && ! pgrep -x libxl-save-help >/dev/null &&
			! pgrep -f "^/usr/lib/xen-[0-9.]*/bin/xl .*migrate " >/dev/null' ||
			fail "something is still at work on dom0-$host"
	done
}

# --- looking

look() {
	local host
	for host in a b; do
		alive "$host" || { say "dom0-$host is off"; continue; }
		quietly "$host" 'xl list | tail -n +3; grep "^ [01]:" /proc/drbd; drbdsetup show | grep -E "allow-two|fencing"; grep -v "^#" /etc/xen/migrate-status.txt; pgrep -af "xl migrate|migrate-receive|xen-migrate" | grep -v pgrep | cut -c1-120'
		say "dom0-$host now:"
		sed 's/^/    /' <<<"$out"
	done
}

since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'; }

# --- the verdict that every story ends with

# Each number of each domU once, none left out, and each on both disks. Writes what it measured to $figures.
judge() {
	local host
	[ -n "${born:-}" ] || return 0
	# They have said their last: what is read now is all there is.
	for host in a b; do
		quietly "$host" 'for d in $(xl list | awk "NR>2{print \$2}"); do xl destroy "$d"; done; sleep 1'
	done
	each judge_one
}

judge_one() {
	local host r all last
	for host in a b; do
		for r in $resources; do
			until_on "$host" "drbdadm secondary $r 2>/dev/null" || { on "$host" 'xl list'; fail "$r on dom0-$host stays Primary after the domU was ended"; }
		done
	done
	all=
	for host in a b; do
		quietly "$host" "cat /var/log/xen/console/guest-$domu*.log 2>/dev/null; echo whole"
		[ "$rc" = 0 ] && [ "${out##*$'\n'}" = whole ] || fail "the console logs of dom0-$host cannot be read"
		all+=$(tr -d '\r' <<<"$out" | sed -n 's/^beat \([0-9]*\)$/\1/p')$'\n'
	done
	all=$(sort -n <<<"$all" | sed '/^$/d')
	last=$(tail -1 <<<"$all")
	[ -n "$last" ] || fail "$domu never counted"
	for host in a b; do
		[ "$(last_beat "$host")" -le "$last" ] || fail "the judge has not read all of dom0-$host's console"
	done
	local twice missing from
	twice=$(uniq -d <<<"$all" | tr '\n' ' ')
	[ -z "$twice" ] || fail "$domu RAN TWICE: these numbers were said twice: $twice"
	born_from || exit 1
	missing=$(comm -13 <(sort <<<"$all") <(seq $((from + 1)) "$last" | sort) | sort -n | tr '\n' ' ')
	[ -z "$missing" ] || fail "these numbers were never said: $missing"
	# The Dom0s watch one of them (guest/watch).
	if [ "$lives" = 1 ] && [ "$domu" = web ]; then
		pause
		both_primary
	fi
	# Its disks, as each Dom0 has them.
	for host in a b; do
		for r in $resources; do
			quietly "$host" "drbdadm primary $r && /root/disk /dev/drbd${r#r} $last; rc=\$?; drbdadm secondary $r; exit \$rc"
			[ "$rc" = 0 ] || fail "LOST: $r as dom0-$host has it: $out"
		done
	done
	say "$domu counted to $last: each number once, none left out, and each in $resources on both Dom0s"
}

# How often it came up, and after which number. The last words before a power cut may be lost with the log (they are on the disks all the
# same, and are looked for there), so only what comes after its last birth ($from) must have been said. What it finds on its disk then must
# be no older than what it ever said before.
born_from() {
	local host line births=() said
	for host in a b; do
		quietly "$host" "grep -ah 'WRITE FAILED\|NO DISK\|^up, last' /var/log/xen/console/guest-$domu*.log | tr -d '\r'"
		! grep -q 'WRITE\|DISK' <<<"$out" || fail "on dom0-$host the domU said: $out"
		while read -r line; do births+=("$line"); done < <(sed -n 's/^up, last beat on disk: //p' <<<"$out")
	done
	[ ${#births[@]} -le "$lives" ] || fail "it came up ${#births[@]} times instead of $lives: after ${births[*]}"
	from=$(printf '%s\n' "${births[@]}" | sed 's/none/0/' | sort -n | tail -1)
	from=${from:-0}
	if [ "$lives" = 1 ]; then from=0; else say "it came up after ${births[*]}"; fi
	# Each life begins behind the number that it found; one that began with older data would say a number twice, or leave this one out.
	if [ "$from" != 0 ]; then
		said=$(awk -v f="$from" '$1 > f { print; exit }' <<<"$all")
		[ "$said" = $((from + 1)) ] || fail "it came up after $from and said $said"
	fi
}

# The time between two beats, by the clocks of the Dom0s: the longest at all, and each one with a change of the Dom0 in it. Their clocks
# were set from one hardware clock that counts seconds, so a change may be a second off; there and back again, that is nothing.
pause() {
	local beats
	beats=$(for host in a b; do dom0 "$host" 'cat /root/beats' </dev/null; done | tr -d '\r' | grep -a ' beat ' | sort -k4n)
	say "longest time between two beats: $(awk 'p && $1 - p > max { max = $1 - p; at = last " -> " $4 } { p = $1; last = $4 } END { printf "%.1f s (beat %s)", max, at }' <<<"$beats")"
	awk 'p && $1 - p > max { max = $1 - p } p && $2 != on { printf "change %.1f\n", $1 - p } { p = $1; on = $2 } END { printf "longest %.1f\n", max }' <<<"$beats" >>"$figures"
}

# Each time in which both were Primary, as the sender's and the target's /proc/drbd showed it.
both_primary() {
	local host seconds
	for host in a b; do
		seconds=$(dom0 "$host" 'cat /root/roles' </dev/null |
			awk 'f { printf "both %.1f\n", $1 - f; f = 0 } $4 == "ro:Primary/Primary" { f = $1 }')
		say "both Primary, as dom0-$host saw it: $(awk '{ printf "%s s ", $2 }' <<<"$seconds")"
		[ -z "$seconds" ] || echo "$seconds" >>"$figures"
	done
}

# --- what it came to

# One line from a story's figures, each as the least, the middle and the most.
figures_of() { # file
	awk '{ n[$1]++; v[$1, n[$1]] = $2 }
		function spread(key, i, j, t, m) {
			m = n[key]
			for (i = 2; i <= m; i++) for (j = i; j > 1 && v[key, j - 1] > v[key, j]; j--) { t = v[key, j]; v[key, j] = v[key, j - 1]; v[key, j - 1] = t }
			if (m < 3) return v[key, 1] (m == 2 ? "/" v[key, 2] : "") " s"
			return v[key, 1] "/" v[key, int((m + 1) / 2)] "/" v[key, m] " s"
		}
		END {
			if (n["migration"]) line = n["migration"] ": " spread("migration")
			if (n["change"]) line = line (line ? " · " : "beats ") spread("change")
			if (n["both"]) line = line (line ? " · " : "both ") spread("both")
			print line
		}' "$1"
}
