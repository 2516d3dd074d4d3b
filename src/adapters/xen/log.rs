//! What `xl migrate` says on standard error, from both ends, and what it means.
//!
//! Nothing here decides: the text can say "Migration successful." with a split brain or a dead disk behind it (measured), and the
//! target's part of it comes from the peer. It tells where a migration stands while it runs, where to look afterwards, and
//! what to show to a person.
//!
//! xl's own texts are the same from 4.1 to 4.22 (`xl_migrate.c`). Each is written in one piece, but libxl's messages are not, so
//! one end's text may follow in the middle of the other's line; both ends' lines come in any order.

use super::error::{names_no_domain, shortened};

/// A text of `xl migrate` that marks a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Milestone {
    /// The target answers and waits for the stream.
    TargetReady,
    /// The target has it all, disks included, and asks for permission.
    TransferComplete,
    /// The sender has heard that. The guest stands still on both ends.
    Acknowledged,
    /// The sender is about to let the target go: from here on it may run there.
    GoGiven,
    /// The target heard it.
    PermissionGot,
    /// The target's copy runs (or is left paused, with `-p`).
    StartedThere,
    /// The sender heard that, and destroys its own copy.
    SuccessReported,
    /// The end of a migration that xl takes for a success.
    Successful,
    /// The guest did not suspend; it goes on here.
    FailedToSuspend,
    /// The target could not build its copy.
    CreationFailed,
    /// The sender is about to resume its copy. That it did is said nowhere.
    ResumingHere,
    /// The target could not start its copy and said so.
    StartFailed,
    /// The sender resumed its copy after that.
    ResumedOk,
    /// The end of that.
    ProblemsAtTarget,
    /// The connection was lost after the permission: nobody knows where the guest is.
    Undefined,
}

const MILESTONES: [(&str, Milestone); 15] = [
    ("migration target: Ready to receive domain.", Milestone::TargetReady),
    ("migration target: Transfer complete, requesting permission to start domain.", Milestone::TransferComplete),
    ("migration sender: Target has acknowledged transfer.", Milestone::Acknowledged),
    ("migration sender: Giving target permission to start.", Milestone::GoGiven),
    ("migration target: Got permission, starting domain.", Milestone::PermissionGot),
    // Three s in every version so far; two would be read as well.
    ("migration target: Domain started success", Milestone::StartedThere),
    ("migration sender: Target reports successful startup.", Milestone::SuccessReported),
    ("Migration successful.", Milestone::Successful),
    ("Migration failed, failed to suspend at sender.", Milestone::FailedToSuspend),
    ("migration target: Domain creation failed", Milestone::CreationFailed),
    ("Migration failed, resuming at sender.", Milestone::ResumingHere),
    ("migration sender: Target reports startup failure", Milestone::StartFailed),
    ("migration sender: Resumed OK.", Milestone::ResumedOk),
    ("Migration failed due to problems at target.", Milestone::ProblemsAtTarget),
    ("** Migration failed during final handshake **", Milestone::Undefined),
];

/// The step that a line marks; the last one if two came on one line.
pub fn milestone(line: &str) -> Option<Milestone> {
    MILESTONES
        .iter()
        .filter_map(|(text, step)| line.rfind(text).map(|at| (at, *step)))
        .max_by_key(|(at, _)| *at)
        .map(|(_, step)| step)
}

/// How much of the memory has arrived, in percent, where a line tells it; the last one if several came on one line, between
/// carriage returns.
///
/// `xc: progress: Reloading memory pages: 53248/1045504    5%`, or without `progress:` on a terminal (`xtl_logger_stdio.c`).
/// Only targets up to Xen 4.5 print it; the sender hides its own, and since 4.6 the target has none. Count the bytes instead.
pub fn percent(line: &str) -> Option<u8> {
    line.split(['\r', '\n']).filter_map(percent_of_one).next_back()
}

