//! `xen-migrate setup HOST`: the dedicated key, the line for the peer's authorized_keys, and a ping.
//!
//! What the article does in ten steps by hand. The operator's files here are read; the key is made when it is missing and never replaced.

use super::cli::Setup;
use super::{Ended, Setting, ping};
use crate::adapters::peer::{Peer, PeerError};
use crate::adapters::{Call, Input, To, here, ssh};
use crate::applets::exit::{Exit, Stop};
use crate::core::names::HostName;
use std::path::Path;
use std::time::Duration;

/// Where the executable is on the peer, as symlinks.sh puts it.
const PROGRAM: &str = "/usr/local/bin/xen-migrate";

/// The program in the forced command: as it was asked for, else as it lies here, for two Dom0s are mostly installed alike.
fn program(args: &Setup) -> String {
    let here = || {
        let link = std::env::current_exe().ok()?.parent().filter(|folder| folder.ends_with("bin"))?.join("xen-migrate");
        link.exists().then(|| link.to_str().map(str::to_string)).flatten()
    };
    let plain = |path: &String| path.chars().all(|c| c.is_ascii_alphanumeric() || "/._+-".contains(c));
    args.program.clone().or_else(|| here().filter(plain)).unwrap_or_else(|| PROGRAM.to_string())
}

/// This command with the options that count, for when it is to be typed again.
fn again(args: &Setup) -> String {
    let option = |name: &str, value: &Option<String>| value.as_ref().map_or(String::new(), |value| format!(" --{name} {value}"));
    format!("xen-migrate setup {}{}{}", args.host, option("from", &args.from), option("program", &args.program))
}

/// How the script of [`install`] says that there was nothing to do. Neither a shell nor ssh uses this exit code.
const ALREADY_THERE: i32 = 42;

/// The same key is there with other options; the script has shown that line.
const OTHER_OPTIONS: i32 = 43;

/// The verb.
pub fn run(setting: Setting<'_>, args: &Setup) -> Ended {
    let world = setting.world;
    let us = here::host(world)?;
    if args.host.same_host(&us) {
        return Err(Stop::new(Exit::Usage, format!("{} is this very Dom0; name the peer", args.host)));
    }
    let public = key(setting, &us, &args.key_type)?;
    let answer = Peer::new(world, &us, &args.host).ping();
    if let Err(error @ PeerError::Unreachable { trouble: ssh::Trouble::NoSuchHost, .. }) = answer {
        return Err(error.into());
    }
    // Who asks for other options wants them in that line, although the key works.
    if answer.is_ok() && !(args.install && (args.from.is_some() || args.program.is_some())) {
        world.say(To::Out, &format!("The key is in place on {} already.", args.host));
        return ping::run(setting, &args.host);
    }
    let from = match &args.from {
        Some(address) => address.clone(),
        None => our_address(setting, &args.host)?,
    };
    let program = program(args);
    let line = format!("from=\"{from}\",restrict,command=\"{program} migrate2 --peer {us}\" {public}");

    if args.install {
        install(setting, args, &line, &public)?;
    } else if let Err(error) = answer {
        // The advice of an ordinary failure is this very command.
        let said = match &error {
            PeerError::Unreachable { said, .. } => said.clone(),
            other => other.to_string(),
        };
        world.say(To::Out, &format!("On {}, this one line belongs into /root/.ssh/authorized_keys (mode 0600):\n", args.host));
        world.say(To::Machine, &line);
        world.say(To::Out, &format!("\nOr let xen-migrate put it there over root's own ssh:  {} --install", again(args)));
        world.say(
            To::Out,
            &format!(
                "Then xen-migrate must be on {} as {program} (symlinks.sh; --program names another place), and its own key here:",
                args.host
            ),
        );
        world.say(To::Out, &format!("  on {}: xen-migrate setup {us}\n", args.host));
        return Err(Stop::new(
            Exit::Unreachable,
            format!("not yet: {said}\n  when the line is in place: xen-migrate ping {}", args.host),
        ));
    }
    ping::run(setting, &args.host)
}

