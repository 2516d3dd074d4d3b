//! The tour: the main job on three pretend Dom0s, each command with the true output of the real executable.
//!
//! It is a test as well: a command that does not end as it is told to ends the tour with exit code 1.

use super::{Fault, build, told};
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use xen_drbd::lab::folder::Folder;
use xen_drbd::lab::{Deed, Lab, Stage, When};

const A: &str = "dom0-alpha";
const B: &str = "dom0-beta";
const C: &str = "dom0-gamma";

/// Real seconds for each second of copied memory: enough to see that time passes.
const PACE: f64 = 0.18;

/// Shows it. The fleet lies in a folder of its own, which is removed in the end unless it is to be kept.
pub fn run(dir: Option<&Path>, tool: Option<&Path>, keep: bool) -> Result<ExitCode, Fault> {
    let programs = build::programs(tool)?;
    let temp = dir.map_or_else(|| std::env::temp_dir().join(format!("xen-drbd-tour-{}", std::process::id())), Path::to_path_buf);
    let folder = told(Folder::make(&temp, Lab::article(), &programs))?;
    let guard = Removed { dir: folder.dir().to_path_buf(), keep: keep || dir.is_some() };
    told(folder.set_pace(PACE))?;
    let mut guide = Guide { folder: &folder, bold: bold(), wrong: Vec::new() };
    story(&mut guide)?;
    let wrong = guide.wrong;
    if guard.keep {
        super::place::remember(&guard.dir);
        println!("The fleet is in {}.", guard.dir.display());
    }
    if wrong.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("\nlab: the tour did not go as it tells:");
    wrong.iter().for_each(|what| eprintln!("  {what}"));
    Ok(ExitCode::FAILURE)
}

fn story(g: &mut Guide<'_>) -> Result<(), Fault> {
    g.say(
        "Three pretend Dom0s, each with domUs on DRBD disks that it shares with one other. Xen, DRBD and the network between them\n\
         are a model; xen-migrate is the real one. Each Dom0 has its table, in the style of fstab:",
    );
    g.run(A, "cat etc/xen/migrate-tab.txt", 0, &["my-domu-1"])?;
    g.say("Where everything is, as dom0-alpha sees it:");
    g.run(A, "xen-migrate status ALL", 0, &["my-domu-1", "running"])?;

    g.say("A domU goes to its partner while it runs. Both ends are looked at before anything is touched, and again at the end.");
    g.run(A, "xen-migrate migrate my-domu-1", 0, &["my-domu-1 runs on dom0-beta."])?;
    g.say("Its home remembers where it went; its host knows that it is a guest.");
    g.run(A, "xen-migrate status my-domu-1", 0, &["away", B])?;
    g.run(B, "xen-migrate status my-domu-1", 0, &["running"])?;

    g.say("To bring it back, its home asks its host over ssh, with a key that can do nothing else. Does that key work?");
    g.run(
        A,
        "xen-migrate ping dom0-beta",
        0,
        &["PING from dom0-alpha.example.org ...\nPONG from dom0-beta.example.org ...\nSuccess.\n"],
    )?;
    g.run(A, "xen-migrate reverse my-domu-1", 0, &["my-domu-1 runs on dom0-alpha."])?;

    g.say("Somebody has disconnected the replication of my-domu-3. Xen itself would migrate it and leave two diverging disks behind.");
    g.run(C, "drbdadm disconnect my-domu-3", 0, &[])?;
    g.run(A, "xen-migrate migrate my-domu-3", 3, &["nothing was touched", "try:"])?;

    g.say(
        "Now the worst: in the middle of a migration, with the memory copied and the domU just suspended, kill -9 hits both\n\
         xen-migrate and xl.",
    );
    told(g.folder.set_pace(0.0))?;
    told(g.folder.with(|lab| {
        let at = || When::Stage("my-domu-2".into(), Stage::Suspended);
        lab.inject(at(), Deed::KillTools(A.into()));
        lab.inject(at(), Deed::KillSender("my-domu-2".into()));
    }))?;
    g.run(A, "xen-migrate migrate my-domu-2", KILLED, &[])?;
    g.wait_for_children(A, "my-domu-2")?;
    g.run(A, "xl list my-domu-2", 0, &["s"])?;
    g.run(A, "xen-migrate status my-domu-2", 0, &["recover"])?;
    g.say("The record was written before anything moved, so it is known what was under way. What is to be done, a look at both ends decides:");
    g.run(A, "xen-migrate recover", 0, &["my-domu-2 runs on dom0-alpha."])?;
    g.run(A, "xen-migrate status my-domu-2", 0, &["running"])?;

    let findings = told(g.folder.with(Lab::findings))?;
    g.check(findings.is_empty(), || format!("the model found: {findings:?}"));
    let executes = told(g.folder.with(|lab| (1..=8).all(|n| lab.runs_on(&format!("my-domu-{n}")).len() == 1)))?;
    g.check(executes, || "not every domU runs exactly once".to_string());
    let lab = build::how_called();
    g.say(&format!(
        "Shown: status, migrate, ping, reverse, a refusal, and a migration that was killed half way and settled.\n\
         Next, on such a Dom0 yourself:  {lab} shell dom0-alpha     (all of it: {lab} help)"
    ));
    Ok(())
}

