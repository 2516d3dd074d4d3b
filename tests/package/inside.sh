#!/bin/bash
# The stories of tests/package/run, told inside the chroot. One function each; $1 is its name.
set -euo pipefail

calls=/calls

fail() {
	echo "not so: $*" >&2
	exit 1
}

# Programs of Xen and DRBD that write down that they were called, and say nothing that could pass for permission.
stand_ins() {
	for name in xl xm drbdadm drbdsetup drbdmeta; do
		printf '#!/bin/sh\necho "%s $*" >>%s\n' "$name" "$calls" >"/usr/local/sbin/$name"
		chmod +x "/usr/local/sbin/$name"
	done
	# So much is seen that somebody waits: Xen answers, and what runs cannot be seen.
	cat >>/usr/local/sbin/xl <<'END'
[ "$1" = info ] && exec printf 'xen_major : 4\nxen_minor : 17\nxen_extra : .3\nxen_version : 4.17.3\ntotal_memory : 8192\nfree_memory : 4096\n'
END
	for name in xl xm drbdadm drbdsetup drbdmeta; do
		echo 'exit 1' >>"/usr/local/sbin/$name"
	done
	: >"$calls"
}

# systemd as far as maintainer scripts see it: the folder that says it runs, and a systemctl that writes down what it is asked.
pretend_systemd() {
	mkdir -p /run/systemd/system
	cat >/usr/bin/systemctl <<'END'
#!/bin/sh
echo "$*" >>/asked
case "$*" in
*is-active* | *is-enabled*) exit 0 ;;
*"show -p"*) echo enabled ;;
esac
END
	chmod +x /usr/bin/systemctl
	: >/asked
}

operators_files() {
	mkdir -p /etc/xen/drbd-auto /root/.ssh /etc/drbd.d
	echo 'web dom0-beta --live' >/etc/xen/migrate-tab.txt
	printf "name = 'web'\nmemory = 128\ndisk = [ 'drbd:web,xvda,w' ]\n" >/etc/xen/drbd-auto/web.cfg
	echo 'a key' >/root/.ssh/xen-migrate-dom0-alpha
	echo 'resource web { }' >/etc/drbd.d/web.res
}

operators_files_are_as_they_were() {
	[ "$(cat /etc/xen/migrate-tab.txt)" = 'web dom0-beta --live' ] || fail "the table is as it was"
	grep -q drbd:web /etc/xen/drbd-auto/web.cfg || fail "the config is as it was"
	[ "$(cat /root/.ssh/xen-migrate-dom0-alpha)" = 'a key' ] || fail "the key is as it was"
	[ "$(cat /etc/drbd.d/web.res)" = 'resource web { }' ] || fail "DRBD's file is as it was"
}

