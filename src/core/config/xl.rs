//! The language of `xl` 4.2 and later: the lexer and grammar of `libxlu_cfg_l.l` and `libxlu_cfg_y.y`, and what `xl_parse.c` takes
//! from it.
//!
//! Whatever xl refuses is refused here, at the same line. Two things xl accepts are refused as well, because nobody can have meant
//! them: an octal escape (`xlu__cfgl_dequote` drops the character silently), and a single stray character at the very end of the file.

use super::source::{DEEPEST, Source};
use super::xl_disk;
use super::xl_lex::{Lexer, Token};
use super::{Disk, DomuConfig, Draft, Words, add_bridge};
use crate::core::fault::{Fault, quoted};
use std::collections::BTreeMap;

/// Reads the file, as `xl create` does.
pub(super) fn read(source: &Source<'_>) -> Result<DomuConfig, Vec<Fault>> {
    let draft = Draft::new(source);
    let mut parser = Parser { lexer: Lexer::new(source.text), draft, settings: BTreeMap::new() };
    parser.file();
    let Parser { mut draft, settings, .. } = parser;
    let config = meaning(&mut draft, &settings);
    match config {
        Some(mut config) if draft.faults.is_empty() => {
            config.warnings = draft.warnings.into_sorted();
            Ok(config)
        }
        _ => Err(draft.faults.into_sorted()),
    }
}

/// What a key was set to.
struct Setting {
    value: Value,
    /// Where the key stands.
    at: usize,
    /// Set with `+=` last: xl then takes it for no number.
    added: bool,
}

enum Value {
    Atom(Atom),
    List(Vec<Value>, usize),
}

/// A string or a number: xl keeps both as text.
struct Atom {
    text: Vec<u8>,
    /// Where it begins.
    at: usize,
    /// Where its first character stands, if every character of the file is one of the text.
    plain: Option<usize>,
}

impl Value {
    fn at(&self) -> usize {
        match self {
            Value::Atom(atom) => atom.at,
            Value::List(_, at) => *at,
        }
    }
}

struct Parser<'s, 't> {
    lexer: Lexer<'t>,
    draft: Draft<'s, 't>,
    settings: BTreeMap<String, Setting>,
}

/// The statement is broken and its fault is told.
struct Broken;

impl Parser<'_, '_> {
    fn file(&mut self) {
        loop {
            match self.token() {
                Ok((Token::End, _)) => return,
                Ok((Token::Newline | Token::Semicolon, _)) => {}
                Ok((Token::Ident, at)) => {
                    let mut depth = 0;
                    if self.assignment(at, &mut depth).is_err() {
                        self.recover(depth > 0);
                    }
                }
                Ok((other, at)) => {
                    let _ = self.unexpected::<()>(&other, at, "`key = value`");
                    self.recover(false);
                }
                Err(Broken) => self.recover(false),
            }
        }
    }

    fn token(&mut self) -> Result<(Token, usize), Broken> {
        self.lexer.next().map_err(|fault| {
            if let Some((at, what, expected)) = fault {
                self.draft.fault(at, what, expected);
            }
            Broken
        })
    }

    fn unexpected<T>(&mut self, token: &Token, at: usize, expected: &str) -> Result<T, Broken> {
        let what = format!("{} does not belong here", token.in_words(&self.lexer.text[at..self.lexer.at]));
        self.draft.fault(at, what, expected);
        Err(Broken)
    }

    /// `assignment endstmt`; the key has just been read. `depth` tells how many lists were open where it broke.
    fn assignment(&mut self, key_at: usize, depth: &mut usize) -> Result<(), Broken> {
        let key = String::from_utf8_lossy(&self.lexer.text[key_at..self.lexer.at]).into_owned();
        let added = match self.token()? {
            (Token::Assign, _) => false,
            (Token::Add, _) => true,
            (other, at) => {
                return self.unexpected(&other, at, &format!("`=` or `+=` after {}", quoted(&key)));
            }
        };
        let first = self.token()?;
        let value = self.value(first, depth)?;
        match self.token()? {
            (Token::Newline | Token::Semicolon | Token::End, _) => {}
            (other, at) => return self.unexpected(&other, at, "the end of the line or `;`"),
        }
        self.store(key, key_at, value, added)
    }

