//! How a deed ended: what DRBD's exit codes and the kernel's numbers mean (facts §4.2, §4.8).
//!
//! The kernel's number is printed by drbdsetup as `RES: State change failed: (-N) TEXT` or `RES: Failure: (N) TEXT`; drbdadm passes
//! the exit code on and adds a line of its own.

use super::argv::NotAtRunTime;
use crate::adapters::{Call, CallError, Ended, Output};
use std::fmt;
use thiserror::Error;

/// A deed that was not done, or not wholly.
///
/// 8.4 promotes and demotes volume by volume, 9 sets options peer by peer: after an error some of it may be done. Look again.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct DeedError {
    /// What it means.
    pub why: Why,
    /// The command, as one could paste it.
    pub call: String,
    /// How the program ended, if it was started and ended by itself.
    pub ended: Option<Ended>,
    /// All that the program said, line by line.
    pub said: Vec<String>,
}

/// What a refusal means.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Why {
    /// -1
    #[error("the peer is Primary, and two Primaries are not allowed")]
    PeerPrimary,
    /// -2, exit 17
    #[error("no UpToDate data can be reached")]
    NoGoodData,
    /// -7: the guard's answer when the peer cannot be asked.
    #[error("the peer cannot be asked and is not known to be outdated (fencing)")]
    PeerNotOutdated,
    /// -10
    #[error("the peer refused")]
    RefusedByPeer,
    /// -12; DRBD 9 names who has it open.
    #[error("the device is held open{}", by_whom(.openers))]
    HeldOpen {
        /// DRBD 9: one line for each opener (`drbd0 opened by xenwatch (pid 24) at …`).
        openers: Vec<String>,
    },
    /// -18, -19, -23: try again later.
    #[error("another change of state is under way")]
    Transient,
    /// -20, 8.4 only.
    #[error("another volume is Primary on the peer")]
    OtherVolume,
    /// -22, 9 only.
    #[error("the device is open on the peer, for reading")]
    ReadOnlyOpener,
    /// -24, 9 only.
    #[error("not every Primary is connected to every other one")]
    Mesh,
    /// -25, 9 only.
    #[error("there is no quorum")]
    NoQuorum,
    /// 164: the window cannot be closed yet.
    #[error("both sides are Primary")]
    BothPrimary,
    /// 139
    #[error("two Primaries need protocol C")]
    ProtocolC,
    /// 162: 8.4 while StandAlone.
    #[error("there is no connection")]
    NoConnection,
    /// 102: an 8.4 resource that is connected or connecting already says so too.
    #[error("the local address is in use, by this connection or another one")]
    AddressInUse,
    /// 158, 127
    #[error("the resource is not up")]
    NotUp,
    /// drbdadm, exit 1.
    #[error("the resource is not in the configuration of this host")]
    NotDefined,
    /// Exit 20 with modprobe's words; `secondary` says the same with exit 0.
    #[error("there is no DRBD module")]
    NoModule,
    /// DRBD 8.3.
    #[error("{0}")]
    NotAtRunTime(NotAtRunTime),
    /// Ours, or drbdadm's own limit for drbdsetup.
    #[error("it did not end in time; whether it was done is not known")]
    TimedOut,
    /// drbdadm is not on this host or could not be started.
    #[error("it could not be run")]
    NotRun,
    /// Anything else; what was said is all there is.
    #[error("it failed")]
    Other,
}

impl DeedError {
    /// Whether it is worth trying again in a moment: a change under way, or a device that is just being closed.
    pub fn may_pass(&self) -> bool {
        matches!(self.why, Why::Transient | Why::HeldOpen { .. })
    }

    pub(super) fn not_run(call: &Call, error: &CallError) -> DeedError {
        let (why, said) = match error {
            CallError::TimedOut { said, .. } => (Why::TimedOut, said.as_str()),
            CallError::NotFound(_) | CallError::NotStarted { .. } => (Why::NotRun, ""),
            CallError::TooMuch { .. } | CallError::Lost { .. } => (Why::Other, ""),
        };
        let mut said = lines(said);
        said.push(error.to_string());
        DeedError { why, call: call.to_string(), ended: None, said }
    }

    pub(super) fn not_at_run_time(refusal: NotAtRunTime) -> DeedError {
        let call = format!("drbdadm adjust {}", refusal.resource);
        DeedError { why: Why::NotAtRunTime(refusal), call, ended: None, said: vec![] }
    }

    pub(super) fn no_module(call: &Call, output: &Output) -> DeedError {
        DeedError { why: Why::NoModule, call: call.to_string(), ended: Some(output.ended), said: lines(&output.stderr) }
    }
}

impl fmt::Display for DeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Why::NotAtRunTime(refusal) = &self.why {
            return write!(f, "{refusal}");
        }
        write!(f, "{}: {}", self.call, self.why)?;
        if let Some(ended) = self.ended {
            write!(f, " ({ended})")?;
        }
        if self.said.is_empty() { Ok(()) } else { write!(f, ": {}", self.said.join("; ")) }
    }
}

