# The Debian packages are installed, upgraded, removed and purged while the domU counts: neither it nor DRBD is touched, nothing is started
# shellcheck shell=bash disable=SC2154
debs=$CACHE/debs
code=0
"$top/tests/package/debs" "$debs" ${XEN_DRBD_DEBS:+"$XEN_DRBD_DEBS"} >"$logs/$name.build" 2>&1 || code=$?
[ "$code" = 0 ] || fail "no packages: $(tail -n 2 "$logs/$name.build")"
for host in a b; do
	for version in now next; do
		quietly $host "mkdir -p /root/debs"
		dom0 $host "cat >/root/debs/$version.deb" <"$debs/$version/xen-drbd.deb" || fail "dom0-$host does not take the package"
	done
done

# What no package may change: DRBD as it is in the kernel and in its files, the domUs, what is the operator's.
untouched() { # a|b
	quietly "$1" 'for r in r0 r1; do drbdsetup show $r; drbdsetup role $r 2>&1; done; xl list web 2>&1 | grep -o "^web *[0-9]*"
		cat /etc/drbd.conf /etc/drbd.d/* /etc/xen/*.cfg /etc/xen/migrate-tab.txt /etc/xen/drbd-auto/* /root/.ssh/* 2>/dev/null | sha256sum
		systemctl is-active xen-drbd-auto.service; pgrep -x xen-drbd-auto'
	printf '%s\n' "$out"
}
dpkg_does() { # words of dpkg
	local host before
	for host in a b; do
		before=$(untouched $host)
		on $host "dpkg $* 2>&1"
		gives 0
		[ "$(untouched $host)" = "$before" ] || fail "dpkg $* has changed on dom0-$host: $(diff <(echo "$before") <(untouched $host))"
		grep -q '^inactive' <<<"$before" || grep -q '^unknown' <<<"$before" || fail "xen-drbd-auto is active on dom0-$host: $before"
	done
}
# The operator changes from symlinks.sh to the packages: the peers' keys name the other executable.
keys_name() { # prefix
	local host
	for host in a b; do
		quietly $host "sed -i 's,command=\"/[^ ]*/bin/,command=\"$1/bin/,' /root/.ssh/authorized_keys"
		[ "$rc" = 0 ] || fail "the keys on dom0-$host: $out"
	done
}

started_at_home
for host in a b; do
	on $host 'sh /root/checkout/symlinks.sh uninstall'
	gives 0
done
dpkg_does -i /root/debs/now.deb
keys_name /usr
beats_go_on a
on a 'command -v xen-migrate xen-drbd-auto migrate2'
gives 0 "/usr/bin/xen-migrate"
on a 'xen-migrate ping dom0-b'
gives 0 "Success."
on a 'xen-migrate migrate web'
gives 0 "web runs on dom0-b."
expect_runs_on b
# While it is away.
dpkg_does -i /root/debs/next.deb
record_is a "away dom0-b"
record_is b "visiting dom0-a"
beats_go_on b
on a 'xen-migrate reverse web'
gives 0 "web runs on dom0-a."
expect_runs_on a
on b 'systemctl start xen-drbd-auto.service'
gives 0
on b 'xen-drbd-auto status'
gives 0 "web ignored"
on b 'systemctl stop xen-drbd-auto.service'
gives 0
dpkg_does -r xen-drbd
beats_go_on a
dpkg_does -P xen-drbd
beats_go_on a
for host in a b; do
	quietly $host 'ls /etc/xen/migrate-tab.txt /etc/xen/drbd-auto/web.cfg /root/.ssh/xen-migrate-$(hostname) 2>&1'
	[ "$rc" = 0 ] || fail "not kept on dom0-$host: $out"
	install_program $host >/dev/null || fail "symlinks.sh on dom0-$host"
done
keys_name /usr/local
on a 'xen-migrate ping dom0-b'
gives 0 "Success."
expect_runs_on a
options_shut
