//! `ssh`: from one pretend Dom0 to another, with the key that `-i` names or the host's ordinary one.
//!
//! At the other end a key that stands in `/root/.ssh/authorized_keys` with a `command=` runs that command, and the
//! ordinary key runs what was asked for where root may log in at all (facts 7).

use super::{Ctx, Printed, sh_split};
use crate::applets::Surroundings;
use crate::lab::model::{Fleet, Millis, Stdin};
use crate::lab::world::LabWorld;

/// How long TCP tries to send before it gives a silent peer up (`tcp_retries2`).
pub const TCP_PATIENCE: Millis = 924_000;

/// What the arguments say.
#[derive(Debug, Default)]
struct Asked {
    key: Option<String>,
    options: Vec<(String, String)>,
    host: String,
    command: String,
}

/// Runs `ssh`.
pub fn run(ctx: &Ctx<'_>, args: &[&str]) -> Printed {
    let inside = match knock(ctx, args) {
        Ok(inside) => inside,
        Err(printed) => return printed,
    };
    let printed = as_process(ctx, &inside.there, &inside.argv, Some(inside.around.clone()));
    hear_out(ctx, &inside, printed)
}

/// A connection that was let in.
pub(crate) struct Inside {
    /// The host.
    pub there: String,
    /// What runs there.
    pub argv: Vec<String>,
    /// What sshd tells it.
    pub around: Surroundings,
    warning: String,
    patience: Millis,
    quiet: bool,
    boots: u32,
}

/// Knocks at the other host's door: everything up to the start of the command there.
pub(crate) fn knock(ctx: &Ctx<'_>, args: &[&str]) -> Result<Inside, Printed> {
    let asked = parse(args).map_err(|text| Printed::fail(255, text))?;
    let quiet = asked.option("LogLevel").is_some_and(|l| matches!(l, "ERROR" | "QUIET" | "FATAL"));
    let word = asked.host.rsplit('@').next().unwrap_or(&asked.host).to_string();
    if word.starts_with('-') {
        return Err(Printed::fail(255, "hostname contains invalid characters\n"));
    }
    let Some(there) = ctx.lab.with(|f| f.resolve(&word)) else {
        return Err(Printed::fail(255, format!("ssh: Could not resolve hostname {word}: Name or service not known\n")));
    };
    if !ctx.lab.with(|f| f.ssh_path(ctx.host, &there)) {
        let limit = asked.seconds("ConnectTimeout").unwrap_or(17_000);
        ctx.lab.pass(limit.min(3000));
        return Err(Printed::fail(255, format!("ssh: connect to host {word} port 22: No route to host\n")));
    }
    if !ctx.lab.with(|f| f.host(&there).sshd) {
        return Err(Printed::fail(255, format!("ssh: connect to host {word} port 22: Connection refused\n")));
    }
    ctx.lab.pass(200);
    let mut warning = String::new();
    let key = asked.key.as_deref().and_then(|path| {
        let text = ctx.lab.with(|f| f.host(ctx.host).files.text(&format!("{path}.pub")));
        if text.is_none() {
            warning = format!("Warning: Identity file {path} not accessible: No such file or directory.\n");
        }
        text
    });
    let only = asked.option("IdentitiesOnly") == Some("yes");
    let (address, client) = ctx.lab.with(|f| (f.host(&there).address.clone(), f.host(ctx.host).address.clone()));
    let forced = key.as_deref().and_then(|k| forced_command(ctx, &there, k, &client));
    if let Some(id) = ctx.stream {
        ctx.lab.with(|f| f.migrations[id].patience = Some(asked.patience()));
    }
    let argv;
    let mut around = Surroundings::default();
    match forced {
        Some(Forced::Command(words)) => {
            argv = words;
            around.ssh_original_command = (!asked.command.is_empty()).then(|| asked.command.clone());
            around.ssh_connection = Some(format!("{client} 40022 {address} 22"));
        }
        Some(Forced::Nothing) => argv = sh_split(&asked.command),
        // The ordinary key of root, where it may.
        None if ctx.lab.with(|f| f.host(&there).root_ssh) && !(only && asked.key.is_some()) => argv = sh_split(&asked.command),
        None => {
            return Err(Printed::fail(255, format!("{warning}root@{word}: Permission denied (publickey).\n")));
        }
    }
    if argv.is_empty() {
        return Err(Printed::fail(255, "Pseudo-terminal will not be allocated because stdin is not a terminal.\n"));
    }
    if let Some(id) = ctx.stream {
        let ours = argv.iter().any(|word| word.rsplit('/').next() == Some("migrate2"));
        ctx.lab.with(|f| f.migrations[id].relayed = ours);
    }
    let boots = ctx.lab.with(|f| f.host(&there).boots);
    Ok(Inside { there, argv, around, warning, patience: asked.patience(), quiet, boots })
}

