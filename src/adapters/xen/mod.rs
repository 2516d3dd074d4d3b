//! Everything between our words ([`crate::core::xen`]) and the toolstacks `xl` and `xm`.
//!
//! `argv` is what we say, `parse` and `log` are what we hear, and this file is the one place that runs it, through
//! [`World`](crate::adapters::World). Nothing here decides whether a deed is right; it only makes sure that a deed hits the domain
//! that was meant, and that what was not understood never counts as absent.

pub mod argv;
mod error;
mod log;
mod parse;
pub mod stream;

pub use error::XenError;
pub use log::{MigrateWords, Milestone, TransportEnd, milestone, percent, read_log, why};
pub use parse::info::Info;
pub use parse::{GuestKind, Long, vdev_number};

use super::{Call, CallError, Output, World};
use crate::core::xen::{BlockDevice, Domain, Toolstack};
use parse::Misread;
use parse::list::Listing;

/// Finds the toolstack that rules this host; with `wanted`, only looks whether that one answers.
///
/// `xm` is asked first: it answers only through a running xend, and where xend runs, it owns the domains. `xl` would answer as well
/// (up to 4.4 `xl list` works beside xend), but it refuses every deed then (`xl.c`, `main`, 4.2 to 4.4), and 4.1 does not even refuse.
/// Where `xm` is not there or finds no xend, it is `xl`'s turn. An xend that runs but does not answer in time is an error: its
/// domains may be there, and neither program could be trusted with them.
pub fn find(world: &dyn World, wanted: Option<Toolstack>) -> Result<Toolstack, XenError> {
    find_with_info(world, wanted).map(|(ts, _)| ts)
}

/// [`find`], with what the toolstack answered: [`info`] need not be asked again.
pub fn find_with_info(world: &dyn World, wanted: Option<Toolstack>) -> Result<(Toolstack, Info), XenError> {
    if let Some(ts) = wanted {
        return info(world, ts).map(|info| (ts, info));
    }
    let mut said = Vec::new();
    for ts in [Toolstack::Xm, Toolstack::Xl] {
        match info(world, ts) {
            Ok(info) => return Ok((ts, info)),
            Err(error @ XenError::TimedOut { .. }) => return Err(error),
            Err(error) => said.push(error.to_string()),
        }
    }
    Err(XenError::NoToolstack { said })
}

/// [`find`], by the list of domains itself: where nothing but that is wanted, it is one call.
pub fn find_with_domains(world: &dyn World, wanted: Option<Toolstack>) -> Result<(Toolstack, Vec<Domain>), XenError> {
    if let Some(ts) = wanted {
        return domains(world, ts, false).map(|domains| (ts, domains));
    }
    let mut said = Vec::new();
    for ts in [Toolstack::Xm, Toolstack::Xl] {
        match domains(world, ts, false) {
            Ok(domains) => return Ok((ts, domains)),
            Err(error @ XenError::TimedOut { .. }) => return Err(error),
            Err(error) => said.push(error.to_string()),
        }
    }
    Err(XenError::NoToolstack { said })
}

/// What the toolstack knows about its host: one call of `xl info` or `xm info`.
pub fn info(world: &dyn World, ts: Toolstack) -> Result<Info, XenError> {
    let call = argv::info(ts);
    let output = ask(world, ts, &call)?;
    parse::info::info(&output.stdout).map_err(|misread| {
        // `xl info` exits 0 also when it could not ask the hypervisor, and says so on standard error.
        match error::judge(ts, &call, &output) {
            away @ (XenError::NoHypervisor { .. } | XenError::XendDown { .. }) => away,
            _ => unparsable(&call, misread),
        }
    })
}

