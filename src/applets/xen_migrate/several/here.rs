//! What is here when a Dom0 has been emptied: whoever reboots it then must know.

use crate::adapters::look::Ground;
use crate::core::facts::{CopyName, copy_name};
use crate::core::names::DomuName;
use crate::core::record::State;
use crate::core::table;

/// A domU that is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Here {
    /// As the toolstack names it; there are names that are no names of ours.
    pub name: String,
    /// Its state in a word, unless it runs.
    pub state: Option<&'static str>,
    /// It is not here yet, and will be.
    pub comes: bool,
    /// `migrate ALL` means it: it has a row, or is visiting.
    pub meant: bool,
}

impl Here {
    /// Its name, and its state where that is not plain.
    pub(super) fn in_words(&self) -> String {
        match self.state {
            Some(state) => format!("{} ({state})", self.name),
            None => self.name.clone(),
        }
    }
}

/// Everything but Dom0, what is being torn down, the copies that a migration leaves, and the excepted.
pub(super) fn all(ground: &Ground, except: &[DomuName]) -> Vec<Here> {
    let table = &ground.table.table;
    let rows = &ground.record.rows;
    let listed: Vec<DomuName> = table.entries.iter().map(|e| e.domu.clone()).chain(table.faulty_domus()).collect();
    let known = || rows.iter().map(|row| &row.domu).chain(&listed);
    let mut found: Vec<Here> = Vec::new();
    for domain in ground.domains.iter().filter(|d| d.id != 0 && !d.state.dying && d.name != "(null)") {
        let copy = known().find_map(|domu| Some((domu, copy_name(domu, &domain.name)?)));
        let state = (!domain.state.executes()).then(|| domain.state.in_words());
        found.push(match copy {
            Some((domu, CopyName::Incoming)) => Here { name: domu.to_string(), state: None, comes: true, meant: true },
            Some((_, CopyName::MigratedAway | CopyName::Migrating)) => continue,
            copy => {
                let visits = copy.is_some_and(|(domu, _)| {
                    rows.iter().any(|r| &r.domu == domu && (r.state == State::Visiting || r.state.in_flight()))
                });
                let meant = visits || listed.iter().any(|domu| domu.as_str() == domain.name);
                Here { name: domain.name.clone(), state, comes: false, meant }
            }
        });
    }
    for row in rows.iter().filter(|r| matches!(r.state, State::Arriving | State::Returning)) {
        if !found.iter().any(|here| here.name == row.domu.as_str()) {
            found.push(Here { name: row.domu.to_string(), state: None, comes: true, meant: true });
        }
    }
    found.retain(|here| !except.iter().any(|domu| domu.as_str() == here.name));
    found
}

/// Those whom nobody means, each with the reason: they stay.
pub(super) fn strangers(ground: &Ground, except: &[DomuName]) -> Vec<(String, String)> {
    let why = |name: &str| match ground.table.missing {
        true => format!("{name} runs here, and there is no {}: it stays", table::PATH),
        false => format!("{name} runs here, has no row in {} and is not visiting: it stays", table::PATH),
    };
    all(ground, except).into_iter().filter(|here| !here.meant).map(|here| (here.name.clone(), why(&here.name))).collect()
}
