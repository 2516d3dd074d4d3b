//! `lab plan`: what goes wrong, and when.

use super::{Fault, host_of, told};
use clap::Args;
use xen_drbd::lab::folder::Folder;
use xen_drbd::lab::{Deed, Lab, Phase, Planned, Stage, When};

pub const HELP: &str = "\
Moments:
  --at DOMU:STAGE      connect banner incoming memory25 memory50 memory75
                       memory100 suspended received ready renamed go
                       target-renamed unpaused reported destroyed
  --before HOST WORDS  before a program of HOST whose command line contains WORDS
  --after HOST WORDS   after it, and before its caller hears of it
  --in SECONDS         by the fleet's clock

Deeds:
  kill-tools HOST      kill -9 for every xen-migrate there
  interrupt HOST       Ctrl-C for them
  terminate HOST       SIGTERM for them
  kill-caller          kill -9 for whoever called the program
  kill-xl DOMU         kill -9 for the xl that sends it
  kill-receiver DOMU   kill -9 for the xl that receives it
  end-transport DOMU   the ssh of its migration ends
  cut A B [SECONDS]    no packet passes between the two
  mend A B             the link is whole again
  power-off HOST       as by a pulled plug
  power-on HOST        it boots

Examples:
  lab plan --at my-domu-1:memory50 cut dom0-alpha dom0-beta 60
  lab plan --before dom0-alpha 'drbdadm primary' power-off dom0-beta
  lab plan             what is planned
  lab plan clear       no longer";

/// The arguments of `plan`.
#[derive(Debug, Args)]
pub struct Plan {
    /// At a stage of a domU's migration
    #[arg(long, value_name = "DOMU:STAGE")]
    at: Option<String>,
    /// Before a program
    #[arg(long, num_args = 2, value_names = ["HOST", "WORDS"])]
    before: Option<Vec<String>>,
    /// After a program
    #[arg(long, num_args = 2, value_names = ["HOST", "WORDS"])]
    after: Option<Vec<String>>,
    /// In so many seconds
    #[arg(long = "in", value_name = "SECONDS")]
    within: Option<u64>,
    /// What happens then
    deed: Vec<String>,
}

const STAGES: [(&str, Stage); 16] = [
    ("connect", Stage::Connect),
    ("banner", Stage::Banner),
    ("incoming", Stage::Incoming),
    ("memory25", Stage::Memory(25)),
    ("memory50", Stage::Memory(50)),
    ("memory75", Stage::Memory(75)),
    ("memory100", Stage::Memory(100)),
    ("suspended", Stage::Suspended),
    ("received", Stage::Received),
    ("ready", Stage::Ready),
    ("renamed", Stage::Renamed),
    ("go", Stage::Go),
    ("target-renamed", Stage::TargetRenamed),
    ("unpaused", Stage::Unpaused),
    ("reported", Stage::Reported),
    ("destroyed", Stage::Destroyed),
];

/// The verb.
pub fn run(folder: &Folder, plan: &Plan) -> Result<(), Fault> {
    let words: Vec<&str> = plan.deed.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => {
            let planned = told(folder.with(Lab::plan))?;
            planned.iter().for_each(|p| println!("{}", words_of(p)));
            if planned.is_empty() {
                println!("Nothing is planned; see: lab plan --help");
            }
            Ok(())
        }
        ["clear"] => told(folder.with(Lab::clear_plan)),
        words => told(folder.with(|lab| {
            let planned = Planned { when: when(lab, plan)?, deed: deed(lab, words)? };
            println!("{}", words_of(&planned));
            lab.inject(planned.when, planned.deed);
            Ok(())
        }))?,
    }
}

/// What is planned, in words.
pub fn words(planned: &Planned) -> String {
    words_of(planned)
}

