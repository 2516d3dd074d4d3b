# What must be refused, with nothing touched: another config, the name taken, no memory, DRBD disconnected
# shellcheck shell=bash disable=SC2154
new_domu a
chapter config
quietly b 'cp /etc/xen/web.cfg /root/web.cfg; sed -i "s/^memory.*/memory = 64/" /etc/xen/web.cfg'
on a 'xen-migrate migrate web'
gives 3 "nothing was touched" config
quietly b 'mv /root/web.cfg /etc/xen/web.cfg'
chapter name
dom0 b 'cat >/root/taken.cfg' <<-END
	name = "web"
	type = "pvh"
	kernel = "/root/domu/vmlinuz"
	memory = 104
END
quietly b 'xl create -p -q /root/taken.cfg'
[ "$rc" = 0 ] || fail "a paused namesake cannot be made: $out"
on a 'xen-migrate migrate web'
gives 3 "nothing was touched"
quietly b 'xl destroy web'
chapter memory
dom0 b 'sed "s/web/hog/; s/= 104/= $(($(xl info free_memory) - 40))/" /root/taken.cfg >/root/hog.cfg && xl create -p -q /root/hog.cfg' </dev/null || fail "the memory cannot be taken"
on a 'xen-migrate migrate web'
gives 3 "nothing was touched" memory
quietly b 'xl destroy hog'
chapter disconnected
quietly b 'drbdadm disconnect r0'
on a 'xen-migrate migrate web'
gives 3 "nothing was touched" r0
on a 'xen-migrate status ALL'
quietly b 'drbdadm connect r0'
roles a
chapter plan
on a 'xen-migrate migrate web --dry-run'
gives 0 "Nothing was touched"
expect_runs_on a
options_shut
record_is a none
record_is b none
beats_go_on a
