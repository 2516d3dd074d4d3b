//! `xm migrate`: xend to xend over port 8002 (`XendCheckpoint.py`, facts 1.3).
//!
//! The sender never hears whether the target started the guest: what goes wrong there after the stream has ended leaves it nowhere, and the exit code is 0.

use super::{Ctx, Printed, xm};
use crate::lab::Stage;
use crate::lab::model::xen::{Migration, NotMade};
use crate::lab::model::{Life, Quirk, Stdin, Version};

/// Runs `xm migrate`.
pub fn migrate(ctx: &Ctx<'_>, version: Version, args: &[&str]) -> Printed {
    let (mut live, mut operands) = (false, Vec::new());
    let mut args = args.iter().copied();
    while let Some(arg) = args.next() {
        match arg {
            "-l" | "--live" => live = true,
            "-s" | "--ssl" | "-c" | "--change_home_server" => {}
            "-p" | "-n" | "--port" | "--node" => {
                args.next();
            }
            a if a.starts_with("--port=") || a.starts_with("--node=") => {}
            a if a.starts_with('-') => return xm::fault("migrate", &format!("option {a} not recognized")),
            a => operands.push(a.to_string()),
        }
    }
    let [name, target] = operands.as_slice() else { return xm::fault("migrate", "Invalid number of arguments") };
    let lab = ctx.lab;
    let found = lab.with(|f| xm::find(f.host(ctx.host), name));
    let Some(domain) = found.and_then(|id| lab.with(|f| f.host_mut(ctx.host).domain_by_id(id).cloned())) else {
        return xm::no_such(version, name);
    };
    let Some(to) = lab.with(|f| f.resolve(target)) else {
        return xm::fault("migrate", "can't connect: Name or service not known");
    };
    if !lab.with(|f| f.ssh_path(ctx.host, &to)) {
        lab.pass(3000);
        return xm::fault("migrate", "can't connect: No route to host");
    }
    if !lab.with(|f| f.host(&to).xm.is_some() && f.host(&to).xend_up) {
        return xm::fault("migrate", "can't connect: Connection refused");
    }
    let id = lab.with(|f| {
        let pid = f.start_process(ctx.host, &format!("xend migrate {name}"), Stdin::Closed, None);
        let m = Migration::new(&domain, ctx.host, pid, ctx.caller);
        f.migrations.push(Migration { to: Some(to.clone()), ..m });
        f.migrations.len() - 1
    });
    lab.open_lines(id, ctx.host, Some("/var/log/xen/xend.log"));
    let run = Run { ctx, id, to, live };
    let result = run.play();
    lab.with(|f| {
        let clock = f.clock;
        f.migrations[id].ended = Some(clock);
        let pid = f.migrations[id].sender;
        f.end_process(ctx.host, pid);
    });
    if ctx.watch.is_some_and(|w| w.is_stopped()) {
        // The client was ended; xend went on.
        return Printed { signal: Some(15), ..Printed::default() };
    }
    match result {
        Ok(()) => Printed::ok(""),
        Err(text) => xm::fault("migrate", &text),
    }
}

/// One migration, both xends.
struct Run<'a> {
    ctx: &'a Ctx<'a>,
    id: usize,
    to: String,
    live: bool,
}

/// What broke.
enum Break {
    /// The sender's host is off: nobody is left to tell.
    Sender,
    /// The target's host is off, or the link is silent.
    Target,
}

