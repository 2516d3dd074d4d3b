//! `xl migrate`, the sender's half (`xl_migrate.c`, facts 2.7). The protocol itself is in `xl_protocol`.

use super::{Ctx, Printed, sh_split, xl};
use crate::lab::Stage;
use crate::lab::model::xen::{Migration, Verdict};
use crate::lab::model::{Life, Quirk, Stdin, Version};

const HELP: &str = "Usage: xl [-vtTf] migrate [options] <Domain> <host>\n\nMigrate a domain to another host.\n\nOptions:\n\n-h              Print this help.\n-C <config>     Send <config> instead of config file from creation.\n-s <sshcommand> Use <sshcommand> instead of ssh.  String will be passed\n                to sh. If empty, run <host> instead of ssh <host> xl\n                migrate-receive [-d -e]\n-e              Do not wait in the background (on <host>) for the death\n                of the domain.\n--debug         Print huge (!) amount of debug during the migration process.\n-p              Do not unpause domain after migrating it.\n-D              Preserve the domain id\n";

const UNDEFINED: &str = "** Migration failed during final handshake **\nDomain state is now undefined !\nPlease CHECK AT BOTH ENDS for running instances, before renaming and\n resuming at most one instance.  Two simultaneous instances of the domain\n would probably result in SEVERE DATA LOSS and it is now your\n responsibility to avoid that.  Sorry.\n";

/// Runs `xl migrate`.
pub fn migrate(ctx: &Ctx<'_>, version: Version, args: &[&str]) -> Printed {
    let modern = version >= Version::new(4, 7);
    let (mut transport, mut receive, mut stay_paused, mut operands) = (None, String::new(), false, Vec::new());
    let mut err = String::new();
    let mut args = args.iter().copied();
    while let Some(arg) = args.next() {
        match arg {
            "-h" | "--help" => return Printed::ok(HELP),
            "-s" => transport = args.next(),
            "-C" => {
                args.next();
            }
            "-e" | "-F" => receive += " -e",
            "--debug" => receive += " -d",
            "-p" if version >= Version::new(4, 8) => {
                stay_paused = true;
                receive += " -p";
            }
            "--live" | "-D" => {}
            a if a.starts_with('-') => {
                err += &format!("option `{}' not supported.\n", a.trim_start_matches('-'));
                if modern {
                    return Printed::fail(2, err);
                }
            }
            a => operands.push(a),
        }
    }
    let [name, target, ..] = operands.as_slice() else {
        return Printed {
            code: 2,
            out: HELP.to_string(),
            err: err + "'xl migrate' requires at least 2 arguments.\n\n",
            signal: None,
        };
    };
    let (name, target) = ((*name).to_string(), (*target).to_string());
    let lab = ctx.lab;
    let found = lab.with(|f| xl::find(f.host(ctx.host), &name));
    let Some(domain) = found.and_then(|id| lab.with(|f| f.host_mut(ctx.host).domain_by_id(id).cloned())) else {
        return xl::no_such(version, &name);
    };
    let command = match transport {
        Some("") => format!("exec {target}"),
        Some(words) => format!("exec {words} {target} xl migrate-receive{receive}"),
        None => format!("exec ssh {target} xl migrate-receive{receive}"),
    };
    let id = lab.with(|f| {
        let pid = f.start_process(ctx.host, &format!("xl migrate {name} {target}"), Stdin::Closed, None);
        if let Some(lock) = ctx.keeps_lock.and_then(|l| f.host_mut(ctx.host).locks.get_mut(l)) {
            lock.holders.push(pid);
        }
        f.migrations.push(Migration { stay_paused, ..Migration::new(&domain, ctx.host, pid, ctx.caller) });
        f.migrations.len() - 1
    });
    lab.open_lines(id, ctx.host, ctx.log);
    let sender = Sender { ctx, id, version };
    sender.stage(Stage::Connect);
    let through = match lab.outside() {
        Some(outside) => outside.transport(lab, id, &command),
        None => {
            let argv: Vec<String> = sh_split(&command).into_iter().skip(1).collect();
            let missing = || Printed::fail(127, format!("sh: 1: exec: {}: not found\n", argv.first().map_or("", |w| w.as_str())));
            super::run(&Ctx { stream: Some(id), ..*ctx }, &argv).unwrap_or_else(missing)
        }
    };
    let ended = sender.conclude(&through, &command);
    lab.with(|f| {
        let clock = f.clock;
        f.migrations[id].ended = Some(clock);
        let (host, pid) = (f.migrations[id].from.clone(), f.migrations[id].sender);
        f.end_process(&host, pid);
    });
    err += &lab.taken_lines(id);
    Printed { code: ended.unwrap_or(0), signal: ended.err(), out: String::new(), err }
}

/// The sender's half of one migration.
struct Sender<'a> {
    ctx: &'a Ctx<'a>,
    id: usize,
    version: Version,
}

