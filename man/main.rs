//! `cargo run --example man -- DIR`: the man pages in English and French, and the completion for three shells, all made from the command
//! lines themselves, so that they cannot say anything else than the program does.
//!
//! Below DIR they lie as below `/usr`: `share/man/man8/…`, `share/man/fr/man8/…`, `share/bash-completion/completions/…` and so on. The
//! package is built from that folder, and `symlinks.sh` copies from it (`target/share`).
//!
//! `cargo run --example man -- missing` prints what has no French yet, as it is to be added to `man/fr.po`.

mod command;
mod completion;
mod pages;
mod po;
mod roff;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["missing"] => missing(),
        [dir] if !dir.starts_with('-') => write(Path::new(dir)),
        _ => Err("usage: man DIR | man missing".to_string()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("man: {why}");
            ExitCode::FAILURE
        }
    }
}

fn missing() -> Result<(), String> {
    let french = po::Catalog::french()?;
    pages::all(&french, "")?;
    print!("{}", french.missing());
    Ok(())
}

/// Everything, below this folder.
fn write(dir: &Path) -> Result<(), String> {
    let date = date()?;
    let mut files = completion::all();
    files.extend(pages::all(&po::Catalog::none(), &date)?);
    files.extend(pages::all(&po::Catalog::french()?, &date)?);
    for (name, text) in files {
        let path = dir.join(name);
        let folder = path.parent().unwrap_or(dir);
        fs::create_dir_all(folder).map_err(|why| format!("{}: {why}", folder.display()))?;
        fs::write(&path, text).map_err(|why| format!("{}: {why}", path.display()))?;
    }
    Ok(())
}

/// The day of the last change as a package build gives it (reproducible-builds.org, SOURCE_DATE_EPOCH); by hand, none: two builds of
/// the same source are the same.
fn date() -> Result<String, String> {
    let Ok(text) = std::env::var("SOURCE_DATE_EPOCH") else { return Ok(String::new()) };
    let seconds: u64 = text.trim().parse().map_err(|_| format!("SOURCE_DATE_EPOCH={text} is no number of seconds"))?;
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds.min(253_402_300_799));
    Ok(humantime::format_rfc3339_seconds(time).to_string().chars().take(10).collect())
}