    fn value(&mut self, (token, at): (Token, usize), depth: &mut usize) -> Result<Value, Broken> {
        match token {
            Token::Text { text, plain } => Ok(Value::Atom(Atom { text, at, plain: plain.then_some(at + 1) })),
            Token::Number => Ok(Value::Atom(Atom { text: self.lexer.text[at..self.lexer.at].to_vec(), at, plain: Some(at) })),
            Token::Open if *depth >= DEEPEST => {
                self.draft.fault(at, "the lists are nested too deeply", format!("at most {DEEPEST} levels"));
                Err(Broken)
            }
            Token::Open => self.list(at, depth),
            other => self.unexpected(&other, at, "a string, a number or a list"),
        }
    }

    /// `'[' nlok valuelist ']'`, with a comma allowed after the last value and line ends and comments anywhere.
    fn list(&mut self, list_at: usize, depth: &mut usize) -> Result<Value, Broken> {
        *depth += 1;
        let mut values = Vec::new();
        loop {
            match self.past_newlines()? {
                (Token::Close, _) => break,
                first => values.push(self.value(first, depth)?),
            }
            match self.past_newlines()? {
                (Token::Comma, _) => {}
                (Token::Close, _) => break,
                (Token::End, _) => {
                    self.draft.fault(list_at, "the list is not closed", "a `]`");
                    return Err(Broken);
                }
                (other, at) => return self.unexpected(&other, at, "`,` or `]`"),
            }
        }
        *depth -= 1;
        Ok(Value::List(values, list_at))
    }

    fn past_newlines(&mut self) -> Result<(Token, usize), Broken> {
        loop {
            match self.token()? {
                (Token::Newline, _) => {}
                found => return Ok(found),
            }
        }
    }

    /// The last one wins; `+=` joins lists and texts (`libxlu_cfg.c`, `xlu__cfg_set_store`).
    fn store(&mut self, key: String, at: usize, value: Value, added: bool) -> Result<(), Broken> {
        if added {
            if !self.settings.contains_key(&key) || matches!(value, Value::List(..)) {
                self.draft.warn(at, "`+=` is known to xl since 4.13; older ones refuse the file", "");
            }
            if let Some(before) = self.settings.get_mut(&key) {
                match (&mut before.value, value) {
                    (Value::List(values, _), Value::List(more, _)) => values.extend(more),
                    (Value::Atom(text), Value::Atom(more)) => {
                        text.text.extend(more.text);
                        text.plain = None;
                    }
                    (_, value) => {
                        self.draft.fault(value.at(), "a list and a single value cannot be added", "the same kind as before");
                        return Err(Broken);
                    }
                }
                before.added = true;
                return Ok(());
            }
        }
        if let Some(before) = self.settings.get(&key)
            && READ.contains(&key.as_str())
        {
            let (line, _) = self.draft.source.place(before.at);
            self.draft.warn(at, format!("{} was set in line {line} already; the last one counts", quoted(&key)), "");
        }
        self.settings.insert(key, Setting { value, at, added });
        Ok(())
    }

    /// Goes on at the next line; after a broken list at the next line that begins like an assignment.
    fn recover(&mut self, in_list: bool) {
        let text = self.lexer.text;
        // The token that broke the statement may have been the line end itself.
        if self.lexer.at > 0 && text.get(self.lexer.at - 1) == Some(&b'\n') && !in_list {
            return;
        }
        loop {
            self.lexer.skip(|b| b != b'\n');
            self.lexer.at = (self.lexer.at + 1).min(text.len());
            if self.lexer.at >= text.len() || !in_list || begins_assignment(&text[self.lexer.at..]) {
                return;
            }
        }
    }
}

/// The keys we read.
const READ: [&str; 5] = ["name", "memory", "maxmem", "disk", "vif"];

fn begins_assignment(line: &[u8]) -> bool {
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let from = line.iter().position(|b| !blank(b)).unwrap_or(line.len());
    let word = line[from..].iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.')).count();
    let after = &line[from + word..];
    let after = &after[after.iter().position(|b| !blank(b)).unwrap_or(after.len())..];
    word > 0 && line[from].is_ascii_alphabetic() && (after.starts_with(b"=") || after.starts_with(b"+="))
}