/// What the exit code of a killed command stands for here.
const KILLED: i32 = 137;

/// Tells the story and keeps what went otherwise.
struct Guide<'a> {
    folder: &'a Folder,
    bold: bool,
    wrong: Vec<String>,
}

impl Guide<'_> {
    fn say(&self, text: &str) {
        println!("\n{text}\n");
    }

    fn check(&mut self, well: bool, what: impl FnOnce() -> String) {
        if !well {
            self.wrong.push(what());
        }
    }

    /// What a killed tool has started ends by itself, and on a busy machine not before the next command looks: until then the domU's lock
    /// is held, and `status` says so.
    fn wait_for_children(&self, host: &str, domu: &str) -> Result<(), Fault> {
        let lock = self.folder.root(host).join(format!("run/xen-migrate/domu-{domu}.lock"));
        let file = std::fs::File::open(&lock).map_err(|why| format!("{}: {why}", lock.display()))?;
        told(fs2::FileExt::lock_shared(&file))
    }

    /// Shows a command with what it prints, and holds that against what is told of it.
    fn run(&mut self, host: &str, line: &str, code: i32, words: &[&str]) -> Result<(), Fault> {
        let (on, off) = if self.bold { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        println!("{on}{host}# {line}{off}");
        let argv: Vec<&str> = line.split(' ').collect();
        let (reader, writer) = told(std::io::pipe())?;
        let mut command = self.folder.command(host, &argv);
        command.stdin(std::process::Stdio::null()).stdout(told(writer.try_clone())?).stderr(writer);
        let mut child = command.spawn().map_err(|why| format!("{line}: {why}"))?;
        // It holds the pipe's other end.
        drop(command);
        let mut said = String::new();
        for text in BufReader::new(reader).lines().map_while(Result::ok) {
            println!("{text}");
            said += &(text + "\n");
        }
        let status = told(child.wait())?;
        let ended = status.code().unwrap_or(KILLED);
        match ended {
            0 => {}
            KILLED => println!("Killed"),
            other => println!("[exit {other}]"),
        }
        let _ = std::io::stdout().flush();
        self.check(ended == code, || format!("{host}# {line}: {status}, not {code}"));
        for word in words {
            self.check(said.contains(word), || format!("{host}# {line}: does not say {word:?}"));
        }
        Ok(())
    }
}

/// Commands stand out on a terminal, unless somebody does not want that (no-color.org).
fn bold() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Takes the folder away in the end.
struct Removed {
    dir: PathBuf,
    keep: bool,
}

impl Drop for Removed {
    fn drop(&mut self) {
        if !self.keep {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}
