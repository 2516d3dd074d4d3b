//! `xl info` and `xm info`.

use super::Misread;

/// What the toolstack knows about its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// The hypervisor's version in full: `4.17.7`. (The line `version` of both programs is the kernel's.)
    pub xen: String,
    /// Its first number.
    pub major: u32,
    /// Its second number.
    pub minor: u32,
    /// The host's name, as the kernel has it.
    pub host: Option<String>,
    /// All the memory of the host, in MiB.
    pub total_memory_mib: Option<u64>,
    /// What is free on the hypervisor, in MiB, outstanding claims taken off. With autoballoon more can be had from Domain-0.
    pub free_memory_mib: Option<u64>,
    /// What the hypervisor can do, as words; none where it does not tell. Since 4.13 it lists `shadow`, without which a PV guest
    /// cannot be migrated live.
    pub virt_caps: Option<Vec<String>>,
}

impl Info {
    /// Whether the hypervisor is at least of that version.
    pub fn at_least(&self, major: u32, minor: u32) -> bool {
        (self.major, self.minor) >= (major, minor)
    }
}

/// Reads `xl info` (`%-22s : %s`) or `xm info` (`%-23s: %s`).
///
/// `xl info` exits 0 even when it could not ask the hypervisor; then `xen_major` is missing, and that is an error here.
pub fn info(text: &str) -> Result<Info, Misread> {
    let value = |key: &str| {
        text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            (name.trim_end() == key).then(|| value.trim())
        })
    };
    let number = |key: &str| {
        let text = value(key).ok_or_else(|| Misread::of("", format!("there is no line {key}")))?;
        text.parse::<u32>().map_err(|_| Misread::of(text, format!("{key} is not a number")))
    };
    let memory = |key: &str| match value(key) {
        None => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| Misread::of(text, format!("{key} is not an amount of memory"))),
    };
    let (major, minor) = (number("xen_major")?, number("xen_minor")?);
    Ok(Info {
        xen: format!("{major}.{minor}{}", value("xen_extra").unwrap_or_default()),
        major,
        minor,
        host: value("host").filter(|host| !host.is_empty()).map(str::to_string),
        total_memory_mib: memory("total_memory")?,
        free_memory_mib: memory("free_memory")?,
        virt_caps: value("virt_caps").map(|caps| caps.split_whitespace().map(str::to_string).collect()),
    })
}