impl Inside {
    /// The connection still stands.
    pub(crate) fn stands(&self, fleet: &Fleet, host: &str) -> bool {
        fleet.ssh_path(host, &self.there) && fleet.host(&self.there).boots == self.boots
    }
}

/// The command there has ended: what arrives of its answer.
pub(crate) fn hear_out(ctx: &Ctx<'_>, inside: &Inside, mut printed: Printed) -> Printed {
    let stands = || ctx.lab.with(|f| inside.stands(f, ctx.host));
    let mut own = String::new();
    if !stands() {
        // The answer is lost. Without keep-alives the client would wait very long.
        let until = ctx.lab.clock() + inside.patience;
        let settled = ctx.stream.is_some_and(|id| ctx.lab.with(|f| f.migrations[id].verdict.is_some()));
        while !settled && ctx.lab.clock() < until && !ctx.watch.is_some_and(|w| w.is_stopped()) && !stands() {
            ctx.lab.pass(1000);
            if let Some(watch) = ctx.watch {
                watch.tick();
            }
        }
        if settled || !stands() {
            printed.code = 255;
            printed.signal = None;
            if !inside.quiet {
                own = format!("Timeout, server {} not responding.\n", inside.there);
            }
        }
    }
    if printed.signal.take().is_some() {
        printed.code = 255;
    }
    // Whoever watches reads what the command said there as it came; ssh's own words are new.
    if let Some(watch) = ctx.watch.filter(|_| ctx.stream.is_none()) {
        inside.warning.lines().chain(own.lines()).for_each(|line| watch.line(line));
    }
    printed.err = inside.warning.clone() + &printed.err + &own;
    printed
}

/// Runs a command as a process of its own on a host.
pub fn as_process(ctx: &Ctx<'_>, there: &str, argv: &[String], around: Option<Surroundings>) -> Printed {
    let client = (ctx.host != there).then(|| ctx.host.to_string());
    let stdin = ctx.stream.map_or(Stdin::Closed, Stdin::Migration);
    let pid = ctx.lab.with(|f| f.start_process(there, &argv.join(" "), stdin, client));
    let upstream = if ctx.stream.is_some() { ctx.watch } else { None };
    let reader = if ctx.stream.is_none() { ctx.watch } else { None };
    let world = LabWorld::new(ctx.lab, there, pid).on_stream(ctx.stream, upstream).read_by(reader);
    let ended = ctx.lab.boundary(pid, || ctx.lab.exec(&world, argv, &around.unwrap_or_default()));
    let (out, err) = world.taken();
    let hung = ctx.lab.with(|f| f.host(there).process(pid).is_some_and(|p| p.hung));
    if !hung {
        ctx.lab.with(|f| f.end_process(there, pid));
    }
    match ended {
        Some(printed) => Printed { code: printed.code, signal: printed.signal, out, err },
        None => Printed { code: 137, signal: Some(9), out, err },
    }
}