/// What `xl_parse.c`, `parse_config_data`, takes from the settings.
fn meaning(draft: &mut Draft<'_, '_>, settings: &BTreeMap<String, Setting>) -> Option<DomuConfig> {
    let sound = draft.faults.is_empty();
    let mut name = None;
    match settings.get("name").map(|s| &s.value) {
        Some(Value::Atom(atom)) if atom.text.is_empty() => draft.fault(atom.at, "the name is empty", "the domU's name"),
        Some(Value::Atom(atom)) => name = draft.utf8(atom.at, &atom.text).map(|text| (text, atom.at)),
        Some(Value::List(_, at)) => draft.fault(*at, "the name is a list", "a single value"),
        // In a file with other faults the name may stand in the part that was not understood.
        None if sound => draft.fault(0, "the domU has no name, which xl refuses", "`name = \"…\"`"),
        None => {}
    }
    let memory_mib = memory(draft, settings.get("memory"));
    let max_memory_mib = memory(draft, settings.get("maxmem"));
    let mut disks = Vec::new();
    for (atom, spec) in strings(draft, settings.get("disk"), "disk") {
        match xl_disk::parse(&spec) {
            Ok(parsed) => disks.push(disk(draft.source, atom.at, spec, parsed)),
            Err(wrong) => {
                let at = atom.plain.map_or(atom.at, |from| from + wrong.at);
                draft.fault(at, format!("disk {}: {}", quoted(&spec), wrong.what), wrong.expected);
            }
        }
    }
    let mut bridges = Vec::new();
    for (_, spec) in strings(draft, settings.get("vif"), "vif") {
        // `strtok` at commas, blanks skipped before each word; the last bridge of an interface counts (`parse_nic_config`).
        if let Some(bridge) = spec.split(',').filter_map(|word| word.trim_start_matches(' ').strip_prefix("bridge=")).next_back()
        {
            add_bridge(&mut bridges, bridge);
        }
    }
    let (name, at) = name?;
    let (name_line, name_column) = draft.source.place(at);
    Some(DomuConfig { name, name_line, name_column, memory_mib, max_memory_mib, disks, bridges, warnings: Vec::new() })
}

/// The strings of a list setting, up to the first entry that is none: there xl stops reading (`xlu_cfg_get_listitem`).
fn strings<'v>(draft: &mut Draft<'_, '_>, setting: Option<&'v Setting>, key: &str) -> Vec<(&'v Atom, String)> {
    let mut found = Vec::new();
    match setting.map(|s| &s.value) {
        None => {}
        Some(Value::Atom(atom)) => {
            draft.warn(
                atom.at,
                format!("`{key}` is a single value, so xl ignores it and starts the domU without"),
                "a list: `[ … ]`",
            );
        }
        Some(Value::List(values, _)) => {
            for value in values {
                match value {
                    Value::Atom(atom) => {
                        if let Some(text) = draft.utf8(atom.at, &atom.text) {
                            found.push((atom, text));
                        }
                    }
                    Value::List(_, at) => {
                        draft.warn(*at, format!("a list inside of `{key}`: xl ignores it and every entry after it"), "a string");
                        break;
                    }
                }
            }
        }
    }
    found
}

/// A number as `strtol` with base 0 reads it; what xl would warn of and ignore is `None` with our own warning.
fn memory(draft: &mut Draft<'_, '_>, setting: Option<&Setting>) -> Option<u64> {
    let setting = setting?;
    let number = match &setting.value {
        _ if setting.added => None,
        Value::List(..) => None,
        Value::Atom(atom) => std::str::from_utf8(&atom.text).ok().and_then(strtol),
    };
    if number.is_none() {
        draft.warn(setting.value.at(), "this is no number to xl, so it ignores it", "a number of MiB");
    }
    number
}

fn strtol(text: &str) -> Option<u64> {
    let text = text.trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    let text = text.strip_prefix('+').unwrap_or(text);
    let (digits, base) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (&text[1..], 8),
        None => (text, 10),
    };
    if digits.starts_with('+') {
        return None;
    }
    u64::from_str_radix(digits, base).ok().filter(|n| i64::try_from(*n).is_ok())
}

fn disk(source: &Source<'_>, at: usize, spec: String, parsed: xl_disk::Parsed) -> Disk {
    let (line, column) = source.place(at);
    let refused = parsed.refused();
    Disk {
        line,
        column,
        spec,
        target: parsed.target.unwrap_or_default(),
        vdev: parsed.vdev.unwrap_or_default(),
        script: parsed.script,
        writable: parsed.writable,
        cdrom: parsed.cdrom,
        backend_domain: parsed.backend_domain,
        words: Words::Xl { backend: parsed.backend.unwrap_or("unknown"), format: parsed.format.unwrap_or("raw") },
        refused,
    }
}

#[cfg(test)]
#[path = "xl_tests.rs"]
mod tests;
