//! Names that may stand in an argument list: domUs, hosts, DRBD resources.
//!
//! `xl migrate` puts the host and `xl` the domU into shell commands and file names without quoting
//! (`xl_migrate.c`, `create_migration_child`), and `ssh` takes a leading `-` for an option.
//! So a name is checked once, where it enters, and is of a type of its own ever after.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// Why a word cannot be a name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{word:?} is not a {what}: {why}")]
pub struct BadName {
    /// What was wanted: `domU name`, `host name`, `DRBD resource name`.
    pub what: &'static str,
    /// The word, cut to a length that fits a line.
    pub word: String,
    /// What is wrong with it, and what is expected.
    pub why: &'static str,
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadName;
            fn from_str(word: &str) -> Result<Self, BadName> {
                match $check(word) {
                    Ok(()) => Ok(Self(word.to_string())),
                    Err(why) => Err(BadName { what: $what, word: word.chars().take(80).collect(), why }),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;
            fn try_from(word: String) -> Result<Self, BadName> {
                word.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.0 == other
            }
        }
    };
}

name_type!(
    /// A domU's name: what both `xm` (`XendDomainInfo.py`, `_checkName`) and a shell word allow, and nothing `xl` would take for a domid.
    DomuName, "domU name", check_domu
);
name_type!(
    /// A Dom0's name or address, as `ssh` and `xl migrate` take it.
    HostName, "host name", check_host
);
name_type!(
    /// The name of a DRBD resource, without a volume.
    ResourceName, "DRBD resource name", check_resource
);

impl DomuName {
    /// The name of the copy that is being built at the target (`xl migrate-receive`).
    pub fn incoming(&self) -> String {
        format!("{self}--incoming")
    }

    /// The name of the suspended copy at the sender once the target has it all (`xl migrate`).
    pub fn migrated_away(&self) -> String {
        format!("{self}--migratedaway")
    }

    /// The name of the sender's copy during `xm migrate` (`XendCheckpoint.py`).
    pub fn migrating(&self) -> String {
        format!("migrating-{self}")
    }
}

impl HostName {
    /// Whether two names mean the same host as far as names can tell: equal, or equal up to the first dot.
    ///
    /// Addresses are only ever equal to themselves.
    pub fn same_host(&self, other: &HostName) -> bool {
        let numeric = |h: &HostName| h.0.parse::<std::net::IpAddr>().is_ok();
        let (a, b) = (self.0.to_ascii_lowercase(), other.0.to_ascii_lowercase());
        if a == b {
            return true;
        }
        if numeric(self) || numeric(other) {
            return false;
        }
        match (a.split_once('.'), b.split_once('.')) {
            // Two full names must agree in full.
            (Some(_), Some(_)) => false,
            (Some((short, _)), None) => short == b,
            (None, Some((short, _))) => short == a,
            (None, None) => false,
        }
    }
}

fn check_domu(word: &str) -> Result<(), &'static str> {
    if word.is_empty() {
        return Err("it is empty");
    }
    if word.len() > 100 {
        return Err("it is longer than 100 characters");
    }
    if word.eq_ignore_ascii_case("all") {
        return Err("ALL stands for every domU of the table");
    }
    if !word.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
        return Err("it must begin with a letter, a digit or _");
    }
    if !word.chars().all(|c| c.is_ascii_alphanumeric() || "_-.:+".contains(c)) {
        return Err("only letters, digits and _ - . : + are allowed");
    }
    if word.chars().all(|c| c.is_ascii_digit()) {
        return Err("xl takes a name of digits only for a domain id");
    }
    if word == "Domain-0" {
        return Err("Domain-0 is this host itself");
    }
    if word.ends_with("--incoming") || word.ends_with("--migratedaway") || word.starts_with("migrating-") {
        return Err("the toolstack gives such a name to the copies of a migration");
    }
    Ok(())
}

fn check_host(word: &str) -> Result<(), &'static str> {
    if word.is_empty() {
        return Err("it is empty");
    }
    if word.len() > 253 {
        return Err("it is longer than 253 characters");
    }
    if word.parse::<std::net::Ipv6Addr>().is_ok() {
        return Ok(());
    }
    if word.eq_ignore_ascii_case("all") {
        return Err("ALL is a reserved word");
    }
    let label = |l: &str| {
        !l.is_empty()
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    if word.split('.').all(label) {
        Ok(())
    } else {
        Err("only letters, digits, - and dots between them are allowed, or an address")
    }
}

fn check_resource(word: &str) -> Result<(), &'static str> {
    if word.is_empty() {
        return Err("it is empty");
    }
    if word.len() > 127 {
        return Err("it is longer than 127 characters");
    }
    if word == "all" {
        return Err("drbdadm takes it for every resource");
    }
    if !word.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
        return Err("it must begin with a letter, a digit or _");
    }
    if !word.chars().all(|c| c.is_ascii_alphanumeric() || "_-.+".contains(c)) {
        return Err("only letters, digits and _ - . + are allowed");
    }
    if word.starts_with("minor-") {
        return Err("drbdadm takes it for a minor number");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_reach_a_shell_are_plain_words() {
        for good in ["web", "db-1", "my.domu", "a+b", "_x", "1a", "vm:2"] {
            assert!(good.parse::<DomuName>().is_ok(), "{good}");
        }
        for bad in [
            "", "-x", "--live", "a b", "a;b", "$(id)", "a/b", "a'b", "a\nb", "1000", "ALL", "all", "Domain-0", "web--incoming",
            "web--migratedaway", "migrating-web", "é", "a\0b", ".hidden",
        ] {
            assert!(bad.parse::<DomuName>().is_err(), "{bad:?}");
        }
        assert!("x".repeat(101).parse::<DomuName>().is_err());
    }

    #[test]
    fn hosts_are_names_or_addresses() {
        for good in ["dom0-alpha", "cloud1.local.eez.fr", "192.168.1.23", "::1", "fe80::1"] {
            assert!(good.parse::<HostName>().is_ok(), "{good}");
        }
        for bad in ["", "-oProxyCommand=id", "a b", "a;b", "a..b", "host-", "root@host", "ssh://h", "h:22", "$HOST"] {
            assert!(bad.parse::<HostName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_short_name_and_its_full_name_are_one_host() {
        let h = |s: &str| s.parse::<HostName>().unwrap();
        assert!(h("alpha").same_host(&h("alpha.example.org")));
        assert!(h("Alpha").same_host(&h("alpha")));
        assert!(!h("alpha.one.org").same_host(&h("alpha.two.org")));
        assert!(!h("10.0.0.1").same_host(&h("10.0.0.2")));
        assert!(!h("10").same_host(&h("10.0.0.2")));
    }

    #[test]
    fn a_resource_is_never_taken_for_something_else() {
        for bad in ["all", "minor-1", "-d", "r0/1", "a b", ""] {
            assert!(bad.parse::<ResourceName>().is_err(), "{bad:?}");
        }
        assert!("r0".parse::<ResourceName>().is_ok());
    }
}