impl Run<'_> {
    fn state(&self) -> Migration {
        self.ctx.lab.with(|f| f.migrations[self.id].clone())
    }

    fn stage(&self, stage: Stage) -> Result<(), Break> {
        let m = self.state();
        self.ctx.lab.with(|f| f.migrations[self.id].stage = stage);
        self.ctx.lab.stage(&m.from, m.watcher, &m.guest, stage);
        if let Some(watch) = self.ctx.watch {
            watch.tick();
        }
        let m = self.state();
        if m.sender_off {
            return Err(Break::Sender);
        }
        let lab = self.ctx.lab;
        let path = || lab.with(|f| f.ssh_path(&m.from, &self.to));
        let until = lab.clock() + super::ssh::TCP_PATIENCE;
        while !m.target_off && !path() && lab.clock() < until && lab.with(|f| f.host(&m.from).powered) {
            lab.pass(1000);
            if self.state().target_off {
                break;
            }
        }
        if self.state().sender_off {
            Err(Break::Sender)
        } else if self.state().target_off || self.state().target_gone || !path() {
            Err(Break::Target)
        } else {
            Ok(())
        }
    }

    fn suspend(&self, m: &Migration) -> bool {
        self.ctx.lab.with(|f| {
            let stubborn = f.has_quirk(&Quirk::NoSuspend(m.guest.clone()));
            match f.host_mut(&m.from).domain_by_id(m.domid) {
                Some(domain) if domain.life == Life::Running && !stubborn => {
                    domain.life = Life::Shutdown('s');
                    true
                }
                _ => false,
            }
        })
    }

    fn play(&self) -> Result<(), String> {
        let m = self.state();
        let lab = self.ctx.lab;
        if self.stage(Stage::Connect).is_err() {
            return self.failed("");
        }
        lab.with(|f| f.rename_domain(&m.from, m.domid, &format!("migrating-{}", m.name)));
        if !self.live && !self.suspend(&m) {
            return self.failed("the guest does not suspend");
        }
        let Some(source) = lab.with(|f| f.host_mut(&m.from).domain_by_id(m.domid).cloned()) else {
            return self.failed("the domain is gone");
        };
        let made = lab.with(|f| f.make_domain(&self.to, &source.config, &m.name, Some(source.uuid.clone())));
        let copy = match made {
            Ok(copy) => copy,
            Err(NotMade::NameTaken | NotMade::NoMemory) => return self.failed("/usr/lib/xen/bin/xc_save 4 7 0 0 1 failed"),
        };
        lab.with(|f| f.migrations[self.id].incoming = Some(copy));
        // Devices are made at once, while the guest still runs here; whether they came up is looked at in the end.
        let attached = lab.with(|f| f.attach_disks(&self.to, copy)).is_ok();
        let mut stages = vec![Stage::Incoming];
        stages.extend([25, 50, 75, 100].map(Stage::Memory));
        for stage in stages {
            if let Stage::Memory(percent) = stage {
                lab.pass((source.config.memory * 10 / 4).max(250));
                if let Some(watch) = self.ctx.watch {
                    watch.sent(source.config.memory * u64::from(percent) / 100 * 1024 * 1024);
                }
            }
            if self.stage(stage).is_err() {
                return self.failed("/usr/lib/xen/bin/xc_save 4 7 0 0 1 failed");
            }
        }
        if self.live && !self.suspend(&m) {
            return self.failed("/usr/lib/xen/bin/xc_save 4 7 0 0 1 failed");
        }
        if self.stage(Stage::Suspended).is_err() {
            return self.failed("/usr/lib/xen/bin/xc_save 4 7 0 0 1 failed");
        }
        let beat = lab.with(|f| f.host_mut(&m.from).domain_by_id(m.domid).map_or(0, |d| d.beat));
        // The sender has sent everything: it destroys its copy without waiting for a word.
        lab.with(|f| f.remove_domain(&m.from, m.domid));
        let broken = self.stage(Stage::Destroyed);
        let unpauses = !lab.with(|f| f.has_quirk(&Quirk::NoUnpause(m.guest.clone())));
        if matches!(broken, Err(Break::Target)) && self.state().target_gone {
            return Ok(());
        }
        if !attached || !unpauses {
            lab.with(|f| {
                f.remove_domain(&self.to, copy);
                f.log(format!("{}: xend gave {} up", self.to, m.name));
            });
            return Ok(());
        }
        lab.with(|f| {
            if let Some(domain) = f.host_mut(&self.to).domain_by_id(copy) {
                domain.complete = true;
                domain.beat = beat;
                domain.paused = false;
            }
        });
        lab.pass(300);
        let _ = self.stage(Stage::Unpaused);
        Ok(())
    }

    /// The stream broke: the sender resumes and takes its name back; the target destroys its copy, if it notices.
    fn failed(&self, text: &str) -> Result<(), String> {
        let m = self.state();
        let lab = self.ctx.lab;
        lab.with(|f| {
            let heard = f.ssh_path(&m.from, &self.to) || m.sender_off;
            if let Some(copy) = m.incoming.filter(|_| heard && f.host(&self.to).powered) {
                f.remove_domain(&self.to, copy);
            }
            if m.sender_off {
                return;
            }
            let stubborn = f.has_quirk(&Quirk::NoResume(m.guest.clone()));
            if let Some(domain) = f.host_mut(&m.from).domain_by_id(m.domid)
                && domain.life == Life::Shutdown('s')
                && !stubborn
            {
                domain.life = Life::Running;
            }
            if !stubborn {
                f.rename_domain(&m.from, m.domid, &m.name);
            }
        });
        Err(text.to_string())
    }
}