impl Sender<'_> {
    fn state(&self) -> Migration {
        self.ctx.lab.with(|f| f.migrations[self.id].clone())
    }

    /// A stage in which the sender alone is at work.
    fn stage(&self, stage: Stage) {
        let m = self.state();
        self.ctx.lab.with(|f| f.migrations[self.id].stage = stage);
        self.ctx.lab.stage(self.ctx.host, self.ctx.caller, &m.guest, stage);
        self.die_with_the_watcher();
    }

    /// Without a file of its own for its messages, xl dies of its broken pipe when the one who reads them dies.
    fn die_with_the_watcher(&self) {
        let lab = self.ctx.lab;
        if self.ctx.log.is_none() && !lab.with(|f| f.is_alive(self.ctx.host, self.ctx.caller)) {
            lab.with(|f| f.migrations[self.id].sender_gone = true);
        }
    }

    fn exit(&self, old: i32) -> i32 {
        if self.version < Version::new(4, 7) { old } else { 1 }
    }

    /// Lines on xl's standard error, as they come.
    fn say(&self, text: &str) {
        for line in text.lines() {
            self.ctx.lab.add_line(self.id, line);
            if let Some(watch) = self.ctx.watch {
                watch.line(line);
            }
        }
    }

    /// The transport has ended: what becomes of the copy here. xl's exit code, or the signal that ended it.
    fn conclude(&self, through: &Printed, command: &str) -> Result<i32, i32> {
        let lab = self.ctx.lab;
        self.die_with_the_watcher();
        self.say(&through.err);
        let m = self.state();
        if m.sender_gone {
            // Killed, or without power: nothing more happens here.
            return Err(9);
        }
        let transport_status = match through.code {
            0 => String::new(),
            code => format!(
                "libxl: info: libxl_exec.c:117:libxl_report_child_exitstatus: migration transport process [{}] exited with error status {code}\n",
                m.sender + 1
            ),
        };
        match m.verdict.clone() {
            None if !through.out.is_empty() => {
                self.say("migration receiver stream contained unexpected data instead of banner");
                self.say(&format!("(command run was: {command} )\n{transport_status}"));
                Ok(self.exit(3))
            }
            None => {
                self.say("libxl: error: libxl_utils.c:505:libxl_read_exactly: file/stream truncated reading banner from migration receiver stream");
                self.say(&transport_status);
                Ok(self.exit(3))
            }
            Some(Verdict::NotSuspended) => {
                self.say(&transport_status);
                self.say("Migration failed, failed to suspend at sender.");
                Ok(self.exit(3))
            }
            Some(Verdict::Resume(words)) => {
                self.say(&words);
                self.say(&transport_status);
                self.say("Migration failed, resuming at sender.");
                self.say(&self.resume(&m).unwrap_or_else(|text| text));
                Ok(self.exit(3))
            }
            Some(Verdict::TargetFailed(code)) => {
                self.say(&format!("migration sender: Target reports startup failure (status code {code})."));
                self.say("migration sender: Trying to resume at our end.");
                match self.resume(&m) {
                    Ok(text) => self.say(&(text + "migration sender: Resumed OK.\n")),
                    Err(text) => self.say(&text),
                }
                self.say("Migration failed due to problems at target.");
                Ok(self.exit(3))
            }
            Some(Verdict::Undefined) => {
                self.say(&transport_status);
                self.say(UNDEFINED);
                Ok(self.exit(7))
            }
            Some(Verdict::Success) => {
                self.stage(Stage::Reported);
                if self.state().sender_gone {
                    return Err(9);
                }
                self.say("migration sender: Target reports successful startup.");
                lab.with(|f| f.remove_domain(&m.from, m.domid));
                lab.pass(300);
                self.stage(Stage::Destroyed);
                self.say("Migration successful.");
                Ok(0)
            }
        }
    }

    /// Renames back and resumes the copy here; `Err` where it stays suspended.
    fn resume(&self, m: &Migration) -> Result<String, String> {
        self.ctx.lab.with(|f| {
            if m.renamed {
                f.rename_domain(&m.from, m.domid, &m.name);
            }
            let stubborn = f.has_quirk(&Quirk::NoResume(m.guest.clone()));
            let Some(domain) = f.host_mut(&m.from).domain_by_id(m.domid) else { return Err(String::new()) };
            if domain.life == Life::Running {
                return Ok(format!(
                    "xc: error: Dom {0} not suspended: (shutdown 0, reason 255): Internal error\nlibxl: error: libxl_dom_suspend.c:666:domain_resume_done: Domain {0}:xc_domain_resume failed: Invalid argument\n",
                    m.domid
                ));
            }
            if stubborn || domain.life != Life::Shutdown('s') {
                return Err(format!(
                    "libxl: error: libxl_dom_suspend.c:666:domain_resume_done: Domain {}:xc_domain_resume failed: Invalid argument\n",
                    m.domid
                ));
            }
            domain.life = Life::Running;
            f.log(format!("{}: {} resumed", m.from, m.name));
            Ok(String::new())
        })
    }
}
