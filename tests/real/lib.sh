# shellcheck shell=bash
# Shared by run, up, down and ssh: where things are, how a Dom0 is reached. Sourced, never run.
#
# Two QEMU machines (dom0-a, dom0-b) boot Debian 12's Xen, kernel, DRBD and sshd under software emulation: no KVM is needed, and
# nothing outside $CACHE and this process's own children is touched.

here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
top=$(cd "$here/../.." && pwd)

CACHE=${XEN_DRBD_REAL_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/xen-drbd-real}
IMAGES=$CACHE/images         # what both Dom0s boot; built once, again when what goes into it changed
RUN=$CACHE/pair              # the running pair: disks, pid files, ports, serial logs
LOGS=$CACHE/logs             # one folder for each run

# The size of each machine, in MiB, and how long a boot may take, in seconds. A loaded machine is slow, and slow is not wrong.
: "${REAL_VM_MEMORY:=1536}" "${REAL_DOM0_MEMORY:=700}" "${REAL_BOOT_LIMIT:=900}"
# Every wait for something that should come by itself, and the limit of any one command on a Dom0, in seconds.
: "${REAL_PATIENCE:=300}" "${REAL_LIMIT:=1800}"
# How long one story may go on, in seconds.
: "${REAL_STORY:=3600}"
# How often the stories that go there and back do so, and how often both Dom0s claim the domU at once.
: "${REAL_ROUNDS:=10}" "${REAL_CLAIMS:=20}"

# What QEMU's software emulation and Xen 4.17 get along with, found by trying:
#   no XSAVE (Xen's domain switches now and then corrupt FPU state), no SMAP (QEMU 7.2's iret trips over it in a PV kernel),
#   no RDTSCP (its SVM intercept is reported as RDTSC's and Xen kills the domU). SVM stays: only PVH and HVM domUs can be
#   live-migrated, because Debian's Xen is built without shadow paging.
: "${REAL_CPU:=max,-smap,-xsave,-erms,-la57,-rdtscp}" "${REAL_ACCEL:=tcg,thread=multi,tb-size=256}"

complain() { printf 'tests/real: %s\n' "$*" >&2; }

# It cannot run here, and that is neither success nor failure.
cannot() { complain "cannot run: $*"; exit 77; }

# The machine of a Dom0 runs, and is ours.
alive() { # a|b
	local pid
	pid=$(cat "$RUN/$1.pid" 2>/dev/null) || return 1
	[ -n "$pid" ] && tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "$RUN/$1.pid"
}

# A command on a Dom0, over the management network, which the Dom0s do not have between them. One connection is
# kept and shared; it must not keep run's lock (9) with it.
dom0() { # a|b command…
	local host=$1
	shift
	timeout --foreground "$REAL_LIMIT" ssh -F none -i "$IMAGES/key" -o IdentitiesOnly=yes -o BatchMode=yes -o UserKnownHostsFile=/dev/null \
		-o StrictHostKeyChecking=no -o LogLevel=ERROR -o ConnectTimeout=20 -o ServerAliveInterval=20 -o ServerAliveCountMax=6 \
		-o ControlMaster=auto -o ControlPersist=600 -o ControlPath="$(sockets)/$host" \
		-p "$(cat "$RUN/$host.port")" root@127.0.0.1 "$@" 9>&-
}

# A short folder for sockets: a path of more than about 100 characters cannot be one.
sockets() {
	local dir
	dir=/tmp/xen-drbd-real.$(printf '%s' "$RUN" | cksum | cut -d' ' -f1)
	[ -d "$dir" ] || mkdir -m 700 "$dir"
	[ -O "$dir" ] || cannot "$dir is not ours"
	printf '%s' "$dir"
}

hang_up() { # a|b: the shared connection ends
	ssh -F none -o ControlPath="$(sockets)/$1" -O exit 127.0.0.1 2>/dev/null || true
	rm -f "$(sockets)/$1"
}

# The run has gone on for so many seconds; 0 never ends.
is_over() { [ "$1" != 0 ] && [ $SECONDS -ge "$1" ]; }

# On a slow machine a story would else be begun only to be ended for want of time.
longest=0 # seconds, of the stories so far
has_room() { [ "${REAL_END:-0}" = 0 ] || [ $((SECONDS + longest * 3 / 2)) -lt "$REAL_END" ]; }

other() { case $1 in a) echo b ;; b) echo a ;; esac; }
