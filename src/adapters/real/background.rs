//! What a service needs: going into the background, and a word to the service manager.

use super::{Real, run};
use crate::adapters::{Call, Input};
use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::os::unix::process::CommandExt;
use std::process::Stdio;

/// Starts this program once more.
///
/// It becomes the leader of its own process group, so that no terminal's Ctrl-C reaches it; an init script's caller waits for nobody's
/// streams, because it has none of ours. A session of its own (setsid) would need a hook between fork and exec, hence `unsafe`: so the
/// new process asks for it itself.
pub(super) fn begin(real: &Real, argv: &[String]) -> io::Result<()> {
    let exe = env::current_exe()?;
    let (name, args) = argv.split_first().ok_or_else(|| io::Error::other("no name to be started under"))?;
    let mut call = Call::new(&exe.to_string_lossy(), args.iter().cloned());
    call.stdin = Input::Nothing;
    let mut command = run::command(real, &call).map_err(io::Error::other)?;
    command.arg0(name).current_dir("/").stdout(Stdio::null()).stderr(Stdio::null());
    // Nobody waits for it: it outlives us, and init inherits it.
    run::spawn(real, &call, &mut command).map(drop).map_err(io::Error::other)
}

/// sd_notify(3): a datagram to `$NOTIFY_SOCKET`, whose leading `@` stands for an abstract name. Nobody there is no error.
pub(super) fn notify(state: &str) {
    let Some(name) = env::var_os("NOTIFY_SOCKET") else { return };
    let name = name.to_string_lossy();
    let address = match name.strip_prefix('@') {
        Some(abstract_name) => SocketAddr::from_abstract_name(abstract_name),
        None => SocketAddr::from_pathname(name.as_ref()),
    };
    if let (Ok(address), Ok(socket)) = (address, UnixDatagram::unbound()) {
        let _ = socket.set_nonblocking(true);
        let _ = socket.send_to_addr(state.as_bytes(), &address);
    }
}
