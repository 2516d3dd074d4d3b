# shellcheck shell=bash
# The pair: from nothing to two Dom0s with the program on them, and back to rest before each story.

# Boots what is off and puts everything on it. Ends with 77 where the program does not run on Debian 12.
start_pair() { # [--fresh]
	local host
	if [ -n "$1" ]; then "$here/down" 9>&-; fi
	"$here/up" ${1:+"$1"} 9>&- || return 1
	for host in a b; do install_program "$host" || return $?; done
	for host in a b; do make_key "$host" || return 1; done
	drbd_up || return 1
	for host in a b; do watch_beats "$host"; done
}

install_program() { # a|b
	dom0 "$1" 'mkdir -p /root/checkout/target/release && cat >/root/checkout/target/release/xen-drbd && chmod 755 /root/checkout/target/release/xen-drbd' <"$binary" || return 1
	dom0 "$1" 'cat >/root/checkout/symlinks.sh' <"$top/symlinks.sh" || return 1
	on "$1" 'sh /root/checkout/symlinks.sh'
	[ "$rc" = 0 ] || return 1
	on "$1" 'xen-migrate --version'
	if [ "$rc" != 0 ]; then
		complain "cannot run: the program does not start on Debian 12 (${out##*$'\n'}); XEN_DRBD_BINARY=FILE names one that was built for it"
		return 77
	fi
}

# The operator carries the line over by hand, as the program says: between the Dom0s there is no other ssh.
make_key() { # a|b
	local line
	on "$1" "xen-migrate setup dom0-$(other "$1")"
	[ "$rc" != 0 ] || return 0
	line=$(grep '^from="' <<<"$out")
	[ -n "$line" ] || { say "setup shows no line for authorized_keys"; return 1; }
	dom0 "$(other "$1")" 'cat >>/root/.ssh/authorized_keys' <<<"$line"
}

# Every resource Connected, Secondary/Secondary and UpToDate on both. Its meta data is made at first.
drbd_up() {
	local host r pids=()
	for host in a b; do
		dom0 "$host" 'for r in r0 r1; do
			if drbdadm role $r 2>/dev/null | grep -qv Unconfigured; then continue; fi
			drbdadm dstate $r >/dev/null 2>&1 || drbdadm create-md --force $r >/dev/null 2>&1
			drbdadm up $r
		done' </dev/null &
		pids+=($!)
	done
	wait "${pids[@]}"
	for r in r0 r1; do
		until_on a "drbdadm cstate $r | grep -qE '^(Connected|Sync)'" || return 1
		# Never written on either: they are declared equal instead of being copied.
		on a "if [ \"\$(drbdadm dstate $r)\" = Inconsistent/Inconsistent ]; then drbdadm new-current-uuid --clear-bitmap $r; fi"
		until_on a "[ \"\$(drbdadm cstate $r) \$(drbdadm dstate $r)\" = 'Connected UpToDate/UpToDate' ]" || return 1
	done
}

watch_beats() { # a|b
	dom0 "$1" 'pkill -x watch; pkill -x tail; rm -f /root/beats /root/roles; : >/root/beats; : >/root/roles
		setsid /root/watch </dev/null >/dev/null 2>&1 &' </dev/null
}

# Before each story: whatever the last one left is gone. A Dom0 that cannot be brought to rest is booted anew, from nothing.
at_rest() {
	born=
	domus=web
	disks_of[web]=r0
	about web
	lives=1
	if rest; then return 0; fi
	say "the pair does not come to rest; it is made anew"
	start_pair --fresh && rest
}

rest() {
	local host
	for host in a b; do
		alive "$host" || "$here/up" "$host" 9>&- || return 1
	done
	for host in a b; do
		quietly "$host" 'pkill -9 -x xen-migrate; pkill -9 -x migrate2; pkill -9 -x xen-drbd; pkill -9 -f "^/usr/lib/xen-[0-9.]*/bin/xl .*migrate "
			ip link set eth1 up; tc qdisc del dev xenbr0 root 2>/dev/null; rm -rf /run/xen-drbd-auto /etc/xen/drbd-auto/*; rm -f /run/pump /run/pump.cut /root/tool.* /etc/xen/migrate-status.txt
			for d in $(xl list | awk "NR>2{print \$2}"); do timeout 120 xl destroy "$d"; done; sleep 2
			rm -f /var/log/xen/console/guest-*; xl list | tail -n +3'
		[ -z "$out" ] || { say "dom0-$host still has: $out"; return 1; }
		quietly "$host" "sed -i 's/allow-two-primaries.*/allow-two-primaries no;/' /etc/drbd.d/r[01].res; rm -f /etc/xen/migrate-tab.txt /etc/xen/*.cfg; drbdadm adjust r0; drbdadm adjust r1
			if [ -e /etc/rc2.d/S*xen-drbd-auto ]; then update-rc.d xen-drbd-auto remove; systemctl -q disable drbd.service; fi"
	done
	drbd_up || return 1
	for host in a b; do
		quietly "$host" 'for r in r0 r1; do for _ in $(seq 30); do drbdadm secondary $r && break; sleep 1; done && drbdadm adjust $r || exit 1; done'
		[ "$rc" = 0 ] || { say "dom0-$host: $out"; return 1; }
	done
	until_on a '[ "$(grep -c "^ [01]: cs:Connected ro:Secondary/Secondary ds:UpToDate/UpToDate" /proc/drbd)" = 2 ]' || return 1
	# Empty disks, as far as the last domU had counted.
	quietly a 'for i in 0 1; do
			drbdadm primary r$i && n=$(dd if=/dev/drbd$i bs=512 count=1 2>/dev/null | tr -dc 0-9) &&
				dd if=/dev/zero of=/dev/drbd$i bs=512 count=$((${n:-0} + 16)) conv=fsync 2>&1 && drbdadm secondary r$i || exit 1
		done'
	[ "$rc" = 0 ] || { say "dom0-a: $out"; return 1; }
	for host in a b; do watch_beats "$host"; done
	config 'drbd:r0,xvda,w'
	# Its home is dom0-a: only there is it listed.
	listed a
	(resources='r0 r1'; two_primaries forbidden && no_guard)
}