install() {
	dpkg -i "/packages/$1"/*.deb || fail "dpkg takes the packages"
}

nothing_was_called() {
	[ ! -s "$calls" ] || fail "no program of Xen or DRBD was called: $(cat "$calls")"
}

nobody_waits() {
	! pgrep -f 'xen-drbd-auto daemon' >/dev/null || fail "nothing of ours runs"
}

# Somebody waits, as on a host whose peer cannot be seen. Prints the pid.
let_it_wait() {
	/usr/bin/xen-drbd-auto start >/tmp/start 2>&1 || fail "start: $(cat /tmp/start)"
	grep -q 'Waiting in the background' /tmp/start || fail "somebody waits: $(cat /tmp/start)"
	pgrep -f 'xen-drbd-auto daemon' || fail "the daemon is there"
	# Until it has looked itself, and has nothing to do for some minutes.
	for _ in $(seq 120); do
		if xen-drbd-auto status | grep -q 'on reload, or at'; then break; fi
		sleep 0.5
	done
	xen-drbd-auto status >&2
	# Only looks, up to here: nothing that changes anything.
	! grep -Eq ' (create|destroy|migrate|unpause|primary|secondary|net-options|disk-options|connect|disconnect)' "$calls" ||
		fail "only looks: $(cat "$calls")"
	: >"$calls"
}

story_installed_nothing_runs() {
	operators_files
	install now
	nothing_was_called
	nobody_waits
	operators_files_are_as_they_were
	[ ! -e /run/xen-drbd-auto ] || fail "nothing was decided"
	for name in xen-migrate xen-drbd-auto migrate2; do
		[ "$(readlink "/usr/bin/$name")" = xen-drbd ] || fail "$name is a link"
	done
	xen-migrate --version
	[ -f /usr/share/doc/xen-drbd/examples/migrate-tab.txt ] || fail "there is an example of the table"
	# The init script is found by its header, and runs behind drbd and before it goes.
	ls /etc/rc2.d/S*xen-drbd-auto /etc/rc0.d/K*xen-drbd-auto
	# For the next boot.
	[ -L /etc/systemd/system/multi-user.target.wants/xen-drbd-auto.service ] || fail "the unit is enabled"
	[ ! -e /etc/systemd/system/timers.target.wants/xen-drbd-metrics.timer ] || fail "the timer is the operator's choice"
	# And so is what happens to his domUs when the Dom0 goes down.
	for unit in xen-drbd-evacuate xen-drbd-return; do
		[ -f "/lib/systemd/system/$unit.service" ] || fail "$unit.service is there"
		[ ! -e "/etc/systemd/system/multi-user.target.wants/$unit.service" ] || fail "$unit.service is off"
	done
	! ls /etc/rc?.d/S*xen-drbd-evacuate 2>/dev/null || fail "its init script is off"
	# Off, it does nothing at a shutdown: nobody has started it.
	RUNLEVEL=0 sh /etc/init.d/xen-drbd-evacuate stop || fail "the shutdown goes on"
	nothing_was_called
}

story_the_order_at_boot_and_at_shutdown() {
	# Scripts with the header that drbd's own has.
	# shellcheck disable=SC2016
	for name in drbd xendomains; do
		printf '#!/bin/sh\n### BEGIN INIT INFO\n# Provides: %s\n# Required-Start: $remote_fs $syslog $network\n# Required-Stop: $remote_fs $syslog $network\n# Default-Start: 2 3 4 5\n# Default-Stop: 0 1 6\n# Short-Description: x\n### END INIT INFO\n' \
			"$name" >"/etc/init.d/$name"
		chmod +x "/etc/init.d/$name"
		update-rc.d "$name" defaults
	done
	install now
	update-rc.d xen-drbd-evacuate enable
	# shellcheck disable=SC2012
	place() { ls "/etc/rc$1.d" | sed -n "s/^$2\([0-9][0-9]\)$3\$/\1/p"; }
	for name in drbd xendomains; do
		[ "$(place 2 S xen-drbd-auto)" -gt "$(place 2 S "$name")" ] || fail "started after $name: $(ls /etc/rc2.d)"
		[ "$(place 0 K xen-drbd-auto)" -lt "$(place 0 K "$name")" ] || fail "ended before $name: $(ls /etc/rc0.d)"
		[ "$(place 0 K xen-drbd-evacuate)" -lt "$(place 0 K "$name")" ] || fail "sent away before $name ends: $(ls /etc/rc0.d)"
	done
	[ "$(place 0 K xen-drbd-evacuate)" -le "$(place 0 K xen-drbd-auto)" ] || fail "sent away first of all: $(ls /etc/rc0.d)"
	[ -n "$(place 2 S xen-drbd-evacuate)" ] || fail "it is on: $(ls /etc/rc2.d)"
}

story_an_upgrade_starts_nothing() {
	operators_files
	install now
	install next
	nothing_was_called
	nobody_waits
	operators_files_are_as_they_were
}

story_a_daemon_that_waits_outlives_an_upgrade() {
	operators_files
	install now
	pid=$(let_it_wait)
	install next
	kill -0 "$pid" || fail "it waits still"
	[ "$(pgrep -f 'xen-drbd-auto daemon')" = "$pid" ] || fail "it is the same, and the only one"
	nothing_was_called
	# The new program finds it, and can end it.
	xen-drbd-auto status || fail "the new program sees it"
	xen-drbd-auto stop
	nobody_waits
	operators_files_are_as_they_were
}

story_a_removal_ends_the_waiting_and_a_purge_keeps_what_is_the_operators() {
	operators_files
	install now
	let_it_wait
	dpkg -r xen-drbd-lab xen-drbd
	nobody_waits
	nothing_was_called
	# A script that outlives its program says nothing and fails nobody's boot.
	sh /etc/init.d/xen-drbd-auto start || fail "the init script is harmless now"
	printf '# version 1\n# EOF rows=0\n' >/etc/xen/migrate-status.txt
	dpkg -P xen-drbd-lab xen-drbd
	operators_files_are_as_they_were
	[ ! -e /etc/xen/migrate-status.txt ] || fail "an empty record goes"
	[ ! -e /etc/init.d/xen-drbd-auto ] || fail "the init script goes"
	! ls /etc/rc?.d/*xen-drbd-auto 2>/dev/null || fail "its links go"
	[ ! -e /etc/systemd/system/multi-user.target.wants/xen-drbd-auto.service ] || fail "the unit's link goes"
	nothing_was_called
}

story_a_record_that_knows_where_a_domu_is_is_kept() {
	install now
	printf '# version 1\nweb  away  dom0-beta  2026-01-01T00:00:00Z\n# EOF rows=1\n' >/etc/xen/migrate-status.txt
	dpkg -P xen-drbd-lab xen-drbd >/tmp/said 2>&1
	grep -q 'migrate-status.txt is kept' /tmp/said || fail "it is said: $(cat /tmp/said)"
	grep -q '^web' /etc/xen/migrate-status.txt || fail "it is kept"
	# The program reads a row with a blank before it as well.
	install now
	sed -i 's/^web/ web/' /etc/xen/migrate-status.txt
	dpkg -P xen-drbd-lab xen-drbd
	grep -q '^ web' /etc/xen/migrate-status.txt || fail "it is kept with a blank before it"
}

story_systemd_is_asked_to_start_and_to_restart_nothing() {
	pretend_systemd
	install now
	install next
	! grep -Eq '(^| )(re)?start|try-restart|reload-or|(^| )stop' /asked || fail "neither started nor stopped: $(cat /asked)"
	grep -q daemon-reload /asked || fail "the units are made known"
	dpkg -r xen-drbd-lab xen-drbd
	grep -q 'stop.*xen-drbd-auto.service' /asked || fail "a removal ends it: $(cat /asked)"
	nothing_was_called
}

story_an_upgrade_and_a_removal_send_nothing_away() {
	operators_files
	install now
	# Turned on, and started as at boot.
	update-rc.d xen-drbd-evacuate enable
	service xen-drbd-evacuate start
	pretend_systemd
	install next
	[ -e /run/xen-drbd-evacuate ] || fail "it is on still"
	ls /etc/rc2.d/S*xen-drbd-evacuate || fail "at the next boot as well"
	dpkg -r xen-drbd-lab xen-drbd
	! grep -q 'xen-drbd-evacuate' /asked || fail "nobody stops, starts or restarts it: $(cat /asked)"
	nothing_was_called
	# A script that outlives its program lets the system go down.
	RUNLEVEL=0 sh /etc/init.d/xen-drbd-evacuate stop || fail "the init script is harmless now"
	dpkg -P xen-drbd-lab xen-drbd
	! ls /etc/rc?.d/*xen-drbd-evacuate 2>/dev/null || fail "its links go"
	operators_files_are_as_they_were
}

story_what_symlinks_sh_has_put_is_no_conffile() {
	install now
	cp /usr/bin/xen-drbd /tmp/xen-drbd
	dpkg -P xen-drbd-lab xen-drbd
	sh /packages/symlinks.sh install --from /tmp/xen-drbd --share /nowhere
	[ -L /etc/init.d/xen-drbd-auto ] || fail "the link of symlinks.sh"
	install now >/tmp/said 2>&1
	cat /tmp/said
	grep -q 'gives way to the init script' /tmp/said || fail "it is said"
	[ ! -L /etc/init.d/xen-drbd-auto ] || fail "the link is gone"
	grep -q 'BEGIN INIT INFO' /etc/init.d/xen-drbd-auto || fail "the init script is there"
	cmp /tmp/xen-drbd /usr/local/bin/xen-drbd || fail "the executable in /usr/local is as it was"
	sh /packages/symlinks.sh uninstall
	[ -f /etc/init.d/xen-drbd-auto ] || fail "symlinks.sh leaves the package's script alone"
	nothing_was_called
}

story_both_ways_of_installing_give_the_same() {
	install now
	dpkg -L xen-drbd | grep -E '^/usr/(bin|share/(man|zsh|fish|bash-completion))/' | while read -r file; do
		if [ ! -d "$file" ] || [ -L "$file" ]; then echo "$file"; fi
	done | sed 's/\.gz$//' | sort >/tmp/packaged
	mkdir -p /tmp/share /tmp/root/etc/xen
	# As `cargo run --example man` made them.
	grep ^/usr/share/ /tmp/packaged | while read -r file; do
		to=/tmp/share/${file#/usr/share/}
		mkdir -p "$(dirname "$to")"
		if [ -f "$file.gz" ]; then gunzip -c "$file.gz" >"$to"; else cp "$file" "$to"; fi
	done
	DESTDIR=/tmp/root PREFIX=/usr sh /packages/symlinks.sh install --from /usr/bin/xen-drbd --share /tmp/share >/dev/null
	(cd /tmp/root && find usr \( -type f -o -type l \) ! -name .xen-drbd.made | sed 's,^,/,' | sort) >/tmp/linked
	diff /tmp/packaged /tmp/linked || fail "the same files"
	cmp /tmp/root/usr/bin/xen-drbd /usr/bin/xen-drbd || fail "the same executable"
}

story_the_tests_of_the_package_hold() {
	install now
	mkdir -p /tmp/tests
	for test in /packages/tests/*; do
		[ "${test##*/}" = control ] || "$test" || fail "$test"
	done
	nothing_was_called
}

stand_ins
"story_$1"
