//! What goes wrong between us and the toolstacks, in words that a person can act on.

use super::log;
use crate::adapters::{Call, CallError, Ended, Output};
use crate::core::xen::Toolstack;
use std::time::Duration;
use thiserror::Error;

/// Why a question to the toolstack has no answer, or a deed was not done.
///
/// Only [`XenError::UnknownDomain`] says that something is *not there*; every other one means that it was not seen.
#[derive(Debug, Error)]
pub enum XenError {
    /// The program is not on this host.
    #[error("{program}: not found on this host")]
    NotFound {
        /// `xl` or `xm`.
        program: String,
    },
    /// Neither toolstack answers.
    #[error("no Xen toolstack answers on this host: {}", .said.join("; "))]
    NoToolstack {
        /// What each of them said.
        said: Vec<String>,
    },
    /// `xm` found no xend to talk to.
    #[error("{call}: xend does not answer: {said}")]
    XendDown {
        /// The command, as one could paste it.
        call: String,
        /// The end of its standard error.
        said: String,
    },
    /// The toolstack cannot reach the hypervisor: no Xen kernel, no right to, or it is broken.
    #[error("{call}: the hypervisor cannot be reached: {said}")]
    NoHypervisor {
        /// The command, as one could paste it.
        call: String,
        /// The end of its standard error.
        said: String,
    },
    /// There is no such domain on this host.
    #[error("{call}: no such domain: {said}")]
    UnknownDomain {
        /// The command, as one could paste it.
        call: String,
        /// The end of its standard error.
        said: String,
    },
    /// The domain is there, but the toolstack has no configuration of it that it can read (`xl list -l` answers `[]`, exit 0).
    #[error("{call}: the domain is there, but its stored configuration cannot be read")]
    NoConfig {
        /// The command, as one could paste it.
        call: String,
    },
    /// The answer was not understood; what it says must not be taken for "nothing there".
    #[error("{call}: not understood: {why}: {row:?}")]
    Unparsable {
        /// The command, as one could paste it.
        call: String,
        /// The row that was not understood, shortened.
        row: String,
        /// What is wrong with it.
        why: String,
    },
    /// It took longer than it may, and was ended. A deed may be half done.
    #[error("{call}: no answer within {} s, ended{}", .limit.as_secs(), after(.said))]
    TimedOut {
        /// The command, as one could paste it.
        call: String,
        /// The limit it broke.
        limit: Duration,
        /// What it had said so far.
        said: String,
    },
    /// It ran, and the system does not tell how it ended. A deed may be half done.
    #[error("{call}: how it ended cannot be seen: {why}")]
    Lost {
        /// The command, as one could paste it.
        call: String,
        /// The system's words.
        why: String,
    },
    /// The id does not belong to that domain any more (a guest that reboots gets a new one). Nothing was done.
    #[error("domain {id} is not {name:?} any more: {found}; nothing was done")]
    NotThatDomain {
        /// The id that was meant.
        id: u32,
        /// The name it had.
        name: String,
        /// What was found instead.
        found: String,
    },
    /// We do not say that to a toolstack, whatever it would do. Nothing was done.
    #[error("{what}: {why}; nothing was done")]
    Refused {
        /// What was asked for.
        what: String,
        /// Why not.
        why: String,
    },
    /// It failed in some other way.
    #[error("{call}: {ended}: {}", .why.as_deref().unwrap_or(.said))]
    Failed {
        /// The command, as one could paste it.
        call: String,
        /// How it ended.
        ended: Ended,
        /// The end of its standard error.
        said: String,
        /// The one or two lines of it that a person needs, where they are known.
        why: Option<String>,
    },
}

impl XenError {
    /// The toolstack, asked to do something, came to its own end: it was neither ended by a limit or a signal, nor lost out of sight. (`keep` and a shell say 128
    /// and the signal.)
    pub fn is_orderly(&self) -> bool {
        match self {
            XenError::TimedOut { .. } | XenError::Unparsable { .. } | XenError::Lost { .. } => false,
            XenError::Failed { ended: Ended::Exit(code), .. } => *code < 126,
            XenError::Failed { ended: Ended::Signal(_), .. } => false,
            _ => true,
        }
    }
}

impl From<CallError> for XenError {
    fn from(error: CallError) -> XenError {
        match error {
            CallError::NotFound(program) => XenError::NotFound { program },
            CallError::NotStarted { call, why } => XenError::Refused { what: call, why: format!("could not be started: {why}") },
            CallError::TimedOut { call, limit, said } => XenError::TimedOut { call, limit, said: tail(&said) },
            CallError::TooMuch { call, most } => {
                XenError::Unparsable { call, row: String::new(), why: format!("more than {most} bytes of output") }
            }
            CallError::Lost { call, why } => XenError::Lost { call, why },
        }
    }
}

/// What a program that failed meant by it.
///
/// The texts decide where there are any, because the exit codes differ: an unknown domain is 2 or 6 with `xl` up to 4.6, 1 since 4.7,
/// 3 with `xm` since 3.4, 1 before that, 255 with xend's XenAPI server, and `xl block-list` exits 0 (facts 1.2, 1.4, 2.2, 2.3).
pub fn judge(ts: Toolstack, call: &Call, output: &Output) -> XenError {
    let (call, said) = (call.to_string(), tail(&output.stderr));
    if ts == Toolstack::Xm && xend_is_down(&output.stderr) {
        return XenError::XendDown { call, said };
    }
    if hypervisor_is_away(&output.stderr) {
        return XenError::NoHypervisor { call, said };
    }
    // With the XenAPI server `xm list` says it on standard output.
    let on_stdout = ts == Toolstack::Xm && output.stdout.starts_with("Error: no domain");
    if names_no_domain(&output.stderr) || on_stdout || (ts == Toolstack::Xm && output.code() == Some(3)) {
        let said = if on_stdout { tail(&output.stdout) } else { said };
        return XenError::UnknownDomain { call, said };
    }
    XenError::Failed { call, ended: output.ended, said, why: log::why(&output.stderr) }
}

