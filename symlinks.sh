#!/bin/sh
# One copy of the executable, and the names it answers to.
#
#   PREFIX/bin/xen-drbd                     the copy
#   PREFIX/bin/xen-migrate, …               relative links to it, one for each of NAMES
#   /etc/init.d/xen-drbd-auto               link to PREFIX/bin/xen-drbd-auto
#   /etc/xen/drbd-auto/                     made only where there is an /etc/xen
#   PREFIX/share/man, bash-completion, …    the man pages and the completion, where `cargo run --example man -- target` has made them
#   PREFIX/bin/.xen-drbd.made               what it made itself of the last two, folders as well, so that uninstall takes only those
#
# Everything is looked at before anything is touched: what is not ours is refused, and then nothing has happened.
# The table, the record, the keys and the domU configs are the operator's; no verb here touches them.
set -eu

NAMES="xen-migrate xen-drbd-auto migrate2"
INIT=xen-drbd-auto

usage() {
	cat <<'END'
Usage: [DESTDIR=DIR] [PREFIX=DIR] ./symlinks.sh [install|uninstall|status] [--from BINARY] [--share DIR]

  install    copy the executable, make its links, put the pages beside it (the default)
  uninstall  remove the links and pages that are ours, and the copy
  status     say what is there

  --from BINARY  the executable to copy (default: target/release/xen-drbd beside this script)
  --share DIR    man pages and completion (default: target/share beside this script; made by cargo run --example man -- target)
  PREFIX         where bin/ and share/ are (default: /usr/local)
  DESTDIR        put in front of every path, for packages and tests; links do not contain it

Exit codes: 0 done or already so, 1 refused or failed (status: something is missing or not ours), 2 usage.
END
}

say() {
	printf '%s\n' "$*"
}

complain() {
	printf 'symlinks.sh: %s\n' "$*" >&2
}

misused() {
	complain "$*"
	usage >&2
	exit 2
}

# A thing in our place that is not ours, and what the operator may do about it.
refused=0
refuse() {
	complain "$1"
	refused=1
}

# Says what is at a path, in words.
what_is() {
	if [ -L "$1" ]; then
		printf 'a symbolic link to %s' "$(readlink "$1")"
	elif [ -d "$1" ]; then
		printf 'a folder'
	elif [ -f "$1" ]; then
		printf 'a file'
	elif [ -e "$1" ]; then
		printf 'no plain file'
	else
		printf 'nothing'
	fi
}

is_there() {
	[ -e "$1" ] || [ -L "$1" ]
}

# Whether a path is a link to one of the two given targets.
links_to() {
	[ -L "$1" ] || return 1
	target=$(readlink "$1")
	[ "$target" = "$2" ] || [ "$target" = "$3" ]
}

name_is_ours() {
	links_to "$bin/$1" xen-drbd "$PREFIX/bin/xen-drbd"
}

init_is_ours() {
	links_to "$init" "$PREFIX/bin/$INIT" "$PREFIX/bin/xen-drbd"
}

same_as_from() {
	[ -f "$from" ] && cmp -s -- "$from" "$copy"
}

# The copy is ours when one of our names leads to it, or when it is the very executable that would be copied.
copy_is_ours() {
	[ -f "$copy" ] && [ ! -L "$copy" ] || return 1
	for name in $NAMES; do
		if name_is_ours "$name"; then
			return 0
		fi
	done
	same_as_from
}

# Every page and completion that there is to install, as it is called below share/.
pages() {
	if [ -d "$share" ]; then (cd -- "$share" && find . -type f ! -name 'xen-drbd-lab.1' | sed 's,^\./,,' | LC_ALL=C sort); fi
}

# Where one of them goes: zsh looks elsewhere for what no package has brought.
page_path() {
	case $PREFIX:$1 in
	/usr:*) printf '%s\n' "$PREFIX/share/$1" ;;
	*:zsh/vendor-completions/*) printf '%s\n' "$PREFIX/share/zsh/site-functions/${1##*/}" ;;
	*) printf '%s\n' "$PREFIX/share/$1" ;;
	esac
}