fn words_of(planned: &Planned) -> String {
    let moment = match &planned.when {
        When::Event(number, phase) => format!("{phase:?} event {number}"),
        When::Call { host, words, nth: 1, phase } => format!("{phase:?} `{words}` on {host}"),
        When::Call { host, words, nth, phase } => format!("{phase:?} the {nth}th `{words}` on {host}"),
        When::Stage(domu, stage) => {
            let name = STAGES.iter().find(|(_, s)| s == stage).map_or("?", |(name, _)| name);
            format!("at {domu}:{name}")
        }
        When::At(time) => format!("at {:.1} s", *time as f64 / 1000.0),
    };
    format!("{}: {}", moment.to_lowercase(), typed(&planned.deed))
}

/// A deed as one types it here; one that only scenes have, as they tell it.
fn typed(deed: &Deed) -> String {
    match deed {
        Deed::KillCaller => "kill-caller".to_string(),
        Deed::KillTools(host) => format!("kill-tools {host}"),
        Deed::Interrupt(host) => format!("interrupt {host}"),
        Deed::Terminate(host) => format!("terminate {host}"),
        Deed::KillSender(domu) => format!("kill-xl {domu}"),
        Deed::KillReceiver(domu) => format!("kill-receiver {domu}"),
        Deed::EndTransport(domu) => format!("end-transport {domu}"),
        Deed::PowerOff(host) => format!("power-off {host}"),
        Deed::Boot(host) => format!("power-on {host}"),
        Deed::Cut(a, b, Some(time)) => format!("cut {a} {b} {}", time / 1000),
        Deed::Cut(a, b, None) => format!("cut {a} {b}"),
        Deed::Mend(a, b) => format!("mend {a} {b}"),
        other => other.to_string(),
    }
}

fn when(lab: &Lab, plan: &Plan) -> Result<When, Fault> {
    let call = |words: &[String], phase| {
        let [host, words] = words else { return Err("HOST and WORDS are expected".to_string()) };
        Ok(When::Call { host: host_of(lab, host)?, words: words.clone(), nth: 1, phase })
    };
    match (&plan.at, &plan.before, &plan.after, plan.within) {
        (Some(at), None, None, None) => {
            let (domu, stage) = at.split_once(':').ok_or("--at takes DOMU:STAGE")?;
            let known = STAGES.iter().find(|(name, _)| *name == stage);
            let (_, stage) = known.ok_or_else(|| format!("there is no stage {stage}; see: lab plan --help"))?;
            Ok(When::Stage(domu.to_string(), *stage))
        }
        (None, Some(words), None, None) => call(words, Phase::Before),
        (None, None, Some(words), None) => call(words, Phase::After),
        (None, None, None, Some(seconds)) => Ok(When::At(lab.clock() + seconds * 1000)),
        _ => Err("one moment is expected: --at, --before, --after or --in".to_string()),
    }
}

fn deed(lab: &Lab, words: &[&str]) -> Result<Deed, Fault> {
    let host = |word: &str| host_of(lab, word);
    let domu = |word: &str| word.to_string();
    Ok(match words {
        ["kill-caller"] => Deed::KillCaller,
        ["kill-tools", h] => Deed::KillTools(host(h)?),
        ["interrupt", h] => Deed::Interrupt(host(h)?),
        ["terminate", h] => Deed::Terminate(host(h)?),
        ["kill-xl", d] => Deed::KillSender(domu(d)),
        ["kill-receiver", d] => Deed::KillReceiver(domu(d)),
        ["end-transport", d] => Deed::EndTransport(domu(d)),
        ["power-off", h] => Deed::PowerOff(host(h)?),
        ["power-on", h] => Deed::Boot(host(h)?),
        ["mend", a, b] => Deed::Mend(host(a)?, host(b)?),
        ["cut", a, b] => Deed::Cut(host(a)?, host(b)?, None),
        ["cut", a, b, seconds] => {
            let seconds: u64 = seconds.parse().map_err(|_| format!("{seconds} are no seconds"))?;
            Deed::Cut(host(a)?, host(b)?, Some(seconds * 1000))
        }
        _ => return Err(format!("`{}` is no deed that can be planned; see: lab plan --help", words.join(" "))),
    })
}
