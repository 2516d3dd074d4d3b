//! `xen-migrate setup HOST`: the dedicated key, the line for the peer's authorized_keys, and a ping.
//!
//! What the article does in ten steps by hand. The operator's files here are read; the key is made when it is missing and never replaced.

use super::cli::Setup;
use super::{Ended, Setting, ping};
use crate::adapters::peer::Peer;
use crate::adapters::{Call, To, here, ssh};
use crate::applets::exit::{Exit, Stop};
use crate::core::names::HostName;
use std::path::Path;
use std::time::Duration;

/// Where the executable is on the peer, as symlinks.sh and the package put it.
const PROGRAM: &str = "/usr/local/bin/xen-migrate";

/// The verb.
pub fn run(setting: Setting<'_>, args: &Setup) -> Ended {
    let world = setting.world;
    let us = here::host(world)?;
    if args.host.same_host(&us) {
        return Err(Stop::new(Exit::Usage, format!("{} is this very Dom0; name the peer", args.host)));
    }
    let public = key(setting, &us, &args.key_type)?;
    let from = match &args.from {
        Some(address) => address.clone(),
        None => our_address(setting, &args.host)?,
    };
    let line = format!("from=\"{from}\",restrict,command=\"{PROGRAM} migrate2 --peer {us}\" {public}");

    if args.install {
        install(setting, &args.host, &line)?;
    } else if Peer::new(world, &us, &args.host).ping().is_err() {
        world.say(To::Out, &format!("On {}, this one line belongs into /root/.ssh/authorized_keys (mode 0600):\n", args.host));
        world.say(To::Out, &line);
        world.say(
            To::Out,
            &format!("\nOr let xen-migrate put it there over root's own ssh:  xen-migrate setup {} --install", args.host),
        );
        world.say(
            To::Out,
            &format!("Then xen-migrate must be on {} as {PROGRAM} (symlinks.sh), and its own key here:", args.host),
        );
        world.say(To::Out, &format!("  on {}: xen-migrate setup {us}\n", args.host));
    } else {
        world.say(To::Out, &format!("The key is in place on {} already.", args.host));
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
    Ok(text)
}

/// The address that the peer sees us come from: the source address of the route to it.
fn our_address(setting: Setting<'_>, peer: &HostName) -> Result<String, Stop> {
    let world = setting.world;
    let unknown = |why: String| {
        Stop::new(
            Exit::Failed,
            format!("from which address {peer} sees us cannot be told: {why}\n  try: xen-migrate setup {peer} --from ADDRESS"),
        )
    };
    let found = world.run(&Call::new("getent", ["ahosts", peer.as_str()])).map_err(|e| unknown(e.to_string()))?;
    let address =
        found.stdout.split_whitespace().next().filter(|_| found.ok()).ok_or_else(|| unknown(format!("{peer} has no address")))?;
    let Ok(address) = address.parse::<std::net::IpAddr>() else { return Err(unknown(format!("getent says {address:?}"))) };
    let route = world.run(&Call::new("ip", ["-o", "route", "get", &address.to_string()])).map_err(|e| unknown(e.to_string()))?;
    let mut words = route.stdout.split_whitespace().skip_while(|w| *w != "src");
    match words.nth(1).and_then(|w| w.parse::<std::net::IpAddr>().ok()) {
        Some(source) if source.is_loopback() && !address.is_loopback() => Err(unknown("the route is the loopback".to_string())),
        Some(source) => Ok(source.to_string()),
        None => Err(unknown(format!("ip route get {address}: {}", route.stderr.trim()))),
    }
}

/// Puts the line on the peer with root's own ssh, which may ask for a password. Nothing there is replaced: the line is added, once.
fn install(setting: Setting<'_>, peer: &HostName, line: &str) -> Result<(), Stop> {
    let world = setting.world;
    // The script is fixed; the line goes over standard input and is never a word of a shell.
    const SCRIPT: &str = "umask 077; mkdir -p /root/.ssh && cd /root/.ssh && touch authorized_keys && read -r line && \
        if grep -qxF -e \"$line\" authorized_keys; then echo there; else \
        { [ ! -s authorized_keys ] || [ -z \"$(tail -c1 authorized_keys)\" ] || echo; printf '%s\\n' \"$line\"; } >> authorized_keys && echo added; fi";
    let words = ["-T", "-x", "-a", "-l", "root", "-o", "ConnectTimeout=10", "--", peer.as_str(), SCRIPT];
    let call = Call::new("ssh", words).within(Duration::from_secs(120)).reading(format!("{line}\n"));
    let output = world.run(&call).map_err(|e| Stop::new(Exit::Unreachable, e.to_string()))?;
    match (output.ok(), output.stdout.lines().last().map(str::trim)) {
        (true, Some("added")) => world.say(To::Out, &format!("The line was added to /root/.ssh/authorized_keys on {peer}.")),
        (true, Some("there")) => world.say(To::Out, &format!("The line is in /root/.ssh/authorized_keys on {peer} already.")),
        _ => {
            let said = output.stderr.trim();
            let text = format!(
                "root's own ssh to {peer} did not work ({}): {said}\n  try: xen-migrate setup {peer}   and put the line there by hand",
                output.ended
            );
            return Err(Stop::new(Exit::Unreachable, text));
        }
    }
    Ok(())
}
