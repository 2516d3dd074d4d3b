//! The lab's executable under the name of a pretended program.

use super::live::{Live, nap};
use super::processes::{RealProcess, die_of, unburdened};
use super::session::{Session, or_die};
use super::{Folder, PRETENDED, place_of, receiver, ssh, standins};
use crate::applets::NAMES;
use crate::lab::model::{Pid, Quirk, Stdin};
use crate::lab::programs::{self, Ctx, Printed, Watching};
use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::rc::Rc;
use std::time::Duration;

/// Tells `xend` on whose behalf `xm` asked it: the number of a process.
const FOR_WHOM: &str = "PRETEND_XM_CALLER";

/// Runs the program that `argv[0]` names. `None`: that is none of them, but the lab itself.
pub fn main(argv: &[OsString]) -> Option<ExitCode> {
    let argv: Vec<String> = argv.iter().map(|a| a.to_string_lossy().into_owned()).collect();
    let argv0 = argv.first()?;
    let name = argv0.rsplit('/').next()?.to_string();
    let pretended = PRETENDED.contains(&name.as_str()) || standins::names().any(|ours| ours == name);
    if !pretended && !matches!(name.as_str(), "xl" | "xm" | "xend") {
        return None;
    }
    let Some((folder, host)) = place_of(argv0, std::env::var_os("PATH").as_deref()) else {
        eprintln!("lab: {name}: no pretend Dom0 has this program (is its folder bin in PATH?)");
        return Some(ExitCode::from(127));
    };
    let argv = words_of_the_host(&folder, &host, &name, &argv);
    let words: Vec<&str> = argv.iter().skip(1).map(String::as_str).collect();
    let printed = standins::run(&folder, &host, &name, &words).unwrap_or_else(|| match name.as_str() {
        "xm" if argv.get(1).is_some_and(|word| word == "migrate") => ask_xend(&folder, &host, &argv),
        _ => act(&folder, &host, &name, &argv),
    });
    let _ = std::io::stdout().write_all(printed.out.as_bytes());
    let _ = std::io::stderr().write_all(printed.err.as_bytes());
    if let Some(signal) = printed.signal {
        die_of(signal);
    }
    Some(ExitCode::from(u8::try_from(printed.code).unwrap_or(255)))
}

/// The command line as the pretended host has it: its paths begin at its own root.
fn words_of_the_host(folder: &Folder, host: &str, name: &str, argv: &[String]) -> Vec<String> {
    let root = format!("{}/", folder.root(host).display());
    let creates = matches!(name, "xl" | "xm") && argv.get(1).is_some_and(|word| word == "create");
    let words = argv.iter().enumerate().map(|(n, word)| match word {
        _ if n == 0 => if name == "xend" { "xm" } else { name }.to_string(),
        file if creates && n > 1 && !file.starts_with(['-', '/']) && Path::new(file).is_file() => {
            let here = std::env::current_dir().unwrap_or_default();
            here.join(file).to_string_lossy().replace(&root, "/")
        }
        word => word.replace(&root, "/"),
    });
    words.collect()
}

/// One program's turn.
fn act(folder: &Folder, host: &str, name: &str, argv: &[String]) -> Printed {
    let session = Rc::new(or_die(Session::open(folder.dir())));
    let lab = &session.lab;
    if !lab.with(|f| f.hosts.get(host).is_some_and(|h| h.powered)) {
        return Printed::fail(255, format!("{host} is off (lab power on {host})\n"));
    }
    lab.set_outside(Some(Rc::new(Live::new(Rc::clone(&session), host))));
    let (caller, passing) = caller(&session, host);
    let what = format!("run {}", argv.join(" "));
    let number = lab.begin(host, caller, &what);
    lab.pass(100);
    lab.survive(host, caller);
    let quirk = lab.with(|f| f.take_quirk(host, &argv.join(" ")));
    let printed = match quirk {
        Some(Quirk::Instead { code, out, err, .. }) => Printed { code, out, err, signal: None },
        Some(_) => hang(&session),
        None => perform(&session, folder, host, caller, name, argv),
    };
    lab.finish(number, host, caller, &what);
    if passing {
        lab.with(|f| f.end_process(host, caller));
    }
    or_die(session.close());
    printed
}

