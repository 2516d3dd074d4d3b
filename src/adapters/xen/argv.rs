//! What we say to `xl` and `xm`: argument lists with their time limits, and nothing else.

use crate::adapters::Call;
use crate::core::names::{DomuName, HostName};
use crate::core::xen::Toolstack;
use std::time::Duration;

/// What a creation may take: each hotplug script has 40 s (`LIBXL_HOTPLUG_TIMEOUT`; xend's `device-create-timeout` is 100 s), and with
/// autoballoon `xl` waits on `/var/lock/xl` for as long as another creation lasts (facts 2.6).
pub const CREATE_LIMIT: Duration = Duration::from_secs(300);

/// What a destruction may take: the devices are taken off one by one, each with its own time-out in libxl.
pub const DESTROY_LIMIT: Duration = Duration::from_secs(60);

/// `info`: the hypervisor's version and the host's memory. Changes nothing and loads nothing.
pub fn info(ts: Toolstack) -> Call {
    Call::new(ts.program(), ["info"])
}

/// `list`: every domain on one row.
pub fn list(ts: Toolstack) -> Call {
    Call::new(ts.program(), ["list"])
}

/// `xl vm-list`: ids with uuids. `xm` has no such command.
pub fn vm_list() -> Call {
    Call::new(Toolstack::Xl.program(), ["vm-list"])
}

/// The stored configuration of one domain, or of all of them.
pub fn list_long(ts: Toolstack, domain: Option<&str>) -> Call {
    let mut args = vec!["list".to_string()];
    // `xm list -l` exists as well, but `-l` has meant other things before 3.0.
    args.push(match ts {
        Toolstack::Xl => "-l".to_string(),
        Toolstack::Xm => "--long".to_string(),
    });
    args.extend(domain.map(str::to_string));
    Call::new(ts.program(), args)
}

/// The block devices of one domain.
pub fn block_list(ts: Toolstack, id: u32) -> Call {
    Call::new(ts.program(), ["block-list".to_string(), id.to_string()])
}

/// Starts a domain from a config file, which must be a full path: `xl` does not look in `/etc/xen`, and `xm` looks there first.
pub fn create(ts: Toolstack, config: &str, paused: bool) -> Call {
    let mut args = vec!["create"];
    if paused {
        // The same letter in both, since Xen 3.0 and 4.1.
        args.push("-p");
    }
    args.push(config);
    Call::new(ts.program(), args).within(CREATE_LIMIT)
}

/// Destroys a domain by its id.
pub fn destroy(ts: Toolstack, id: u32) -> Call {
    Call::new(ts.program(), ["destroy".to_string(), id.to_string()]).within(DESTROY_LIMIT).as_deed()
}

/// Lets a paused domain run.
pub fn unpause(ts: Toolstack, id: u32) -> Call {
    Call::new(ts.program(), ["unpause".to_string(), id.to_string()]).as_deed()
}

/// Gives a domain another name.
pub fn rename(ts: Toolstack, id: u32, to: &str) -> Call {
    Call::new(ts.program(), ["rename".to_string(), id.to_string(), to.to_string()]).as_deed()
}

/// Asks a guest to shut down, and does not wait for it (`-w` of `xm` has no limit).
pub fn shutdown(ts: Toolstack, id: u32) -> Call {
    Call::new(ts.program(), ["shutdown".to_string(), id.to_string()])
}

/// `xl resume`, where this Xen has it.
pub fn resume(id: u32) -> Call {
    Call::new("xl", ["resume".to_string(), id.to_string()]).as_deed()
}

/// `xl save -c ID /dev/null`: a checkpoint to nowhere, which ends by letting the domain go on. It is how a suspended domain is woken
/// where there is no `xl resume`: measured with Xen 4.17, 60 s of waiting for a guest that is suspended already, then it runs.
pub fn checkpoint_to_nowhere(id: u32) -> Call {
    let args = ["save".to_string(), "-c".to_string(), id.to_string(), "/dev/null".to_string()];
    Call::new("xl", args).within(Duration::from_secs(600)).as_deed()
}

/// What a migration is to do.
#[derive(Debug, Clone, Copy)]
pub struct Migration<'a> {
    /// The options of the table's row, checked by [`crate::core::options::check`].
    pub words: &'a [String],
    /// `xl` only: the command that stands in for `ssh` (`-s`), from [`transport`]. `xm` has no such thing and leaves it out.
    pub transport: Option<&'a str>,
    /// `xl` only: `xl -v migrate`, which makes both ends say more. It shows no percentage: the sender hides its progress for the
    /// whole transfer (`xl_migrate.c`, `XTL_STDIOSTREAM_HIDE_PROGRESS`).
    pub verbose: bool,
    /// The domU, by its name: `xm` puts it into the config it sends, and `xl` renames it at the end.
    pub domu: &'a DomuName,
    /// Where to.
    pub host: &'a HostName,
}