/// The public half, made when there is none.
fn key(setting: Setting<'_>, us: &HostName, kind: &str) -> Result<String, Stop> {
    let world = setting.world;
    let path = ssh::key(us);
    let public_path = format!("{path}.pub");
    if !ssh::has_key(world, us) {
        if world.read(Path::new(&public_path)).is_ok() {
            let text = format!(
                "{public_path} is there and {path} is not: a key lost its private half\n  try: move {public_path} away, then again"
            );
            return Err(Stop::new(Exit::Failed, text));
        }
        let file = world.told(&path);
        let comment = format!("xen-migrate@{us}");
        let mut words = vec!["-q", "-t", kind];
        if kind == "rsa" {
            words.extend(["-b", "3072"]);
        }
        words.extend(["-N", "", "-C", &comment, "-f", &file]);
        let output = world
            .run(&Call::new("ssh-keygen", words).within(Duration::from_secs(120)))
            .map_err(|e| Stop::new(Exit::Failed, e.to_string()))?;
        if !output.ok() {
            let said = [output.stdout.trim(), output.stderr.trim()].join(" ");
            return Err(Stop::new(
                Exit::Failed,
                format!("ssh-keygen: {}\n  is there a folder /root/.ssh (mode 0700)?", said.trim()),
            ));
        }
        world.say(To::Out, &format!("Made the dedicated key {path}."));
    }
    let bytes = world.read(Path::new(&public_path)).map_err(|why| {
        Stop::new(Exit::Failed, format!("{public_path}: {why}\n  try: ssh-keygen -y -f {path} > {public_path}"))
    })?;
    let text = String::from_utf8_lossy(&bytes).trim().to_string();
    let words: Vec<&str> = text.split(' ').collect();
    let plain = |w: &&str| w.chars().all(|c| c.is_ascii_graphic());
    if text.lines().count() != 1
        || words.len() < 2
        || !words.iter().all(plain)
        || !(words[0].starts_with("ssh-") || words[0].starts_with("ecdsa-"))
    {
        return Err(Stop::new(
            Exit::Failed,
            format!("{public_path} is not one public key\n  try: ssh-keygen -y -f {path} > {public_path}"),
        ));
    }
    if ssh::has_passphrase(world, us) {
        let text = format!(
            "{path} has a passphrase, and nobody is there to type it\n  try: ssh-keygen -p -f {path}   (and leave it empty)"
        );
        return Err(Stop::new(Exit::Failed, text));
    }
    // What cannot be compared is not compared: ssh will tell.
    let private = world.run(&Call::new("ssh-keygen", ["-y", "-P", "", "-f", &world.told(&path)]));
    let derived = private.ok().filter(|output| output.ok()).map(|output| output.stdout).unwrap_or_default();
    let mut derived = derived.split_whitespace();
    if let (Some(kind), Some(blob)) = (derived.next(), derived.next())
        && (kind, blob) != (words[0], words[1])
    {
        let text = format!(
            "{public_path} is the public half of another key than {path}\n  try: ssh-keygen -y -f {path} > {public_path}"
        );
        return Err(Stop::new(Exit::Failed, text));
    }
    Ok(text)
}