# The first lines of each say where it comes from.
page_is_ours() {
	[ -f "$1" ] && [ ! -L "$1" ] && head -n 2 -- "$1" | grep -q 'ade from .*command line.* Do not edit\.$'
}

# Refuses whatever stands in our place and is not ours.
look() {
	if is_there "$copy" && ! copy_is_ours; then
		refuse "$copy is $(what_is "$copy") that was not put there by this script: move it away, or choose another PREFIX"
	fi
	for name in $NAMES; do
		if is_there "$bin/$name" && ! name_is_ours "$name"; then
			refuse "$bin/$name is $(what_is "$bin/$name"), not our link to xen-drbd: move it away, or choose another PREFIX"
		fi
	done
	for page in $(pages); do
		page=$DESTDIR$(page_path "$page")
		if is_there "$page" && ! page_is_ours "$page"; then
			refuse "$page is $(what_is "$page") that was not put there by this script: move it away, or choose another PREFIX"
		fi
	done
	if is_there "$init" && ! init_is_ours; then
		refuse "$init is $(what_is "$init"), not our link to $PREFIX/bin/$INIT: move it away (a package may own it: dpkg -S $init)"
	fi
}

# Makes a folder with those above it, from the top, and notes each one that was not there.
make_folder() {
	if [ -d "$1" ]; then return; fi
	make_folder "$(dirname -- "$1")"
	mkdir -- "$1"
	say "made       $1"
	news="$news$1
"
}

# The note lies in $bin, so it is written once that is there.
note_what_was_made() {
	if [ -n "$news" ]; then
		printf '%s' "$news" | while IFS= read -r what; do
			printf '%s\n' "${what#"$DESTDIR"}" >>"$made"
		done
	fi
}

# The pages and folders that were ours, the innermost first; one that is not ours any more stays, and so does a folder with something in it.
remove_what_was_made() {
	if [ ! -f "$made" ]; then return; fi
	all=$(sort -ru -- "$made")
	rm -f -- "$made"
	printf '%s\n' "$all" | while IFS= read -r what; do
		what=$DESTDIR$what
		if page_is_ours "$what"; then
			rm -f -- "$what"
			say "removed    $what"
		elif [ -d "$what" ]; then
			if rmdir -- "$what" 2>/dev/null; then say "removed    $what"; fi
		elif is_there "$what"; then
			say "left as is $what ($(what_is "$what"), not ours)"
		fi
	done
}

# Copies one page, unless it is there already.
put_page() {
	to=$DESTDIR$(page_path "$1")
	make_folder "$(dirname -- "$to")"
	if cmp -s -- "$share/$1" "$to"; then
		say "already so $to"
	else
		is_there "$to" || news="$news$to
"
		rm -f -- "$to"
		cp -- "$share/$1" "$to"
		chmod 0644 "$to"
		say "copied     $to"
	fi
}

make_link() {
	if [ -L "$2" ]; then
		say "already so $2 -> $(readlink "$2")"
	else
		ln -s -- "$1" "$2"
		say "linked     $2 -> $1"
	fi
}

install_all() {
	if [ ! -f "$from" ] || [ ! -x "$from" ]; then
		if is_there "$from"; then what="is $(what_is "$from"), not an executable"; else what="does not exist"; fi
		complain "$from $what: build it first (cargo build --release), or say --from BINARY"
		exit 1
	fi
	look
	if [ "$refused" = 1 ]; then
		complain "nothing was touched"
		exit 1
	fi
	make_folder "$bin"
	if [ -x "$copy" ] && same_as_from; then
		say "already so $copy"
	else
		# Beside it and then renamed: whoever starts it meanwhile gets the old one or the new one, never half of one.
		new=$(mktemp "$bin/.xen-drbd.XXXXXX")
		trap 'rm -f -- "$new"' EXIT
		trap 'exit 1' HUP INT TERM
		cp -- "$from" "$new"
		chmod 0755 "$new"
		mv -f -- "$new" "$copy"
		trap - EXIT
		say "copied     $copy"
	fi
	for name in $NAMES; do
		make_link xen-drbd "$bin/$name"
	done
	make_folder "$DESTDIR/etc/init.d"
	make_link "$PREFIX/bin/$INIT" "$init"
	if [ -d "$DESTDIR/etc/xen" ]; then
		make_folder "$auto"
	else
		say "left out   $auto (no $DESTDIR/etc/xen: is this a Dom0?)"
	fi
	if [ -n "$(pages)" ]; then
		for page in $(pages); do
			put_page "$page"
		done
	else
		say "left out   man pages and completion (cargo run --example man -- target makes them in $share)"
	fi
	note_what_was_made
	say "To start it at boot: update-rc.d $INIT defaults"
}

