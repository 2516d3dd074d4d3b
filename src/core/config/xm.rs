//! The language of `xm`: Python 2 (`opts.py`, `load`, runs the file with `execfile`).
//!
//! This is no interpreter. It reads plain assignments of strings, numbers, lists and tuples, `+=`, `+`, `-`, `*` of what is known,
//! `"…" % …`, imports that nothing uses, and strings that stand alone as comments. One statement beyond that, anywhere, and the whole
//! file is "not understood": what a call or an `if` does depends on the host it runs on (facts 3.6, row 34).
//!
//! Traps of xm's that are kept: a variable counts only if it is a `str`, `list`, `int` or `float`, so `disk = ( … )`, `name = "web",` and
//! `name = u"web"` are silently ignored (we warn); and a domU without a name gets that of the file, extension included.

use super::source::Source;
use super::xm_parse::{Reader, Variable};
use super::xm_token::tokens;
use super::xm_value::Value;
use super::{Disk, DomuConfig, Draft, add_bridge, xm_disk};
use crate::core::fault::{Fault, quoted};
use std::collections::BTreeMap;

/// Reads the file, as `xm create -n` does.
pub(super) fn read(file_name: &str, source: &Source<'_>) -> Result<DomuConfig, Vec<Fault>> {
    let mut draft = Draft::new(source);
    let tokens = tokens(source, &mut draft.faults);
    let mut reader = Reader::new(draft, tokens);
    reader.file();
    let Reader { mut draft, variables, .. } = reader;
    let config = meaning(&mut draft, &variables, file_name);
    match config {
        Some(mut config) if draft.faults.is_empty() => {
            config.warnings = draft.warnings.into_sorted();
            Ok(config)
        }
        _ => Err(draft.faults.into_sorted()),
    }
}
/// What `create.py` takes from the variables.
fn meaning(draft: &mut Draft<'_, '_>, variables: &BTreeMap<String, Variable>, file_name: &str) -> Option<DomuConfig> {
    for key in ["name", "memory", "maxmem", "disk", "vif"] {
        if let Some(Variable { value: Value::Imported, at }) = variables.get(key) {
            draft.fault(*at, format!("{} is imported: what it holds is not known here", quoted(key)), format!("`{key} = …`"));
        }
    }
    let name = name(draft, variables, file_name);
    let memory_mib = memory(draft, variables, "memory");
    let max_memory_mib = memory(draft, variables, "maxmem");
    let mut disks: Vec<Disk> = Vec::new();
    for (at, spec) in strings(draft, variables, "disk") {
        match xm_disk::parse(&spec, draft.source.place(at)) {
            Some(disk) => disks.push(disk),
            None => draft.fault(at, format!("xm refuses the disk {}", quoted(&spec)), "`TYPE:WHAT,VDEV,MODE`"),
        }
    }
    let mut bridges = Vec::new();
    for (at, spec) in strings(draft, variables, "vif") {
        // `comma_sep_kv_to_dict`: the last one of a key counts.
        let mut bridge = None;
        for word in spec.trim().split(',').filter(|_| !spec.trim().is_empty()) {
            match word.split_once('=') {
                Some((key, value)) if key.trim() == "bridge" => bridge = Some(value.trim()),
                Some(_) => {}
                None => draft.fault(at, format!("xm refuses {} in a vif", quoted(word)), "`key=value`"),
            }
        }
        add_bridge(&mut bridges, bridge.unwrap_or_default());
    }
    let (name, name_line, name_column) = name?;
    Some(DomuConfig { name, name_line, name_column, memory_mib, max_memory_mib, disks, bridges, warnings: Vec::new() })
}

fn name(draft: &mut Draft<'_, '_>, variables: &BTreeMap<String, Variable>, file_name: &str) -> Option<(String, u32, u32)> {
    let set = variables.get("name");
    if let Some(Variable { value, at }) = set {
        let (line, column) = draft.source.place(*at);
        match value {
            Value::Text { bytes, unicode: false } if !bytes.is_empty() => {
                return draft.utf8(*at, bytes).map(|name| (name, line, column));
            }
            Value::Int(number) if *number != 0 => return Some((number.to_string(), line, column)),
            Value::Unknown | Value::Imported => return None,
            Value::Float | Value::List(_) => {
                draft.fault(*at, format!("the name is {}", value.kind()), "a string");
                return None;
            }
            // Empty, zero, or of a kind that xm ignores: as if there were none.
            Value::Text { unicode: false, .. } | Value::Int(_) => {
                draft.warn(*at, "the name is empty, so xm takes the file's", "a name")
            }
            other => draft.warn(*at, format!("xm ignores {} as a name and takes the file's", other.kind()), "a plain string"),
        }
    }
    // `xm` would take its own option of that name instead.
    if let Some(other) = variables.get("defconfig") {
        draft.fault(other.at, "`defconfig` changes the name of a domU that has none: not understood", "`name = \"…\"`");
        return None;
    }
    let (line, column) = set.map_or((1, 1), |v| draft.source.place(v.at));
    let base = file_name.rsplit('/').next().unwrap_or(file_name);
    if set.is_none() {
        draft.warn(0, format!("the domU has no name, so xm calls it {} like the file", quoted(base)), "`name = \"…\"`");
    }
    Some((base.to_string(), line, column))
}

/// The strings of a list variable.
fn strings(draft: &mut Draft<'_, '_>, variables: &BTreeMap<String, Variable>, key: &str) -> Vec<(usize, String)> {
    let Some(Variable { value, at }) = variables.get(key) else {
        return Vec::new();
    };
    let items = match value {
        Value::List(items) => items,
        Value::Unknown | Value::Imported => return Vec::new(),
        Value::Text { bytes, unicode: false } if bytes.is_empty() => return Vec::new(),
        Value::Tuple(_) | Value::Text { unicode: true, .. } | Value::Ignored(_) => {
            draft.warn(
                *at,
                format!("`{key}` is {}, so xm ignores it and starts the domU without", value.kind()),
                "a list: `[ … ]`",
            );
            return Vec::new();
        }
        other => {
            draft.fault(*at, format!("`{key}` is {}, which xm refuses", other.kind()), "a list: `[ … ]`");
            return Vec::new();
        }
    };
    let mut found = Vec::new();
    for item in items {
        match &item.value {
            Value::Text { bytes, .. } => found.extend(draft.utf8(item.at, bytes).map(|text| (item.at, text))),
            Value::Unknown => {}
            other => draft.fault(item.at, format!("{} inside of `{key}`, which xm refuses", other.kind()), "a string"),
        }
    }
    found
}

fn memory(draft: &mut Draft<'_, '_>, variables: &BTreeMap<String, Variable>, key: &str) -> Option<u64> {
    let Variable { value, at } = variables.get(key)?;
    let number = match value {
        Value::Unknown | Value::Imported => return None,
        Value::Int(number) => u64::try_from(*number).ok(),
        Value::Text { bytes, unicode: false } => {
            let digits = std::str::from_utf8(bytes).ok().filter(|t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit()));
            digits.and_then(|t| t.parse().ok())
        }
        _ => None,
    };
    if number.is_none() {
        draft.warn(*at, format!("`{key}` is {}, which is no number of MiB", value.kind()), "a number");
    }
    number
}

#[cfg(test)]
#[path = "xm_tests.rs"]
mod tests;