/// Whether a text says that the domain it was asked about does not exist, in the words of any version.
pub fn names_no_domain(stderr: &str) -> bool {
    stderr.lines().any(|line| {
        line.contains(" is an invalid domain identifier")
            || line.contains("maybe this domain does not exist")
            // `xl list 99` and `xm`; `xm` of Xen 3.0.2 says "the domain 'X' does not exist".
            || (line.starts_with("Error: ") && line.contains("omain '") && line.trim_end().ends_with("does not exist."))
    })
}

fn xend_is_down(stderr: &str) -> bool {
    [
        "Unable to connect to xend",
        "Error connecting to xend",
        "Is xend running",
        "Xend has probably crashed",
        "Most commands need root access",
    ]
    .iter()
    .any(|text| stderr.contains(text))
}

fn hypervisor_is_away(stderr: &str) -> bool {
    [
        "cannot init xl context",
        "Could not obtain handle on privileged command interface",
        "libxl_list_domain failed",
        "libxl_list_vm failed",
        "libxl_domain_infolist failed",
        "libxl_get_version_info failed",
        "Can't find hypervisor information",
        "xc_interface_open",
    ]
    .iter()
    .any(|text| stderr.contains(text))
}

/// The last lines of a text that are not empty, on one line, shortened.
pub fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() {
        return "it said nothing".to_string();
    }
    let from = lines.len().saturating_sub(4);
    lines[from..].iter().map(|line| shortened(line, 300)).collect::<Vec<_>>().join("; ")
}

/// A text cut to a length that fits a message.
pub fn shortened(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_string();
    }
    let mut cut: String = text.chars().take(length).collect();
    cut.push('…');
    cut
}

fn after(said: &str) -> String {
    if said == "it said nothing" { String::new() } else { format!("; it had said: {said}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(ts: Toolstack, code: i32, stdout: &str, stderr: &str) -> XenError {
        let output = Output { ended: Ended::Exit(code), stdout: stdout.into(), stderr: stderr.into() };
        judge(ts, &Call::new(ts.program(), ["list", "nosuch"]), &output)
    }

    #[test]
    fn an_unknown_domain_in_the_words_and_codes_of_every_version() {
        use Toolstack::{Xl, Xm};
        let invalid = include_str!("../../../tests/recorded/xen/xl-4.17-list-unknown-name.stderr.txt");
        let digits = include_str!("../../../tests/recorded/xen/xl-4.17-list-unknown-digits.stderr.txt");
        let domid = include_str!("../../../tests/recorded/xen/xl-4.17-domid-unknown.stderr.txt");
        let null = include_str!("../../../tests/recorded/xen/xl-4.17-list-null-name-asked.stderr.txt");
        let gone = include_str!("../../../tests/recorded/xen/xl-4.17-destroy-unknown.stderr.txt");
        let xm = include_str!("../../../tests/recorded/xen/xm-4.1-unknown-domain.stderr.txt");
        for (ts, code, out, err) in [
            (Xl, 1, "", invalid),
            (Xl, 2, "", invalid),
            (Xl, 1, "", digits),
            (Xl, 6, "", digits),
            (Xl, 1, "", domid),
            (Xl, 1, "", null),
            (Xl, 1, "", gone),
            (Xm, 3, "", xm),
            (Xm, 1, "Usage: xm list …", xm),
            (Xm, 3, "", ""),
            (Xm, 1, "", "Error: the domain 'nosuch' does not exist.\n"),
            (Xm, 255, "Error: no domain named nosuch\n", ""),
        ] {
            let error = judged(ts, code, out, err);
            assert!(matches!(error, XenError::UnknownDomain { .. }), "{ts} {code} {err}: {error:?}");
        }
        // Exit 3 of xl is a failure like any other.
        assert!(matches!(judged(Xl, 3, "", "libxl: error: x\n"), XenError::Failed { .. }));
    }

    #[test]
    fn something_else_that_does_not_exist_is_not_a_domain() {
        for text in ["Error: Device 51712 does not exist.\n", "Failed to read config file: /x: No such file or directory\n"] {
            assert!(!names_no_domain(text), "{text}");
        }
    }

    #[test]
    fn not_being_root_is_no_proof_that_nothing_runs() {
        let error = judged(Toolstack::Xl, 1, "", include_str!("../../../tests/recorded/xen/xl-4.17-list-not-root.stderr.txt"));
        assert!(matches!(error, XenError::NoHypervisor { .. }), "{error:?}");
        assert!(error.to_string().contains("Permission denied"), "{error}");
        let error = judged(Toolstack::Xm, 1, "", include_str!("../../../tests/recorded/xen/xm-4.1-info-xend-down.stderr.txt"));
        assert!(matches!(error, XenError::XendDown { .. }), "{error:?}");
    }

    #[test]
    fn the_message_quotes_the_command_and_the_end_of_what_it_said() {
        let error = judged(Toolstack::Xl, 1, "", "a\n\nb\nc\nd\nlast words\n");
        assert_eq!(error.to_string(), "xl list nosuch: exit 1: b; c; d; last words");
        assert_eq!(judged(Toolstack::Xl, 1, "", "").to_string(), "xl list nosuch: exit 1: it said nothing");
        let late =
            XenError::from(CallError::TimedOut { call: "xl list".into(), limit: Duration::from_secs(30), said: "x\n".into() });
        assert_eq!(late.to_string(), "xl list: no answer within 30 s, ended; it had said: x");
    }
}
