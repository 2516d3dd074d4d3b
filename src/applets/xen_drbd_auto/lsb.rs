//! What `update-rc.d` and `insserv` read in `/etc/init.d/xen-drbd-auto`.
//!
//! That is a link to this executable, in which they look for lines as in a script. So the header is a part of it, with a line end before it;
//! `xen-drbd-auto init-info` prints it, which also keeps the linker from leaving it out.

/// The header (LSB Core, "Comment Conventions for Init Scripts").
pub const HEADER: &str = "
### BEGIN INIT INFO
# Provides:          xen-drbd-auto
# Required-Start:    $remote_fs $syslog $network
# Required-Stop:     $remote_fs $syslog $network
# Should-Start:      drbd xen xend xendomains
# Should-Stop:       drbd xen xend xendomains
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: Start domUs on DRBD when it is safe
# Description:       Starts the domUs of /etc/xen/drbd-auto when the roles
#                    of DRBD prove that no other Dom0 runs them, and waits
#                    in the background for the others.
### END INIT INFO
";