fn percent_of_one(text: &str) -> Option<u8> {
    let number = text.trim_end().strip_suffix('%')?;
    let (before, number) = number.rsplit_once(' ')?;
    // `…: DONE/TOTAL  `, so that no other line that ends in a percent sign is taken for one.
    let (done, total) = before.trim_end().rsplit_once(' ')?.1.split_once('/')?;
    let digits = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    if !(digits(done) && digits(total)) {
        return None;
    }
    number.parse().ok().filter(|percent| *percent <= 100)
}

/// How `xl`'s transport (ssh) ended, as xl tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransportEnd {
    /// With this code; 255 is ssh's own failure.
    Exit(i32),
    /// By a signal, in the system's words.
    Signal(String),
    /// It had not ended 2 seconds after the failure, and xl stopped waiting for it.
    StillThere,
}

/// All that a migration's standard error says, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MigrateWords {
    /// [`Milestone::TargetReady`].
    pub target_ready: bool,
    /// [`Milestone::TransferComplete`].
    pub transfer_complete: bool,
    /// [`Milestone::Acknowledged`].
    pub acknowledged: bool,
    /// [`Milestone::GoGiven`]: without it the target cannot have started its copy.
    pub go_given: bool,
    /// [`Milestone::PermissionGot`].
    pub permission_got: bool,
    /// [`Milestone::StartedThere`].
    pub started_there: bool,
    /// [`Milestone::SuccessReported`].
    pub success_reported: bool,
    /// [`Milestone::Successful`].
    pub successful: bool,
    /// [`Milestone::FailedToSuspend`].
    pub failed_to_suspend: bool,
    /// [`Milestone::ResumingHere`].
    pub resuming_here: bool,
    /// [`Milestone::ResumedOk`].
    pub resumed_ok: bool,
    /// [`Milestone::ProblemsAtTarget`].
    pub problems_at_target: bool,
    /// [`Milestone::Undefined`].
    pub undefined: bool,
    /// [`Milestone::CreationFailed`], with libxl's code.
    pub creation_failed: Option<i32>,
    /// [`Milestone::StartFailed`], with the target's status.
    pub start_failed: Option<i32>,
    /// `libxl_domain_suspend failed`, with libxl's code (-8: the guest did not answer).
    pub suspend_failed: Option<i32>,
    /// The guest had not been suspended when xl tried to resume it, so xl's failure to do so means nothing.
    pub never_suspended: bool,
    /// The resume here failed. Together with `never_suspended` it is harmless.
    pub resume_failed: bool,
    /// The target said that it destroyed its copy.
    pub target_cleaned_up: bool,
    /// The target said that it could not.
    pub target_cleanup_failed: bool,
    /// Something else than the banner came from the target's side; the command that was run, where it is told.
    pub banner_garbage: Option<String>,
    /// The stream ended before the banner: ssh failed, or there is no `xl` over there.
    pub banner_missing: bool,
    /// How the transport ended.
    pub transport: Option<TransportEnd>,
    /// There is no such domain here.
    pub unknown_domain: bool,
    /// xl has no configuration of the domain, or cannot read it.
    pub no_config: bool,
    /// xl does not know an option that it was given; up to 4.6 it goes on all the same.
    pub unknown_option: bool,
}

impl MigrateWords {
    /// Whether the target may have started its copy, as far as the text goes. Only a look tells whether it did.
    pub fn may_run_there(&self) -> bool {
        self.go_given || self.permission_got || self.started_there || self.success_reported || self.successful || self.undefined
    }
}