/// The address that the peer sees us come from: the source address of the route to it, as the operator's ssh config has it.
fn our_address(setting: Setting<'_>, peer: &HostName) -> Result<String, Stop> {
    let world = setting.world;
    let unknown = |why: String| {
        Stop::new(
            Exit::Failed,
            format!("from which address {peer} sees us cannot be told: {why}\n  try: xen-migrate setup {peer} --from ADDRESS"),
        )
    };
    let way = ssh::route(world, peer).unwrap_or_default();
    if way.relayed {
        return Err(unknown(format!("{} has us go through another host", ssh::CONFIG)));
    }
    if let Some(address) = way.bind.and_then(|bind| bind.parse::<std::net::IpAddr>().ok()) {
        return Ok(address.to_string());
    }
    let name = way.host.unwrap_or_else(|| peer.to_string());
    let address = match name.parse::<std::net::IpAddr>() {
        Ok(address) => address,
        Err(_) => {
            let found = world.run(&Call::new("getent", ["ahosts", name.as_str()])).map_err(|e| unknown(e.to_string()))?;
            let first = found.stdout.split_whitespace().next().filter(|_| found.ok());
            let first = first.ok_or_else(|| {
                let advice = name.parse().map_or_else(|_| format!("getent hosts {name}"), |name| ssh::no_such_host(&name));
                Stop::new(Exit::Unreachable, format!("{name} has no address\n  try: {advice}"))
            })?;
            first.parse().map_err(|_| unknown(format!("getent says {first:?}")))?
        }
    };
    let route = world.run(&Call::new("ip", ["-o", "route", "get", &address.to_string()])).map_err(|e| unknown(e.to_string()))?;
    let mut words = route.stdout.split_whitespace().skip_while(|w| *w != "src");
    match words.nth(1).and_then(|w| w.parse::<std::net::IpAddr>().ok()) {
        Some(source) if source.is_loopback() && !address.is_loopback() => Err(unknown("the route is the loopback".to_string())),
        Some(source) => Ok(source.to_string()),
        None => Err(unknown(format!("ip route get {address}: {}", route.stderr.trim()))),
    }
}

/// Puts the line on the peer with root's own ssh. Nothing there is replaced: the line is added, once.
///
/// ssh gets our own streams and stays in our process group: it asks the person for a password, a passphrase or about a host key at the
/// terminal, and a program in a group of its own is stopped when it does (termios(3), SIGTTOU). So its exit code is the answer.
fn install(setting: Setting<'_>, args: &Setup, line: &str, public: &str) -> Result<(), Stop> {
    let world = setting.world;
    let peer = &args.host;
    let again = again(args);
    if line.contains('\'') {
        let text = format!("the key's comment has a quote in it\n  try: {again}   and put the line there by hand");
        return Err(Stop::new(Exit::Failed, text));
    }
    // sshd takes the first line of a key, so a second one would never count.
    let key: Vec<&str> = public.split(' ').take(2).collect();
    let key = key.join(" ");
    // Root's home as the peer has it. The line is one word in single quotes.
    let script = format!(
        "umask 077; line='{line}'; mkdir -p \"$HOME/.ssh\" && cd \"$HOME/.ssh\" && touch authorized_keys || exit 1; \
         if grep -qxF -e \"$line\" authorized_keys; then exit {ALREADY_THERE}; fi; \
         if grep -v '^[[:space:]]*#' authorized_keys | grep -F -e '{key}' >&2; then exit {OTHER_OPTIONS}; fi; \
         {{ [ ! -s authorized_keys ] || [ -z \"$(tail -c1 authorized_keys)\" ] || echo; printf '%s\\n' \"$line\"; }} >> authorized_keys"
    );
    // -n: what stands on our standard input belongs to whoever called us.
    let words = ["-n", "-T", "-x", "-a", "-l", "root", "-o", "ConnectTimeout=10", "--", peer.as_str(), &script];
    let mut call = Call::new("ssh", words).within(Duration::from_secs(300));
    call.stdin = Input::Inherited;
    let output = world.run(&call).map_err(|e| Stop::new(Exit::Unreachable, e.to_string()))?;
    match output.code() {
        Some(0) => world.say(To::Out, &format!("The line was added to /root/.ssh/authorized_keys on {peer}.")),
        Some(ALREADY_THERE) => {
            world.say(To::Out, &format!("The line is in /root/.ssh/authorized_keys on {peer} already."));
        }
        Some(OTHER_OPTIONS) => world.say(
            To::Err,
            &format!(
                "note: this key is in /root/.ssh/authorized_keys on {peer} already, with other options (the line above); nothing was added.\n  \
                 expected instead: {line}\n  change it there by hand, if the ping does not work"
            ),
        ),
        code => {
            let (exit, what) = match code {
                Some(255) | None => (Exit::Unreachable, format!("root's own ssh to {peer} did not work")),
                Some(_) => (Exit::Failed, format!("on {peer} the line could not be written to /root/.ssh/authorized_keys")),
            };
            let text =
                format!("{what} ({}, see above)\n  try: {again}   and put the line there by hand", output.ended);
            return Err(Stop::new(exit, text));
        }
    }
    Ok(())
}