/// What an ended program means for the deed.
pub(super) fn judge(call: &Call, output: &Output) -> Result<(), DeedError> {
    if output.ok() {
        // `secondary`, `disconnect`, `detach` and `down` exit 0 when there is no module (drbdsetup.c, `drbdsetup_main`).
        return if lacks_module(&output.stderr) { Err(DeedError::no_module(call, output)) } else { Ok(()) };
    }
    let mut said = lines(&output.stderr);
    said.extend(lines(&output.stdout));
    Err(DeedError { why: why(output), call: call.to_string(), ended: Some(output.ended), said })
}

/// Whether there is no module, by the words of all dialects.
pub(super) fn lacks_module(stderr: &str) -> bool {
    // 9: `Failed to modprobe drbd (…)`; 8.4: `Could not stat /proc/drbd: …`; 8.3: `Could not stat("/proc/drbd"): …`.
    ["Failed to modprobe drbd", "Could not stat /proc/drbd", "Could not stat(\"/proc/drbd\")"]
        .iter()
        .any(|words| stderr.contains(words))
}

/// Whether the kernel does not have the resource, by the words of all dialects.
pub(super) fn not_up(stderr: &str) -> bool {
    matches!(kernel_number(stderr), Some(127 | 158))
        || stderr.lines().any(|line| line.ends_with(": No such resource") || line.ends_with(": Unknown resource"))
}

/// The lines of a text without blanks at their ends, without empty ones, and without drbdadm's chatter.
pub(super) fn lines(text: &str) -> Vec<String> {
    let chatter = |line: &str| line.is_empty() || line.starts_with("modinfo: ERROR: ");
    text.lines().map(str::trim).filter(|line| !chatter(line)).map(str::to_string).collect()
}

fn why(output: &Output) -> Why {
    let stderr = output.stderr.as_str();
    if stderr.contains("did not terminate within") {
        return Why::TimedOut;
    }
    if let Some(why) = kernel_number(stderr).and_then(|number| of_number(number, stderr)) {
        return why;
    }
    match output.code() {
        Some(17) => Why::NoGoodData,
        Some(20) if lacks_module(stderr) => Why::NoModule,
        Some(10) if not_up(stderr) => Why::NotUp,
        Some(1) if stderr.contains("not defined in your config") || stderr.contains("' ignored, since this host") => {
            Why::NotDefined
        }
        _ => Why::Other,
    }
}

fn of_number(number: i32, stderr: &str) -> Option<Why> {
    Some(match number {
        -1 => Why::PeerPrimary,
        -2 => Why::NoGoodData,
        -7 => Why::PeerNotOutdated,
        -10 => Why::RefusedByPeer,
        -12 => Why::HeldOpen { openers: openers(stderr) },
        -18 | -19 | -23 => Why::Transient,
        -20 => Why::OtherVolume,
        -22 => Why::ReadOnlyOpener,
        -24 => Why::Mesh,
        -25 => Why::NoQuorum,
        102 => Why::AddressInUse,
        127 | 158 => Why::NotUp,
        139 => Why::ProtocolC,
        162 => Why::NoConnection,
        164 => Why::BothPrimary,
        _ => return None,
    })
}

/// The number of the first failure that is told.
fn kernel_number(stderr: &str) -> Option<i32> {
    stderr.lines().find_map(|line| {
        let (_, rest) = line.split_once("State change failed: (").or_else(|| line.split_once("Failure: ("))?;
        rest.split_once(')')?.0.parse().ok()
    })
}

fn openers(stderr: &str) -> Vec<String> {
    stderr.lines().map(str::trim).filter(|line| line.contains(" opened by ")).map(str::to_string).collect()
}

