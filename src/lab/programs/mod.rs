//! The programs of a pretend Dom0: argv in, text and exit code out.
//!
//! Each answers as the real one of its version does (the recordings in `tests/recorded/lab`). A program that is not
//! installed on the host is `None`.

mod drbd_text;
mod drbdadm;
mod drbdadm_conf;
mod drbdadm_deeds;
mod drbdsetup;
mod small;
pub(crate) mod ssh;
mod xl;
mod xl_create;
mod xl_migrate;
pub(crate) mod xl_protocol;
pub(crate) mod xl_receive;
pub(crate) mod xl_stream;
mod xm;
mod xm_migrate;

use super::Lab;
use super::model::Pid;
use crate::adapters::{Flow, Halt};

/// What a program printed and how it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Printed {
    /// Its exit code.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Printed {
    /// Exit 0 with this text.
    pub fn ok(out: impl Into<String>) -> Printed {
        Printed { out: out.into(), ..Printed::default() }
    }

    /// This exit code with this text on standard error.
    pub fn fail(code: i32, err: impl Into<String>) -> Printed {
        Printed { code, err: err.into(), ..Printed::default() }
    }
}

/// The one who watches a program at work.
pub trait Watching {
    /// A line on its standard error.
    fn line(&self, line: &str);
    /// So many bytes went through its transport.
    fn sent(&self, bytes: u64);
    /// Nothing new.
    fn tick(&self);
    /// The program is to end.
    fn is_stopped(&self) -> bool;
    /// The watching process.
    fn place(&self) -> (String, Pid);
}

/// The one who stands between the two ends of a migration at the receiving host.
pub(crate) trait Relaying {
    /// The stream waits: may it go on?
    fn halt(&self, halt: Halt) -> Flow;
}

/// Where a program runs, and for whom.
#[derive(Clone, Copy)]
pub struct Ctx<'a> {
    /// The lab.
    pub lab: &'a Lab,
    /// The host.
    pub host: &'a str,
    /// The process that called it.
    pub caller: Pid,
    /// The migration that its standard input and output lead to.
    pub stream: Option<usize>,
    /// Who watches it.
    pub watch: Option<&'a dyn Watching>,
    /// Who watches the other end of the ssh connection that it runs on.
    pub upstream: Option<&'a dyn Watching>,
    /// Who stands between its standard streams and ours.
    pub(crate) relay: Option<&'a dyn Relaying>,
    /// A lock that it keeps as long as it lives.
    pub keeps_lock: Option<&'a str>,
    /// The file that its messages go to.
    pub log: Option<&'a str>,
    /// What it reads.
    pub input: &'a str,
}

impl<'a> Ctx<'a> {
    /// A program that somebody calls and nobody watches.
    pub fn new(lab: &'a Lab, host: &'a str, caller: Pid, stream: Option<usize>) -> Ctx<'a> {
        Ctx { lab, host, caller, stream, watch: None, upstream: None, relay: None, keeps_lock: None, log: None, input: "" }
    }
}

/// Runs a program of the host.
pub fn run(ctx: &Ctx<'_>, argv: &[String]) -> Option<Printed> {
    let (name, args) = argv.split_first()?;
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match name.rsplit('/').next().unwrap_or(name) {
        "xl" => ctx.lab.with(|f| f.host(ctx.host).xl).map(|version| xl::run(ctx, version, &args)),
        "xm" => ctx.lab.with(|f| f.host(ctx.host).xm).map(|version| xm::run(ctx, version, &args)),
        "drbdadm" => Some(drbdadm::run(ctx, &args)),
        "drbdsetup" => Some(drbdsetup::run(ctx, &args)),
        "ssh" => Some(ssh::run(ctx, &args)),
        "xen-migrate" | "xen-drbd-auto" | "migrate2" | "xen-drbd" => Some(ssh::as_process(ctx, ctx.host, argv, None)),
        other => small::run(ctx, other, &args),
    }
}

/// A file that the kernel makes.
pub fn virtual_file(lab: &Lab, host: &str, path: &str) -> Option<String> {
    small::virtual_file(lab, host, path)
}

/// A folder that the kernel makes.
pub fn virtual_folder(lab: &Lab, host: &str, path: &str) -> Option<Vec<String>> {
    small::virtual_folder(lab, host, path)
}

/// Splits a command as `sh` does: blanks, both quotes, backslash. Nothing is expanded.
pub fn sh_split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                word.extend(chars.by_ref().take_while(|c| *c != '\''));
            }
            '"' => {
                let word = word.get_or_insert_default();
                while let Some(c) = chars.next() {
                    match c {
                        '"' => break,
                        '\\' => word.extend(chars.next()),
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_does() {
        assert_eq!(sh_split("exec ssh -i /k 'a b' \"c \\\"d\" e\\ f"), ["exec", "ssh", "-i", "/k", "a b", "c \"d", "e f"]);
        assert_eq!(sh_split("  "), Vec::<String>::new());
        assert_eq!(sh_split("a ''"), ["a", ""]);
    }
}