/// Every domain that exists on this host, Domain-0 among them, in the toolstack's order.
///
/// Managed `xm` domains that do not run are left out; a row that is not understood is an error. With `with_uuid` a second call is made;
/// a domain that was not in both answers under the same name and id has no uuid.
pub fn domains(world: &dyn World, ts: Toolstack, with_uuid: bool) -> Result<Vec<Domain>, XenError> {
    let mut domains = domains_told(ts, world.run(&argv::list(ts)))?;
    if !with_uuid {
        return Ok(domains);
    }
    let known: Vec<(u32, String, Option<String>)> = match ts {
        Toolstack::Xl => {
            let call = argv::vm_list();
            let output = ask(world, ts, &call)?;
            let rows = parse::list::vm_list(&output.stdout).map_err(|misread| unparsable(&call, misread))?;
            rows.into_iter().map(|row| (row.id, row.name, Some(row.uuid))).collect()
        }
        Toolstack::Xm => long_all(world, ts)?.into_iter().filter_map(|long| Some((long.id?, long.name, long.uuid))).collect(),
    };
    for domain in &mut domains {
        domain.uuid =
            known.iter().find(|(id, name, _)| *id == domain.id && *name == domain.name).and_then(|(_, _, uuid)| uuid.clone());
    }
    Ok(domains)
}

/// What the answer to the list of domains ([`argv::list`]) means, for whoever asks it together with others: as [`domains`], without uuids.
pub fn domains_told(ts: Toolstack, answer: Result<Output, CallError>) -> Result<Vec<Domain>, XenError> {
    Ok(listed(ts, answer)?.domains)
}

/// Which domain is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which<'a> {
    /// The one with this id.
    Id(u32),
    /// The one with this name. A name that the toolstack would take for something else is refused.
    Name(&'a str),
}

/// The stored configuration of one domain.
///
/// `xl` answers `[]`, exit 0, for a domain whose configuration it cannot read: [`XenError::NoConfig`]. A managed `xm` domain that does
/// not run is found by its name and has no id.
pub fn long(world: &dyn World, ts: Toolstack, which: Which<'_>) -> Result<Long, XenError> {
    let word = match which {
        Which::Id(id) => id.to_string(),
        Which::Name(name) => {
            let plain = !name.is_empty()
                && !name.starts_with('-')
                && !name.bytes().all(|b| b.is_ascii_digit())
                && !name.chars().any(char::is_control);
            if !plain {
                let why = "the toolstack would take that name for an option or a domain id".to_string();
                return Err(XenError::Refused { what: format!("{:?}", name), why });
            }
            name.to_string()
        }
    };
    let call = argv::list_long(ts, Some(&word));
    let output = ask(world, ts, &call)?;
    let mut found = read_long(ts, &call, &output)?;
    let Some(long) = found.pop() else {
        return Err(match ts {
            Toolstack::Xl => XenError::NoConfig { call: call.to_string() },
            Toolstack::Xm => unparsable(&call, Misread::of(&output.stdout, "the answer is empty")),
        });
    };
    if !found.is_empty() {
        return Err(unparsable(&call, Misread::of(&output.stdout, "this is more than one domain")));
    }
    match which {
        // `xm` looks for a domain of that name first, even if it is a number.
        Which::Id(id) if long.id != Some(id) => {
            Err(XenError::NotThatDomain { id, name: word, found: format!("the toolstack answered with {:?}", long.name) })
        }
        _ => Ok(long),
    }
}

/// The stored configurations of all domains.
///
/// Of `xl`, those whose configuration cannot be read are not among them, nor is Domain-0 up to 4.4: join with [`domains`] by the id.
/// Of `xm`, managed domains that do not run are among them, without an id.
pub fn long_all(world: &dyn World, ts: Toolstack) -> Result<Vec<Long>, XenError> {
    let call = argv::list_long(ts, None);
    let output = ask(world, ts, &call)?;
    let found = read_long(ts, &call, &output)?;
    if ts == Toolstack::Xm && !found.iter().any(|long| long.id == Some(0)) {
        return Err(unparsable(&call, Misread::of(&output.stdout, "Domain-0 is not in the list, so the list is not whole")));
    }
    Ok(found)
}