fn perform(session: &Session, folder: &Folder, host: &str, caller: Pid, name: &str, argv: &[String]) -> Printed {
    let words: Vec<&str> = argv.iter().skip(1).map(String::as_str).collect();
    let receives = words.iter().find(|word| !word.starts_with('-')) == Some(&"migrate-receive");
    let watch = Watch { session, host, caller };
    let ctx = Ctx {
        watch: (name == "drbdsetup").then_some(&watch as &dyn Watching),
        // Its messages outlive whoever reads them where they go to a file.
        log: fs::metadata("/proc/self/fd/2").is_ok_and(|m| m.is_file()).then_some("standard error"),
        ..Ctx::new(&session.lab, host, caller, None)
    };
    match name {
        "ssh" => ssh::run(&ctx, session, folder, &words),
        "xl" if receives && programs::xl_receive::understands(&words) => receiver::receive(session, folder, host, caller),
        "logger" => {
            session.lab.with(|f| f.host_mut(host).syslog.push(words.join(" ")));
            Printed::default()
        }
        _ => programs::run(&ctx, argv)
            .unwrap_or_else(|| Printed::fail(127, format!("lab: the {name} of {host} does not know `{}`\n", words.join(" ")))),
    }
}

/// Who called: one of our tools, which is a process of the story from now on, or somebody at a keyboard, who passes.
fn caller(session: &Session, host: &str) -> (Pid, bool) {
    let real = match std::env::var(FOR_WHOM).ok().and_then(|pid| pid.parse().ok()) {
        Some(pid) => RealProcess::of(pid),
        None => RealProcess::parent(),
    };
    let tool = real.filter(|real| {
        let name = real.name();
        NAMES.contains(&name.as_str()) || name == "xen-drbd"
    });
    match tool {
        Some(real) => {
            let words = real.words();
            let name = real.name();
            let command =
                std::iter::once(name.as_str()).chain(words.iter().skip(1).map(String::as_str)).collect::<Vec<_>>().join(" ");
            (session.enlist(host, real, &command), false)
        }
        None => (session.lab.with(|f| f.start_process(host, "sh", Stdin::Closed, None)), true),
    }
}

/// A program that gives no answer, until somebody ends it, or its caller or its world is gone.
fn hang(session: &Session) -> Printed {
    or_die(session.close());
    let caller = RealProcess::parent();
    while session.dir().join("fleet.lock").exists() && RealProcess::parent() == caller {
        nap(Duration::from_millis(50));
    }
    std::process::exit(1)
}

/// `xm migrate` only asks xend, which goes on whatever becomes of `xm`.
fn ask_xend(folder: &Folder, host: &str, argv: &[String]) -> Printed {
    let Ok(this) = std::env::current_exe() else { return Printed::fail(1, "Error: Unable to connect to xend\n") };
    let link = folder.dir().join("hosts").join(host).join("bin/xend");
    if fs::symlink_metadata(&link).is_err()
        && std::os::unix::fs::symlink(this, &link).is_err()
        && fs::symlink_metadata(&link).is_err()
    {
        return Printed::fail(1, "Error: Unable to connect to xend\n");
    }
    let mut command = unburdened(&link);
    command.args(&argv[1..]).env(FOR_WHOM, std::os::unix::process::parent_id().to_string());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let Ok(mut child) = command.spawn() else { return Printed::fail(1, "Error: Unable to connect to xend\n") };
    let (mut out, mut err) = (String::new(), String::new());
    // It says little: no pipe fills up.
    let _ = child.stdout.take().map(|mut from| from.read_to_string(&mut out));
    let _ = child.stderr.take().map(|mut from| from.read_to_string(&mut err));
    let code = child.wait().ok().and_then(|status| status.code()).unwrap_or(1);
    Printed { code, out, err, ..Printed::default() }
}

/// Who reads a stream of events: whoever has our standard output, line by line, as long as it is there.
struct Watch<'a> {
    session: &'a Session,
    host: &'a str,
    caller: Pid,
}

impl Watching for Watch<'_> {
    fn line(&self, line: &str) {
        let mut out = std::io::stdout();
        if out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush()).is_err() {
            or_die(self.session.close());
            die_of(15);
        }
    }

    fn sent(&self, _: u64) {}

    fn tick(&self) {
        if !self.session.dir().join("fleet.lock").exists() {
            std::process::exit(1);
        }
        self.session.apart(|| nap(Duration::from_millis(500)));
    }

    fn is_stopped(&self) -> bool {
        false
    }

    fn place(&self) -> (String, Pid) {
        (self.host.to_string(), self.caller)
    }
}
