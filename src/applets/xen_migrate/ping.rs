//! `xen-migrate ping HOST`: the article's dialogue, through everything that `reverse` needs.

use super::{Ended, Setting};
use crate::adapters::peer::{Answer, Peer};
use crate::adapters::{To, here, ssh};
use crate::applets::exit::{Exit, Stop};
use crate::core::names::HostName;

/// The verb.
pub fn run(setting: Setting<'_>, host: &HostName) -> Ended {
    let world = setting.world;
    let us = here::host(world)?;
    if host.same_host(&us) {
        return Err(Stop::new(Exit::Usage, format!("{host} is this very Dom0; name the peer")));
    }
    world.say(To::Out, &format!("PING from {} ...", here::fqdn(world, &us)));
    if !ssh::has_key(world, &us) {
        let text = format!("there is no dedicated key {}\n  try: xen-migrate setup {host}", ssh::key(&us));
        return Err(Stop::new(Exit::Unreachable, text));
    }
    // A refusal is told from silence by its exit code.
    let answer = Peer::new(world, &us, host).ping()?;
    let Answer::Pong { fqdn, host: there, version, .. } = answer else {
        return Err(Stop::new(Exit::Unreachable, "no pong"));
    };
    if there == us {
        return Err(Stop::new(Exit::Refused, format!("{host} leads back to this very Dom0\n  try: getent hosts {host}")));
    }
    let numeric = host.as_str().parse::<std::net::IpAddr>().is_ok();
    if !numeric && !there.same_host(host) && fqdn != host.as_str() {
        // A migration there would be refused for the same reason.
        return Err(Stop::new(
            Exit::Refused,
            format!(
                "{host} answers that it is {there}\n  try: getent hosts {host}   (is the name right in the table and in /etc/hosts?)"
            ),
        ));
    }
    let plain: String = fqdn.chars().filter(|c| !c.is_control()).collect();
    world.say(To::Out, &format!("PONG from {plain} ..."));
    if version != env!("CARGO_PKG_VERSION") {
        world.say(To::Err, &format!("note: xen-migrate {version} there, {} here", env!("CARGO_PKG_VERSION")));
    }
    world.say(To::Out, "Success.");
    Ok(Exit::Done)
}