/// The block devices of a domain, as its backends are now.
///
/// `xl block-list` exits 0 whatever happens: for an id that does not exist it prints its header alone, and a disk that it cannot ask
/// about is left out (`xl_block.c`, `main_blocklist`). So compare with the disks of [`long`], by [`vdev_number`]; an empty answer
/// proves nothing. State 4 is connected; 6 is a dead disk; an HVM guest without PV drivers stays at 2.
pub fn block_devices(world: &dyn World, ts: Toolstack, id: u32) -> Result<Vec<BlockDevice>, XenError> {
    let call = argv::block_list(ts, id);
    let output = ask(world, ts, &call)?;
    if error::names_no_domain(&output.stderr) {
        return Err(error::judge(ts, &call, &output));
    }
    parse::block::block_list(ts, &output.stdout).map_err(|misread| unparsable(&call, misread))
}

/// What a creation said. That the domain runs, and with its disks, is for a look to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// All that it printed: `xl` on standard error, `xm` on standard output.
    pub said: String,
    /// The domain id, where it was told (`xm` from 3.2 on).
    pub id: Option<u32>,
}

/// Starts a domain from a config file, paused if asked for.
///
/// `config` must be a full path without `=` (both programs take a word with `=` for an assignment). Exit 0 is no proof of life: with
/// `phy:` on a Secondary resource `xl` says nothing and the disk is dead (measured). After a failure the toolstack has destroyed
/// what it had begun, but block-drbd may have left a resource Primary. After [`XenError::TimedOut`] anything is possible.
///
/// `lock`, which must be held, lasts until the toolstack has ended, whatever becomes of us: nobody starts the domU a second time meanwhile.
pub fn creation(ts: Toolstack, config: &str, paused: bool, lock: &str) -> Result<Call, XenError> {
    if !config.starts_with('/') || config.contains('=') || config.chars().any(char::is_control) {
        let why = "a config file is given by its full path, without = in it".to_string();
        return Err(XenError::Refused { what: format!("{config:?}"), why });
    }
    let mut call = argv::create(ts, config, paused);
    call.keeps_lock = Some(lock.to_string());
    call.keeps_lock_alone = true;
    Ok(call)
}

/// What came of a call of [`creation`].
pub fn created(ts: Toolstack, call: &Call, answer: Result<Output, CallError>) -> Result<Created, XenError> {
    let output = answered(ts, call, answer)?;
    let said = [output.stdout.trim(), output.stderr.trim()]
        .iter()
        .filter(|text| !text.is_empty())
        .copied()
        .collect::<Vec<_>>()
        .join("\n");
    // `Started domain web (id=7)`.
    let id = said
        .lines()
        .filter(|line| line.starts_with("Started domain "))
        .find_map(|line| line.rsplit_once("(id=").and_then(|(_, rest)| rest.split_once(')')).and_then(|(id, _)| id.parse().ok()));
    Ok(Created { said, id })
}

/// How a destruction ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gone {
    /// It was there and is not any more.
    Destroyed,
    /// Neither the id nor the name was there.
    Already,
    /// The toolstack says that it is done, and the domain is still listed: something holds its memory or a device. Measured:
    /// `(null)`, `--p--d`, with its DRBD resource held open until the next boot.
    Lingers(Domain),
}

/// Destroys the domain with this id, if it still has this name; never by the name.
///
/// Looks before and after. `(null)` and a name that the toolstack made (`web--incoming`) are fine here.
pub fn destroy(world: &dyn World, ts: Toolstack, id: u32, name: &str) -> Result<Gone, XenError> {
    let before = listing(world, ts)?;
    if !before.domains.iter().any(|domain| domain.id == id || domain.name == name) {
        return Ok(Gone::Already);
    }
    check_is(ts, &before, id, name)?;
    let done = ask(world, ts, &argv::destroy(ts, id));
    let after = listing(world, ts)?;
    match (done, after.domains.into_iter().find(|domain| domain.id == id)) {
        (_, None) => Ok(Gone::Destroyed),
        (Ok(_), Some(domain)) => Ok(Gone::Lingers(domain)),
        (Err(error), Some(_)) => Err(error),
    }
}

/// Lets a paused domain run, if it still has this name. `xl unpause` does not tell whether it worked.
pub fn unpause(world: &dyn World, ts: Toolstack, id: u32, name: &str) -> Result<(), XenError> {
    check_is(ts, &listing(world, ts)?, id, name)?;
    ask(world, ts, &argv::unpause(ts, id)).map(drop)
}