impl Asked {
    fn option(&self, name: &str) -> Option<&str> {
        // The first value wins.
        self.options.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    fn seconds(&self, name: &str) -> Option<Millis> {
        self.option(name)?.parse::<Millis>().ok().map(|s| s * 1000)
    }

    /// How long a silent server is waited for.
    fn patience(&self) -> Millis {
        let interval = self.seconds("ServerAliveInterval").filter(|i| *i > 0);
        let count = self.option("ServerAliveCountMax").and_then(|c| c.parse::<Millis>().ok()).unwrap_or(3);
        interval.map_or(TCP_PATIENCE, |i| i * count)
    }
}

/// What a line of authorized_keys makes of a connection.
enum Forced {
    Command(Vec<String>),
    Nothing,
}

/// Looks the key up in the other host's authorized_keys.
fn forced_command(ctx: &Ctx<'_>, there: &str, public: &str, client: &str) -> Option<Forced> {
    let blob = public.split_whitespace().nth(1)?;
    let text = ctx.lab.with(|f| f.host(there).files.text("/root/.ssh/authorized_keys"))?;
    for line in text.lines().map(str::trim).filter(|l| !l.starts_with('#')) {
        let (options, rest) = split_options(line);
        if rest.split_whitespace().nth(1) != Some(blob) {
            continue;
        }
        let value = |name: &str| {
            options
                .iter()
                .find_map(|o| o.strip_prefix(&format!("{name}=\"")))
                .map(|v| v.trim_end_matches('"').replace("\\\"", "\""))
        };
        if value("from").is_some_and(|from| !from.split(',').any(|p| p == client || p == "*")) {
            return None;
        }
        return Some(value("command").map_or(Forced::Nothing, |c| Forced::Command(sh_split(&c))));
    }
    None
}

/// The options of a line and what follows them.
fn split_options(line: &str) -> (Vec<String>, &str) {
    if line.starts_with("ssh-") || line.starts_with("ecdsa-") {
        return (Vec::new(), line);
    }
    let mut options = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in line.char_indices() {
        match c {
            '"' if !escaped => quoted = !quoted,
            ',' if !quoted => {
                options.push(String::new());
                continue;
            }
            c if c.is_whitespace() && !quoted => return (options, line[at..].trim_start()),
            _ => {}
        }
        escaped = c == '\\' && !escaped;
        options.last_mut().expect("never empty").push(c);
    }
    (options, "")
}

fn parse(args: &[&str]) -> Result<Asked, String> {
    let mut asked = Asked::default();
    let mut args = args.iter().copied().peekable();
    let mut closed = false;
    while let Some(arg) = args.peek().copied() {
        if closed || !arg.starts_with('-') || arg == "-" {
            if !asked.host.is_empty() {
                break;
            }
            asked.host = arg.to_string();
            args.next();
            continue;
        }
        args.next();
        if arg == "--" {
            closed = true;
            continue;
        }
        let mut letters = arg.chars().skip(1);
        while let Some(letter) = letters.next() {
            if "BbcDEeFIiJLlmOoPpQRSWw".contains(letter) {
                let rest: String = letters.collect();
                let value = if rest.is_empty() { args.next().unwrap_or("").to_string() } else { rest };
                match letter {
                    'i' => asked.key = asked.key.or(Some(value)),
                    'o' => {
                        let (name, value) = value.split_once(['=', ' ']).unwrap_or((&value, ""));
                        asked.options.push((name.trim().to_string(), value.trim().to_string()));
                    }
                    _ => {}
                }
                break;
            }
            if !"46AaCfGgKkMNnqsTtVvXxYy".contains(letter) {
                return Err(format!("unknown option -- {letter}\nusage: ssh [-46AaCfGgKkMNnqsTtVvXxYy] [-B bind_interface]\n"));
            }
        }
    }
    asked.command = args.collect::<Vec<_>>().join(" ");
    if asked.host.is_empty() {
        return Err("usage: ssh [-46AaCfGgKkMNnqsTtVvXxYy] [-B bind_interface]\n".to_string());
    }
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_end_at_two_dashes_and_the_first_value_wins() {
        let asked = parse(&[
            "-T",
            "-i",
            "/k",
            "-oBatchMode=yes",
            "-o",
            "ServerAliveInterval=5",
            "-o",
            "ServerAliveInterval=9",
            "--",
            "beta",
            "-x",
            "y",
        ])
        .unwrap();
        assert_eq!((asked.host.as_str(), asked.command.as_str(), asked.key.as_deref()), ("beta", "-x y", Some("/k")));
        assert_eq!(asked.patience(), 15_000);
        // Without the dashes, options behind the host are still ssh's own.
        let asked = parse(&["beta", "-v", "status"]).unwrap();
        assert_eq!((asked.host.as_str(), asked.command.as_str()), ("beta", "status"));
    }

    #[test]
    fn a_line_of_authorized_keys_falls_into_options_and_key() {
        let (options, rest) = split_options("from=\"192.0.2.1,192.0.2.2\",restrict,command=\"a \\\"b\\\" c\" ssh-ed25519 AAAA x");
        assert_eq!(options, ["from=\"192.0.2.1,192.0.2.2\"", "restrict", "command=\"a \\\"b\\\" c\""]);
        assert_eq!(rest, "ssh-ed25519 AAAA x");
    }
}
