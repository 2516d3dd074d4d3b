//! Run by cargo before the program is built: packs `fr.po` for the executable. A fault in it ends the build, with its line.

#![allow(dead_code, reason = "what only the program needs of these files")]

#[path = "catalog.rs"]
mod catalog;
#[path = "table.rs"]
mod table;
#[path = "template.rs"]
mod template;

use std::path::Path;

const SOURCE: &str = "src/tongue/fr.po";

fn main() {
    println!("cargo::rerun-if-changed=src/tongue");
    if let Err(why) = pack() {
        eprintln!("{why}");
        std::process::exit(1);
    }
}

fn pack() -> Result<(), String> {
    let text = std::fs::read_to_string(SOURCE).map_err(|why| format!("{SOURCE}: {why}"))?;
    let entries = catalog::parse(&text).map_err(|why| format!("{SOURCE}:{why}"))?;
    for entry in entries.iter().filter(|e| e.context != "word") {
        if let Some(why) = catalog::fault(entry) {
            return Err(format!("{SOURCE}:{}: {why}", entry.line));
        }
    }
    let folder = std::env::var("OUT_DIR").map_err(|why| format!("OUT_DIR: {why}"))?;
    std::fs::write(Path::new(&folder).join("french.table"), table::pack(&entries)).map_err(|why| format!("{folder}: {why}"))
}
