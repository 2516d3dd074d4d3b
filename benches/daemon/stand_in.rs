//! The tools, as far as the daemon asks them: each says what the stage holds, and writes down that it was started.

use crate::stage::{self, Marks};
use crate::texts::{self, State};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// The names under which this program is a tool.
pub const NAMES: [&str; 4] = ["xl", "drbdadm", "drbdsetup", "hostname"];

/// Plays a tool. The exit code.
pub fn play(tool: &str, words: &[String]) -> i32 {
    let Some(stage) = stage::of_a_stand_in() else {
        eprintln!("{tool}: this is a stand-in of a benchmark, and $XEN_DRBD_BENCH is not set");
        return 1;
    };
    stage::mark(&stage, &format!("{tool} {}", words.join(" ")));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Some(text) = answer(&stage, tool, &words) else {
        eprintln!("{tool} {}: not a part of this benchmark", words.join(" "));
        return 1;
    };
    // Whoever listened may have gone.
    let _ = std::io::stdout().write_all(text.as_bytes());
    0
}

fn answer(stage: &Path, tool: &str, words: &[&str]) -> Option<String> {
    let marks = Marks::of(stage);
    Some(match (tool, words) {
        ("hostname", _) => "dom0-a\n".to_string(),
        ("xl", ["info"]) => texts::XL_INFO.to_string(),
        ("xl", ["list"]) => texts::xl_list(&marks.names("domain")),
        ("xl", ["vm-list"]) => texts::xl_vm_list(&marks.names("domain")),
        ("xl", ["create", config]) => {
            marks.set("domain", Path::new(config).file_stem()?.to_str()?, "");
            String::new()
        }
        ("xl", ["block-list", _]) => texts::XL_BLOCK_LIST.to_string(),
        ("drbdadm", ["dump-xml", ..]) => fs::read_to_string(stage.join("dump.xml")).ok()?,
        ("drbdadm", ["primary", name]) => said_nothing(|| marks.set("primary", name, "")),
        ("drbdadm", ["secondary", name]) => said_nothing(|| marks.unset("primary", name)),
        ("drbdadm", ["net-options", options @ .., name]) => said_nothing(|| marks.set("options", name, &options.join(" "))),
        ("drbdadm", ["adjust", name]) => said_nothing(|| marks.unset("options", name)),
        ("drbdsetup", ["show", name]) => {
            let options = marks.get("options", name).unwrap_or_default();
            let fencing =
                options.split_once("--fencing=").map_or("dont-care", |(_, rest)| rest.split(' ').next().unwrap_or(rest));
            texts::show(name, options.contains("--allow-two-primaries=yes"), fencing)
        }
        ("drbdsetup", ["events2", "--now"]) => present(stage, &marks),
        ("drbdsetup", ["events2", ..]) => {
            tell_events(stage, &present(stage, &marks));
            String::new()
        }
        _ => return None,
    })
}

fn said_nothing(deed: impl FnOnce()) -> String {
    deed();
    String::new()
}

/// The state of everything, with the line that ends it.
fn present(stage: &Path, marks: &Marks) -> String {
    let (primary, connected) = (marks.names("primary"), marks.names("connected"));
    let mut text = String::new();
    for number in 0..stage::resources(stage) {
        let name = texts::name(number);
        text += &texts::exists(&State { number, primary: primary.contains(&name), connected: connected.contains(&name) });
    }
    text + "exists -\n"
}

/// The state, and then whatever the benchmark says, a line each: `back NUMBER`, or `progress LINES`.
fn tell_events(stage: &Path, present: &str) {
    let mut out = std::io::stdout().lock();
    let Ok(mut line) = UnixStream::connect(stage.join("conductor")) else { return };
    // Whoever has read the state hears what comes after it: so it is read when the benchmark is told that we are ready.
    let told = out.write_all(present.as_bytes()).and_then(|()| out.flush()).and_then(|()| line.write_all(b"ready\n"));
    let Ok(reader) = told.and_then(|()| line.try_clone()) else { return };
    for order in BufReader::new(reader).lines().map_while(Result::ok) {
        let text = match order.split_once(' ') {
            Some(("back", number)) => number.parse().map(texts::is_back).unwrap_or_default(),
            Some(("progress", lines)) => {
                let count = stage::resources(stage).max(1);
                (0..lines.parse().unwrap_or(0)).map(|at| texts::progress(at % count, at % 100)).collect()
            }
            _ => return,
        };
        stage::mark(stage, "event");
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}