/// Lets a suspended domain go on, if it still has this name and is suspended. `xl` only: nothing of `xm` can.
///
/// Afterwards no `xl` waits for its end any more (its monitor left when it was suspended): who calls this says so.
pub fn wake(world: &dyn World, id: u32, name: &str) -> Result<(), XenError> {
    let ts = Toolstack::Xl;
    check_is(ts, &listing(world, ts)?, id, name)?;
    let resumed = world.run(&argv::resume(id))?;
    if !resumed.ok() {
        ask(world, ts, &argv::checkpoint_to_nowhere(id))?;
    }
    Ok(())
}

/// Gives a domain another name, if it still has the old one.
pub fn rename(world: &dyn World, ts: Toolstack, id: u32, from: &str, to: &crate::core::names::DomuName) -> Result<(), XenError> {
    check_is(ts, &listing(world, ts)?, id, from)?;
    ask(world, ts, &argv::rename(ts, id, to.as_str())).map(drop)
}

/// Asks a guest to shut down, if it still has this name, and does not wait. A guest may not listen.
pub fn shutdown(world: &dyn World, ts: Toolstack, id: u32, name: &str) -> Result<(), XenError> {
    check_is(ts, &listing(world, ts)?, id, name)?;
    ask(world, ts, &argv::shutdown(ts, id)).map(drop)
}

/// A deed goes by the id, and only if that id still has the name that was meant.
fn check_is(ts: Toolstack, listing: &Listing, id: u32, name: &str) -> Result<(), XenError> {
    let not_that = |found: String| Err(XenError::NotThatDomain { id, name: name.to_string(), found });
    if id == 0 {
        return not_that("it is Domain-0, this host itself".to_string());
    }
    match listing.domains.iter().find(|domain| domain.id == id) {
        Some(domain) if domain.name == name => {}
        Some(domain) => return not_that(format!("it is {:?}", domain.name)),
        None => {
            return not_that(match listing.domains.iter().find(|domain| domain.name == name) {
                Some(domain) => format!("that one has the id {} now", domain.id),
                None => "it is gone".to_string(),
            });
        }
    }
    // `xm` looks for a name before it takes a word for an id, running or not (`XendDomain.py`, `domain_lookup_nr`).
    let word = id.to_string();
    let mut names = listing.domains.iter().map(|domain| &domain.name).chain(&listing.halted);
    if ts == Toolstack::Xm && names.any(|name| *name == word) {
        return not_that(format!("another domain has the name {word}, and xm would take that one"));
    }
    Ok(())
}

fn listing(world: &dyn World, ts: Toolstack) -> Result<Listing, XenError> {
    listed(ts, world.run(&argv::list(ts)))
}

fn listed(ts: Toolstack, answer: Result<Output, CallError>) -> Result<Listing, XenError> {
    let call = argv::list(ts);
    let output = answered(ts, &call, answer)?;
    parse::list::list(ts, &output.stdout).map_err(|misread| unparsable(&call, misread))
}

fn read_long(ts: Toolstack, call: &Call, output: &Output) -> Result<Vec<Long>, XenError> {
    let read = match ts {
        Toolstack::Xl => parse::json::domains(&output.stdout),
        Toolstack::Xm => parse::sxp::domains(&output.stdout),
    };
    read.map_err(|misread| unparsable(call, misread))
}

fn ask(world: &dyn World, ts: Toolstack, call: &Call) -> Result<Output, XenError> {
    answered(ts, call, world.run(call))
}

fn answered(ts: Toolstack, call: &Call, answer: Result<Output, CallError>) -> Result<Output, XenError> {
    let output = answer?;
    if output.ok() { Ok(output) } else { Err(error::judge(ts, call, &output)) }
}

fn unparsable(call: &Call, misread: Misread) -> XenError {
    XenError::Unparsable { call: call.to_string(), row: misread.row, why: misread.why }
}

#[cfg(test)]
mod tests;