/// Reads all of a migration's standard error.
pub fn read_log(stderr: &str) -> MigrateWords {
    let has = |text: &str| stderr.contains(text);
    let said = |step: Milestone| MILESTONES.iter().any(|(text, s)| *s == step && has(text));
    let garbage = has("migration receiver stream contained unexpected data instead of");
    MigrateWords {
        target_ready: said(Milestone::TargetReady),
        transfer_complete: said(Milestone::TransferComplete),
        acknowledged: said(Milestone::Acknowledged),
        go_given: said(Milestone::GoGiven),
        permission_got: said(Milestone::PermissionGot),
        started_there: said(Milestone::StartedThere),
        success_reported: said(Milestone::SuccessReported),
        successful: said(Milestone::Successful),
        failed_to_suspend: said(Milestone::FailedToSuspend),
        resuming_here: said(Milestone::ResumingHere),
        resumed_ok: said(Milestone::ResumedOk),
        problems_at_target: said(Milestone::ProblemsAtTarget),
        undefined: said(Milestone::Undefined) || has("Domain state is now undefined"),
        creation_failed: number_after(stderr, "migration target: Domain creation failed (code "),
        start_failed: number_after(stderr, "migration sender: Target reports startup failure (status code "),
        suspend_failed: number_after(stderr, "migration sender: libxl_domain_suspend failed (rc="),
        never_suspended: stderr.lines().any(|line| line.contains("xc: error: Dom ") && line.contains(" not suspended")),
        resume_failed: has("xc_domain_resume failed") || has("domain resume failed"),
        target_cleaned_up: has("migration target: Cleanup OK, granting sender permission to resume."),
        target_cleanup_failed: has("migration target: Failed to destroy our copy"),
        banner_garbage: garbage.then(|| between(stderr, "(command run was: ", ")").unwrap_or_default().trim().to_string()),
        banner_missing: has("reading banner from migration receiver stream"),
        transport: transport_end(stderr),
        unknown_domain: names_no_domain(stderr),
        no_config: [
            "No config file stored for running domain",
            "unable to retrieve domain configuration",
            "Unable to get config file",
        ]
        .iter()
        .any(|text| has(text)),
        unknown_option: stderr.lines().any(|line| line.starts_with("option `") && line.contains("not supported")),
    }
}

/// `migration transport process [1842] exited with error status 1`, `… died due to fatal signal Broken pipe` (`xl_utils.c`,
/// `xl_report_child_exitstatus`; up to 4.2 it is the `migration target process`, though it runs here).
fn transport_end(stderr: &str) -> Option<TransportEnd> {
    for text in ["migration transport process [", "migration target process ["] {
        let Some(at) = stderr.rfind(text) else {
            continue;
        };
        let rest = stderr[at + text.len()..].lines().next().unwrap_or_default();
        if let Some(code) = number_after(rest, "exited with error status ") {
            return Some(TransportEnd::Exit(code));
        }
        if let Some((_, signal)) = rest.split_once("died due to fatal signal ") {
            return Some(TransportEnd::Signal(signal.trim().to_string()));
        }
    }
    stderr.contains("not exiting, no longer waiting").then_some(TransportEnd::StillThere)
}

fn number_after(text: &str, before: &str) -> Option<i32> {
    let rest = &text[text.find(before)? + before.len()..];
    let end =
        rest.char_indices().find(|(at, c)| !(c.is_ascii_digit() || (*at == 0 && *c == '-'))).map_or(rest.len(), |(at, _)| at);
    rest[..end].parse().ok()
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let rest = text[text.find(before)? + before.len()..].lines().next()?;
    Some(rest.rsplit_once(after).map_or(rest, |(inner, _)| inner))
}