# Removes a thing, or says why not. $1: whether it is ours.
remove() {
	if [ "$1" = yes ]; then
		rm -f -- "$2"
		say "removed    $2"
	elif is_there "$2"; then
		say "left as is $2 ($(what_is "$2"), not ours)"
	fi
}

uninstall_all() {
	# The copy goes first: if we are interrupted, the links that are left are still known as ours.
	if copy_is_ours; then remove yes "$copy"; else remove no "$copy"; fi
	if init_is_ours; then remove yes "$init"; else remove no "$init"; fi
	for name in $NAMES; do
		if name_is_ours "$name"; then remove yes "$bin/$name"; else remove no "$bin/$name"; fi
	done
	# A folder with something in it is the operator's.
	if [ -d "$auto" ] && [ ! -L "$auto" ]; then
		if rmdir -- "$auto" 2>/dev/null; then
			say "removed    $auto"
		else
			say "left as is $auto (the operator's files)"
		fi
	fi
	remove_what_was_made
	say "Nothing of ours is left in $bin and $DESTDIR/etc/init.d."
	say "If it was started at boot: update-rc.d $INIT remove"
}

tell() {
	if ! is_there "$2"; then
		say "missing    $2"
		all=no
	elif "$1" "$3"; then
		say "ours       $2$4"
	else
		say "not ours   $2 ($(what_is "$2"))"
		all=no
	fi
}

status() {
	all=yes
	tell copy_is_ours "$copy" "" ""
	for name in $NAMES; do
		tell name_is_ours "$bin/$name" "$name" " -> xen-drbd"
	done
	tell init_is_ours "$init" "" " -> $PREFIX/bin/$INIT"
	[ "$all" = yes ]
}

verb=
from=
share=
while [ $# -gt 0 ]; do
	case $1 in
	install | uninstall | status)
		[ -z "$verb" ] || misused "one verb at a time, not $verb and $1"
		verb=$1
		;;
	--from)
		[ $# -ge 2 ] || misused "--from wants an executable"
		from=$2
		[ -n "$from" ] || misused "--from wants an executable"
		shift
		;;
	--from=?*) from=${1#--from=} ;;
	--share)
		[ $# -ge 2 ] || misused "--share wants a folder"
		share=$2
		[ -n "$share" ] || misused "--share wants a folder"
		shift
		;;
	--share=?*) share=${1#--share=} ;;
	-h | --help)
		usage
		exit 0
		;;
	*) misused "what is $1?" ;;
	esac
	shift
done

PREFIX=${PREFIX:-/usr/local}
PREFIX=${PREFIX%/}
case $PREFIX in
/* | "") ;;
*) misused "PREFIX must begin with a slash: $PREFIX" ;;
esac
DESTDIR=${DESTDIR:-}
DESTDIR=${DESTDIR%/}
case $DESTDIR in
/* | "") ;;
*) DESTDIR=$(pwd)/$DESTDIR ;;
esac
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
from=${from:-$here/target/release/xen-drbd}
case $from in
/*) ;;
*) from=$(pwd)/$from ;;
esac
share=${share:-$here/target/share}
case $share in
/*) ;;
*) share=$(pwd)/$share ;;
esac

bin=$DESTDIR$PREFIX/bin
copy=$bin/xen-drbd
init=$DESTDIR/etc/init.d/$INIT
auto=$DESTDIR/etc/xen/drbd-auto
made=$bin/.xen-drbd.made
news=

case ${verb:-install} in
install) install_all ;;
uninstall) uninstall_all ;;
status) status ;;
esac