/// `xl [-v] migrate [options] [-s TRANSPORT] DOMU HOST`, or `xm migrate [options] DOMU HOST`, for [`crate::adapters::World::watch`].
///
/// It has no limit of its own: how long memory takes to copy is the caller's affair, and so are `quiet_limit`, the lock and the log.
pub fn migrate(ts: Toolstack, order: &Migration<'_>) -> Call {
    let mut args: Vec<String> = Vec::new();
    if ts == Toolstack::Xl && order.verbose {
        args.push("-v".to_string());
    }
    args.push("migrate".to_string());
    args.extend(order.words.iter().cloned());
    if let (Toolstack::Xl, Some(transport)) = (ts, order.transport) {
        args.push("-s".to_string());
        args.push(transport.to_string());
    }
    args.push(order.domu.as_str().to_string());
    args.push(order.host.as_str().to_string());
    let mut call = Call::new(ts.program(), args);
    call.limit = None;
    call
}

/// One text for `xl migrate -s`, from separate words.
///
/// `xl` runs `sh -c "exec TRANSPORT HOST xl … migrate-receive …"` (`xl_migrate.c`, `create_migration_child`): it is the one shell we
/// cannot avoid, so every word that is not plain is put into single quotes.
pub fn transport<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = words
        .into_iter()
        .map(|word| {
            let plain = !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "_-./:=,@%+".contains(c));
            if plain { word.to_string() } else { format!("'{}'", word.replace('\'', r"'\''")) }
        })
        .collect();
    quoted.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(call: &Call) -> String {
        call.to_string()
    }

    #[test]
    fn every_sentence_we_say() {
        use Toolstack::{Xl, Xm};
        assert_eq!(said(&info(Xm)), "xm info");
        assert_eq!(said(&list(Xl)), "xl list");
        assert_eq!(said(&vm_list()), "xl vm-list");
        assert_eq!(said(&list_long(Xl, None)), "xl list -l");
        assert_eq!(said(&list_long(Xm, Some("web"))), "xm list --long web");
        assert_eq!(said(&block_list(Xl, 7)), "xl block-list 7");
        assert_eq!(said(&create(Xl, "/etc/xen/web", false)), "xl create /etc/xen/web");
        assert_eq!(said(&create(Xm, "/etc/xen/web", true)), "xm create -p /etc/xen/web");
        assert_eq!(said(&destroy(Xm, 7)), "xm destroy 7");
        assert_eq!(said(&unpause(Xl, 7)), "xl unpause 7");
        assert_eq!(said(&rename(Xl, 7, "web")), "xl rename 7 web");
        assert_eq!(said(&shutdown(Xm, 7)), "xm shutdown 7");
    }

    #[test]
    fn limits_fit_the_deed() {
        assert_eq!(list(Toolstack::Xl).limit, Some(Duration::from_secs(30)));
        assert_eq!(create(Toolstack::Xl, "/x", false).limit, Some(Duration::from_secs(300)));
        assert_eq!(destroy(Toolstack::Xl, 1).limit, Some(Duration::from_secs(60)));
    }

    #[test]
    fn a_migration_has_its_options_before_its_operands_and_no_limit() {
        let (domu, host) = ("web".parse().unwrap(), "beta".parse().unwrap());
        let words = vec!["--live".to_string()];
        let order = Migration { words: &words, transport: Some("ssh -i /k"), verbose: true, domu: &domu, host: &host };
        let xl = migrate(Toolstack::Xl, &order);
        assert_eq!(xl.args, ["-v", "migrate", "--live", "-s", "ssh -i /k", "web", "beta"]);
        assert_eq!(xl.limit, None);
        assert_eq!(said(&migrate(Toolstack::Xm, &order)), "xm migrate --live web beta");
    }

    #[test]
    fn a_transport_is_safe_in_a_shell() {
        assert_eq!(transport(["ssh", "-i", "/root/.ssh/k", "-o", "BatchMode=yes"]), "ssh -i /root/.ssh/k -o BatchMode=yes");
        assert_eq!(transport(["ssh", "a b", "it's", "$(id)", ""]), r"ssh 'a b' 'it'\''s' '$(id)' ''");
    }
}