/// What a person needs to know of a failure, most telling first: a text to look for, and what it means.
const REASONS: [(&str, &str); 42] = [
    ("Domain state is now undefined", "the connection was lost after the target had been told to start"),
    ("can't connect:", "the other host's xend cannot be reached"),
    ("Unable to connect to xend", "xend does not answer"),
    ("Host key verification failed", "ssh does not know the other host's key, or the key has changed"),
    ("Could not resolve hostname", "the other host's name cannot be resolved"),
    ("Permission denied (", "the other host does not accept our key"),
    ("Permission denied, please try again", "the other host does not accept our key"),
    ("No route to host", "the other host cannot be reached"),
    ("Network is unreachable", "the other host cannot be reached"),
    ("Connection refused", "the other host refuses the connection"),
    ("Connection timed out", "the other host does not answer"),
    ("Operation timed out", "the other host does not answer"),
    ("Connection closed by", "the other host closed the connection"),
    ("Connection reset by", "the other host closed the connection"),
    ("xend is running, which may cause", "xend runs here, so xl refuses: use xm, or stop xend"),
    (
        "unexpected data instead of",
        "the other host's answer was not xl's: its forced command refused, or its shell prints something",
    ),
    ("Failed to populate physmap", "there is not enough free memory on the target"),
    ("Failed to populate pfns", "there is not enough free memory on the target"),
    ("can't allocate low memory", "there is not enough free memory"),
    ("failed to free memory for the domain", "there is not enough free memory"),
    ("Cannot allocate memory", "there is not enough free memory"),
    ("Not enough free memory", "there is not enough free memory"),
    ("Not enough memory", "there is not enough free memory"),
    ("I need ", "there is not enough free memory"),
    ("block-drbd failed", "DRBD did not let the disk become Primary (the reason is in /var/log/xen/xen-hotplug.log)"),
    ("block-drbd add", "DRBD did not let the disk become Primary (the reason is in /var/log/xen/xen-hotplug.log)"),
    ("block-drbd: No such file", "the script block-drbd is not installed (drbd-utils since 9.31 has none)"),
    ("Domain with name \"", NAME_IS_TAKEN),
    ("already exists as domain", NAME_IS_TAKEN),
    ("already exists with ID", NAME_IS_TAKEN),
    ("failed; error detected", "a hotplug script failed (the reason is in /var/log/xen)"),
    ("could not be connected", "a device could not be connected"),
    ("failed to stat", "a disk of the domain is not there"),
    (
        "Failed to enable logdirty",
        "the hypervisor cannot follow this guest's memory: a PV guest needs shadow paging for a live migration",
    ),
    ("did not respond to suspend request", "the guest did not suspend"),
    ("failed to suspend at sender", "the guest did not suspend"),
    ("No config file stored", "xl has no configuration of the running domain"),
    ("is an invalid domain identifier", "there is no such domain"),
    ("reading banner from migration receiver stream", "the other host did not start xl"),
    ("Target reports startup failure", "the target could not start its copy"),
    ("truncated reading ipc msg header", "the connection to the target ended while memory was copied"),
    ("' not supported.", "xl does not know that option"),
];

/// What a toolstack means that refuses a name (`libxl_create.c`; XendDomain.py).
pub const NAME_IS_TAKEN: &str = "a domain of that name is there already";

/// The one thing in a standard error that a person needs: what it means, and the text itself. None where nothing looks like a reason.
pub fn why(stderr: &str) -> Option<String> {
    // What our own other end says goes over the transport's standard error, and is the reason for all that xl says afterwards.
    let refused = messages(stderr).find_map(|message| message.split_once("xen-migrate migrate2: refused: "));
    if let Some((_, reason)) = refused.filter(|_| !stderr.contains("Domain state is now undefined")) {
        return Some(format!("the other end refused: {}", shortened(reason, 300)));
    }
    for (text, meaning) in REASONS {
        if stderr.contains(text)
            && let Some(message) = messages(stderr).find(|message| message.contains(text))
        {
            return Some(format!("{meaning} ({})", shortened(message, 300)));
        }
    }
    messages(stderr)
        .find(|message| message.starts_with("Error: "))
        .or_else(|| messages(stderr).find(|message| message.contains(": error: ")))
        .map(|message| shortened(message, 300))
}

/// The messages of a text: its lines, parted where one end's text follows on the other's line.
fn messages(stderr: &str) -> impl Iterator<Item = &str> {
    stderr
        .split(['\n', '\r'])
        .flat_map(|line| {
            let cut = ["migration sender: ", "migration target: "]
                .iter()
                .filter_map(|text| line.match_indices(text).map(|(at, _)| at).find(|at| *at > 0))
                .min()
                .unwrap_or(line.len());
            [&line[..cut], &line[cut..]]
        })
        .map(str::trim)
        .filter(|message| !message.is_empty())
}

#[cfg(test)]
mod tests;
