//! `xl migrate-receive`. What it does with the domain that comes is in `xl_protocol`.

use super::xl_protocol::play;
use super::{Ctx, Printed};
use crate::lab::model::Pid;
use crate::lab::model::xen::TargetEnd as End;
use crate::lab::{Killed, Lab};
use std::panic::resume_unwind;

/// What it says first on standard output (`xl_migrate.c`, `migrate_receiver_banner`).
pub(crate) const BANNER: &str = "xl migration receiver ready, send binary domain data.\n";

/// What it says when it has everything (`migrate_receiver_ready`), with the zero byte.
pub(crate) const READY: &[u8] = b"domain received, ready to unpause\0";

/// It takes these arguments, with or without the words before them.
pub(crate) fn understands(args: &[&str]) -> bool {
    let own = args.iter().position(|a| *a == "migrate-receive").map_or(args, |at| &args[at + 1..]);
    own.iter().all(|a| ["-e", "-d", "-p", "-F", "--debug"].contains(a))
}

/// What becomes of it when no domain comes.
pub(crate) fn without_a_sender() -> Printed {
    Printed {
        code: 3,
        out: BANNER.to_string(),
        err: "migration target: Ready to receive domain.\nlibxl: error: libxl_utils.c:505:libxl_read_exactly: file/stream truncated reading header from migration stream\n".to_string(),
        signal: None,
    }
}

/// Runs `xl migrate-receive`.
pub fn receive(ctx: &Ctx<'_>, args: &[&str]) -> Printed {
    if !understands(args) {
        return Printed::fail(2, "'xl migrate-receive' does not take any arguments.\n");
    }
    let Some(id) = ctx.stream else { return without_a_sender() };
    join(ctx.lab, id, ctx.host, ctx.caller);
    let end = play(ctx.lab, id, ctx.upstream, ctx.relay);
    // A receiver whose host has lost its power is gone like everything else there.
    ctx.lab.survive(ctx.host, ctx.caller);
    match end {
        End::Exit(code) => Printed { code, ..Printed::default() },
        End::Killed => Printed { code: 137, signal: Some(9), ..Printed::default() },
        End::Hangs => {
            ctx.lab.with(|f| {
                f.log(format!("{}[{}] waits for a sender that is gone", ctx.host, ctx.caller));
                if let Some(process) = f.host_mut(ctx.host).process_mut(ctx.caller) {
                    process.hung = true;
                }
            });
            resume_unwind(Box::new(Killed(ctx.caller)))
        }
    }
}

/// A receiver answers the sender of this migration.
pub(crate) fn join(lab: &Lab, id: usize, host: &str, receiver: Pid) {
    lab.with(|f| {
        let m = &mut f.migrations[id];
        m.to = Some(host.to_string());
        m.receiver = Some(receiver);
    });
}
