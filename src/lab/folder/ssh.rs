//! `ssh` as a process: the command at the other end is a process as well, with this one's streams.

use super::live::{GLANCE, nap};
use super::processes::{RealProcess, unburdened};
use super::session::{Session, peek};
use super::{Folder, PRETENDED};
use crate::applets::NAMES;
use crate::lab::programs::ssh::{Inside, hear_out, knock};
use crate::lab::programs::{Ctx, Printed};
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// What a command printed is waited for no longer than this after its end.
const LATE: Duration = Duration::from_secs(2);

/// Runs `ssh`.
pub(super) fn run(ctx: &Ctx<'_>, session: &Session, folder: &Folder, args: &[&str]) -> Printed {
    let stream = RealProcess::parent().and_then(|xl| session.driven_by(xl));
    let ctx = Ctx { stream, ..*ctx };
    let inside = match knock(&ctx, args) {
        Ok(inside) => inside,
        Err(printed) => return printed,
    };
    let Some(mut command) = command(folder, &inside) else {
        let name = inside.argv.first().cloned().unwrap_or_default();
        return hear_out(&ctx, &inside, Printed::fail(127, format!("sh: 1: {name}: not found\n")));
    };
    if let Some(this) = RealProcess::this() {
        session.enlist(ctx.host, this, "ssh");
    }
    let mut said = Printed::default();
    session.apart(|| match command.spawn() {
        Ok(child) => said = converse(child, &ctx, folder, &inside),
        Err(why) => said = Printed::fail(126, format!("sh: 1: {why}\n")),
    });
    ctx.lab.survive(ctx.host, ctx.caller);
    hear_out(&ctx, &inside, said)
}

/// The command as a process of the other host. Only what the lab provides runs: a shell there would be a shell on this machine.
fn command(folder: &Folder, inside: &Inside) -> Option<Command> {
    let (name, args) = inside.argv.split_first()?;
    let name = name.rsplit('/').next().unwrap_or(name);
    let bin = folder.bin(&inside.there);
    let ours = NAMES.contains(&name);
    if !(ours || PRETENDED.contains(&name) || matches!(name, "xl" | "xm")) || !bin.join(name).exists() {
        return None;
    }
    let mut command = unburdened(&bin.join(name));
    if ours {
        // As a forced command would have it in its line.
        command.arg("--root").arg(folder.root(&inside.there)).arg("--path").arg(&bin);
    }
    command.args(args).current_dir(folder.root(&inside.there)).env_clear();
    command.env("PATH", format!("{}:/usr/bin:/bin", bin.display())).env("HOME", "/root").env("LC_ALL", "C");
    let variables =
        [("SSH_ORIGINAL_COMMAND", &inside.around.ssh_original_command), ("SSH_CONNECTION", &inside.around.ssh_connection)];
    for (name, value) in variables {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    Some(command)
}

/// Passes the streams through until the command has ended.
///
/// An answer on standard output is kept back until the end: it may be lost with the line. What goes through a migration's transport is not.
fn converse(mut child: Child, ctx: &Ctx<'_>, folder: &Folder, inside: &Inside) -> Printed {
    if let Some(mut stdin) = child.stdin.take() {
        thread::spawn(move || pass(std::io::stdin(), |bytes| stdin.write_all(bytes).is_ok()));
    }
    let (dir, here, stream) = (folder.dir().to_path_buf(), ctx.host.to_string(), ctx.stream);
    let (answer, ended) = listen(child.stdout.take(), move |bytes| match stream {
        Some(_) => {
            let mut out = std::io::stdout();
            out.write_all(bytes).and_then(|()| out.flush()).is_ok().then(Vec::new)
        }
        None => Some(bytes.to_vec()),
    });
    let there = inside.there.clone();
    let (_nothing, told) = listen(child.stderr.take(), move |bytes| {
        let heard = peek(&dir).is_ok_and(|f| f.ssh_path(&here, &there));
        if heard {
            let _ = std::io::stderr().write_all(bytes);
        }
        Some(Vec::new())
    });
    let mut glances = 0_u32;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) => {}
            Err(_) => break None,
        }
        // The sender has given this connection up; what runs at the other end does not know that.
        glances += 1;
        if let Some(id) = stream
            && glances.is_multiple_of(20)
            && let Ok(fleet) = peek(folder.dir())
            && fleet.migrations.get(id).is_some_and(|m| m.verdict.is_some())
            && !inside.stands(&fleet, ctx.host)
        {
            break None;
        }
        nap(GLANCE / 2);
    };
    if status.is_some() {
        let _ = ended.recv_timeout(LATE);
        let _ = told.recv_timeout(LATE);
    }
    let out = String::from_utf8_lossy(&answer.try_iter().flatten().collect::<Vec<u8>>()).into_owned();
    match status {
        Some(status) => Printed { code: status.code().unwrap_or(255), signal: status.signal(), out, err: String::new() },
        None => Printed::fail(255, ""),
    }
}

/// Reads one output to its end in a thread of its own. The second channel hangs up at the end.
fn listen(
    from: Option<impl Read + Send + 'static>,
    mut each: impl FnMut(&[u8]) -> Option<Vec<u8>> + Send + 'static,
) -> (Receiver<Vec<u8>>, Receiver<()>) {
    let (to, kept) = channel();
    let (open, ended) = channel();
    thread::spawn(move || {
        let _open = open;
        if let Some(from) = from {
            pass(from, |bytes| each(bytes).is_some_and(|bytes| to.send(bytes).is_ok()));
        }
    });
    (kept, ended)
}

fn pass(mut from: impl Read, mut each: impl FnMut(&[u8]) -> bool) {
    let mut buffer = vec![0; 256 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if !each(&buffer[..count]) {
            return;
        }
    }
}
