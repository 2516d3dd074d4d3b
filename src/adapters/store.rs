//! The two files of a Dom0: the operator's table, which is only read, and our record, which is changed under a lock.

use super::{LockError, World};
use crate::core::fault::Fault;
use crate::core::record::{self, Record};
use crate::core::table::{self, Table};
use std::io;
use std::path::Path;
use std::time::Duration;
use thiserror::Error;

/// Why a file could not be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// It could not be read.
    #[error("{path}: {why}\n  try: ls -l {path}   (it must be a plain file, or a link to one, that root can read)")]
    Unreadable {
        /// The file.
        path: &'static str,
        /// The system's words.
        why: io::Error,
    },
    /// It could be read and means nothing certain. Every fault with its place; the last line says what to do.
    #[error("{}{}", .faults.iter().map(|f| format!("{f}\n")).collect::<String>(), .advice)]
    Faulty {
        /// The file.
        path: &'static str,
        /// Each fault as `path:line:column: …`.
        faults: Vec<String>,
        /// What to do.
        advice: String,
    },
    /// It could not be written; what stood there still stands.
    #[error("{path}: could not be written ({why}); what it said before it still says")]
    Unwritable {
        /// The file.
        path: &'static str,
        /// The system's words.
        why: io::Error,
    },
    /// Somebody else kept it locked.
    #[error("{path}: {why}")]
    Locked {
        /// The file.
        path: &'static str,
        /// Who.
        why: String,
    },
}

/// The table with its text, for showing faults in their place.
#[derive(Debug, Clone, Default)]
pub struct TableFile {
    /// The rows, and the faults.
    pub table: Table,
    /// The text; empty when there is no such file.
    pub text: String,
    /// There is no such file.
    pub missing: bool,
}

impl TableFile {
    /// Each fault as `path:line:column: …` with its line below.
    pub fn faults(&self) -> Vec<String> {
        self.table.faults.iter().map(|f| f.render(table::PATH, &self.text)).collect()
    }
}

/// Reads the table. A missing one is empty; faults are in it, not in the way.
pub fn table(world: &dyn World) -> Result<TableFile, StoreError> {
    match world.read(Path::new(table::PATH)) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            Ok(TableFile { table: table::parse(&text), text, missing: false })
        }
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(TableFile { missing: true, ..TableFile::default() }),
        Err(why) => Err(StoreError::Unreadable { path: table::PATH, why }),
    }
}

/// Reads the record. A missing one is empty; one with any fault says nothing at all.
pub fn record(world: &dyn World) -> Result<Record, StoreError> {
    let bytes = match world.read(Path::new(record::PATH)) {
        Ok(bytes) => bytes,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Record::default()),
        Err(why) => return Err(StoreError::Unreadable { path: record::PATH, why }),
    };
    let text = String::from_utf8_lossy(&bytes);
    record::parse(&text).map_err(|faults: Vec<Fault>| StoreError::Faulty {
        path: record::PATH,
        faults: faults.iter().map(|f| f.render(record::PATH, text.as_ref())).collect(),
        advice: "nothing was done: where the domUs are is not certain. Look at every Dom0 (`xl list`), mend the file or move it away, \
                 then `xen-migrate status ALL`"
            .to_string(),
    })
}

/// Changes the record: under its lock, read anew, written beside it, put in its place.
pub fn update(world: &dyn World, change: impl FnOnce(&mut Record)) -> Result<(), StoreError> {
    let _held = lock(world)?;
    let mut now = record(world)?;
    let before = now.clone();
    change(&mut now);
    if now == before {
        return Ok(());
    }
    world
        .replace(Path::new(record::PATH), now.to_text().as_bytes())
        .map_err(|why| StoreError::Unwritable { path: record::PATH, why })
}

/// Whoever holds the record's lock only reads and writes a small file, so waiting is short.
fn lock(world: &dyn World) -> Result<Box<dyn super::Held>, StoreError> {
    let start = world.clock();
    loop {
        match world.lock("record", "writing the record") {
            Ok(held) => return Ok(held),
            Err(LockError::Held(who)) => {
                if world.clock().saturating_sub(start) > Duration::from_secs(10) {
                    return Err(StoreError::Locked { path: record::PATH, why: format!("locked for over 10 s by {who}") });
                }
                world.rest(Duration::from_millis(50));
            }
            Err(LockError::Io(why)) => return Err(StoreError::Unwritable { path: record::PATH, why }),
        }
    }
}