fn by_whom(openers: &[String]) -> String {
    if openers.is_empty() { String::new() } else { format!(" ({})", openers.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::super::argv;
    use super::super::testing::recorded;
    use super::*;

    fn ended(exit: i32, stderr: &str) -> Result<(), DeedError> {
        let call = argv::promote(&"r0".parse().unwrap());
        let output = Output { ended: Ended::Exit(exit), stdout: String::new(), stderr: stderr.to_string() };
        judge(&call, &output)
    }

    fn why(exit: i32, name: &str) -> Why {
        ended(exit, &recorded(name)).unwrap_err().why
    }

    #[test]
    fn the_peer_is_primary() {
        assert_eq!(why(11, "drbdadm-8.4-primary-peer-is-primary.stderr.txt"), Why::PeerPrimary);
        assert_eq!(why(11, "drbdadm-9.2-primary-peer-is-primary.stderr.txt"), Why::PeerPrimary);
    }

    #[test]
    fn no_good_data_has_an_exit_code_of_its_own() {
        assert_eq!(why(17, "drbdadm-8.4-primary-inconsistent.stderr.txt"), Why::NoGoodData);
        assert_eq!(why(17, "drbdadm-9.2-primary-inconsistent.stderr.txt"), Why::NoGoodData);
        assert_eq!(ended(17, "").unwrap_err().why, Why::NoGoodData);
    }

    #[test]
    fn the_guards_refusal_with_the_link_down() {
        assert_eq!(why(11, "drbdadm-9.2-primary-peer-not-outdated.stderr.txt"), Why::PeerNotOutdated);
    }

    #[test]
    fn in_84_nobody_is_named_who_holds_it_open() {
        let error = ended(11, &recorded("drbdadm-8.4-secondary-held-open.stderr.txt")).unwrap_err();
        assert_eq!(error.why, Why::HeldOpen { openers: vec![] });
        assert!(error.may_pass());
    }

    #[test]
    fn in_9_the_kernel_names_who_holds_it_open() {
        let error = ended(11, &recorded("drbdadm-9.2-secondary-held-open.stderr.txt")).unwrap_err();
        let opener = "drbd0 opened by xenwatch (pid 24) at 2026-11-23 00:20:31.657";
        assert_eq!(error.why, Why::HeldOpen { openers: vec![opener.to_string()] });
        assert_eq!(
            error.to_string(),
            format!(
                "drbdadm primary r0: the device is held open ({opener}) (exit 11): r0: State change failed: (-12) Device is held \
                 open by someone; additional info from kernel:; {opener}; Command 'drbdsetup secondary r0' terminated with exit \
                 code 11"
            )
        );
    }

    #[test]
    fn the_window_cannot_be_closed_and_says_so_on_two_lines() {
        assert_eq!(why(10, "drbdadm-9.2-net-options-both-primary.stderr.txt"), Why::BothPrimary);
    }

    #[test]
    fn not_up_has_two_numbers_and_a_form_without_one() {
        assert_eq!(why(10, "drbdadm-8.4-primary-not-up.stderr.txt"), Why::NotUp);
        assert_eq!(why(10, "drbdadm-8.4-connect-not-up.stderr.txt"), Why::NotUp);
        assert_eq!(why(10, "drbdadm-9.2-secondary-not-up.stderr.txt"), Why::NotUp);
        assert_eq!(why(10, "drbdadm-9.2-role-not-up.stderr.txt"), Why::NotUp);
    }

    #[test]
    fn an_84_disconnect_without_a_connection_fails() {
        assert_eq!(why(10, "drbdadm-8.4-disconnect-not-connected.stderr.txt"), Why::NoConnection);
    }

    #[test]
    fn an_84_connect_while_connecting_blames_the_address() {
        assert_eq!(why(10, "drbdadm-8.4-connect-connecting-already.stderr.txt"), Why::AddressInUse);
    }

    #[test]
    fn not_in_the_file_is_exit_1() {
        assert_eq!(why(1, "drbdadm-8.4-primary-not-in-the-file.stderr.txt"), Why::NotDefined);
        let in_83 = "'web' ignored, since this host (gamma) is not mentioned with an 'on' keyword.\n";
        assert_eq!(ended(1, in_83).unwrap_err().why, Why::NotDefined);
    }

    #[test]
    fn no_module_has_other_words_in_each_dialect() {
        for dialect in ["8.3", "8.4", "9.22"] {
            assert_eq!(why(20, &format!("drbdadm-{dialect}-primary-no-module.stderr.txt")), Why::NoModule, "{dialect}");
        }
        // The names in full, for whoever looks for them: drbdadm-8.3-primary-no-module.stderr.txt,
        // drbdadm-8.4-primary-no-module.stderr.txt, drbdadm-9.22-primary-no-module.stderr.txt.
    }

    #[test]
    fn secondary_without_a_module_exits_0_and_is_no_success() {
        assert_eq!(why(0, "drbdadm-9.22-secondary-no-module-exit-0.stderr.txt"), Why::NoModule);
    }

    #[test]
    fn the_other_numbers_of_the_table() {
        for (number, expected) in [
            (-10, Why::RefusedByPeer),
            (-18, Why::Transient),
            (-19, Why::Transient),
            (-20, Why::OtherVolume),
            (-22, Why::ReadOnlyOpener),
            (-23, Why::Transient),
            (-24, Why::Mesh),
            (-25, Why::NoQuorum),
            (-99, Why::Other),
        ] {
            let text = format!("r0: State change failed: ({number}) Some text\n");
            assert_eq!(ended(11, &text).unwrap_err().why, expected, "{number}");
        }
        assert_eq!(ended(10, "r0: Failure: (139) Protocol C required\n").unwrap_err().why, Why::ProtocolC);
    }

    #[test]
    fn drbdadm_itself_gives_up_on_drbdsetup() {
        let text = "Command 'drbdsetup primary r0' did not terminate within 600 seconds\n";
        assert_eq!(ended(20, text).unwrap_err().why, Why::TimedOut);
    }

    #[test]
    fn what_is_not_known_is_quoted_in_full() {
        let error = ended(20, "one\n\n two \n").unwrap_err();
        assert_eq!(error.why, Why::Other);
        assert_eq!(error.to_string(), "drbdadm primary r0: it failed (exit 20): one; two");
        assert!(!error.may_pass());
    }

    #[test]
    fn chatter_with_exit_0_is_a_success() {
        assert_eq!(ended(0, "/etc/drbd.conf:4: in resource web, on alpha:\n\tIP 10.0.0.1 not found on this host.\n"), Ok(()));
    }
}
