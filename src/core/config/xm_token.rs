//! Python 2's tokens, as far as plain assignments need them.
//!
//! Every byte of the file is either understood or a fault. Lines are joined inside of brackets and after a backslash; the white space in
//! front of a statement is kept, since Python refuses it there.

use super::source::{Faults, Source};
use crate::core::fault::quoted;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// A name or a keyword.
    Name,
    /// A plain int.
    Int(i64),
    /// A long (`1L`, or one that does not fit): xm ignores such a value.
    Long,
    /// A float.
    Float,
    /// A string with its escapes resolved.
    Text { bytes: Vec<u8>, unicode: bool },
    /// An operator or bracket, as it stands in the file.
    Op,
    /// The end of a logical line.
    Newline,
    /// The end of the file.
    End,
    /// Something whose fault is told already.
    Bad,
}

#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) at: usize,
    pub(super) end: usize,
    /// The first token of a logical line, with white space in front.
    pub(super) indented: bool,
}

/// Takes the file apart. The last token is always [`Kind::End`], and a [`Kind::Newline`] stands before it.
pub(super) fn tokens(source: &Source<'_>, faults: &mut Faults) -> Vec<Token> {
    let mut lexer =
        Lexer { source, text: source.text, at: 0, open: 0, line_begins: true, indented: false, tokens: Vec::new(), faults };
    lexer.encoding();
    lexer.run();
    lexer.tokens
}

struct Lexer<'s, 't, 'f> {
    source: &'s Source<'t>,
    text: &'t [u8],
    at: usize,
    /// How many brackets are open.
    open: usize,
    line_begins: bool,
    indented: bool,
    tokens: Vec<Token>,
    faults: &'f mut Faults,
}

impl Lexer<'_, '_, '_> {
    fn fault(&mut self, at: usize, what: impl Into<String>, expected: impl Into<String>) {
        self.faults.add(self.source, at, what, expected);
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    /// Bytes outside of ASCII need an encoding line among the first two (PEP 263), comments included; a byte order mark will do.
    fn encoding(&mut self) {
        let text = self.text;
        let marked = text.starts_with(b"\xef\xbb\xbf");
        if marked {
            self.at = 3;
        }
        let mut declared = None;
        for line in text[self.at..].split(|b| *b == b'\n').take(2) {
            let line = line.trim_ascii();
            if !line.is_empty() && !line.starts_with(b"#") {
                break;
            }
            declared = declared.or_else(|| cookie(line));
        }
        let utf8 = match declared.as_deref() {
            None => marked,
            Some("utf-8" | "utf8" | "u8") => true,
            Some("ascii" | "us-ascii") if !marked => false,
            Some("latin-1" | "iso-8859-1" | "iso-8859-15" | "latin1") if !marked => return,
            Some(other) => {
                self.fault(0, format!("the encoding {}: not understood", quoted(other)), "utf-8");
                return;
            }
        };
        if utf8 {
            if let Err(wrong) = std::str::from_utf8(text) {
                self.fault(wrong.valid_up_to(), "these bytes are not UTF-8, which the file says it is", "UTF-8");
            }
        } else if let Some(at) = text.iter().position(|b| !b.is_ascii()) {
            self.fault(
                at,
                "a character outside of ASCII, and no encoding is declared: Python refuses the file",
                "`# coding: utf-8` as the first line",
            );
        }
    }

    fn push(&mut self, kind: Kind, at: usize) {
        let indented = self.indented && self.line_begins;
        self.line_begins = kind == Kind::Newline;
        self.tokens.push(Token { kind, at, end: self.at, indented });
    }

    fn run(&mut self) {
        loop {
            if self.line_begins && self.open == 0 {
                self.indentation();
            }
            let at = self.at;
            let Some(byte) = self.peek(0) else { break };
            match byte {
                b' ' | b'\t' | 0x0c => self.at += 1,
                b'#' => self.skip_to_line_end(),
                b'\n' => self.newline(1),
                b'\r' if self.peek(1) == Some(b'\n') => self.newline(2),
                b'\\' => self.joined_line(at),
                b'"' | b'\'' => self.string(at, at),
                b'0'..=b'9' => self.number(at),
                b'.' if self.peek(1).is_some_and(|b| b.is_ascii_digit()) => self.number(at),
                b'a'..=b'z' | b'A'..=b'Z' | b'_' => self.name(at),
                _ => self.operator(at, byte),
            }
        }
        let end = self.at;
        if !self.line_begins {
            self.push(Kind::Newline, end);
        }
        self.push(Kind::End, end);
    }

    fn indentation(&mut self) {
        self.indented = false;
        while let Some(byte @ (b' ' | b'\t' | 0x0c)) = self.peek(0) {
            self.indented = byte != 0x0c;
            self.at += 1;
        }
    }

    fn skip_to_line_end(&mut self) {
        while self.peek(0).is_some_and(|b| b != b'\n') {
            self.at += 1;
        }
    }

    /// Empty lines give no token, nor do line ends inside of brackets.
    fn newline(&mut self, length: usize) {
        let at = self.at;
        self.at += length;
        if self.open == 0 && !self.line_begins {
            self.push(Kind::Newline, at);
        }
    }

    fn joined_line(&mut self, at: usize) {
        let length = match (self.peek(1), self.peek(2)) {
            (Some(b'\n'), _) => 2,
            (Some(b'\r'), Some(b'\n')) => 3,
            _ => {
                self.fault(at, "a backslash that does not end its line", "the end of the line");
                self.at += 1;
                return self.push(Kind::Bad, at);
            }
        };
        self.at += length;
        if self.line_begins && self.open == 0 {
            self.fault(at, "a statement cannot begin with a joined line: not understood", "a statement");
            return self.push(Kind::Bad, at);
        }
        if self.at >= self.text.len() {
            self.fault(at, "the file ends after a backslash", "another line");
            self.push(Kind::Bad, at);
        }
    }

    fn name(&mut self, at: usize) {
        while self.peek(0).is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_') {
            self.at += 1;
        }
        let prefix = self.text[at..self.at].to_ascii_lowercase();
        let is_prefix = matches!(prefix.as_slice(), b"r" | b"u" | b"b" | b"ur" | b"br");
        match self.peek(0) {
            Some(b'"' | b'\'') if is_prefix => self.string(at, self.at),
            _ => self.push(Kind::Name, at),
        }
    }

    fn operator(&mut self, at: usize, byte: u8) {
        const LONG: [&[u8]; 22] = [
            b"**=", b"//=", b"<<=", b">>=", b"+=", b"-=", b"*=", b"/=", b"%=", b"&=", b"|=", b"^=", b"==", b"!=", b"<=", b">=",
            b"<>", b"**", b"//", b"<<", b">>", b"->",
        ];
        let rest = &self.text[at..];
        let length = match LONG.iter().find(|op| rest.starts_with(op)) {
            Some(op) => op.len(),
            None if b"+-*/%=<>()[]{},;:.@&|^~`".contains(&byte) => 1,
            None => {
                let (what, expected) = match byte {
                    b'\r' => ("a carriage return inside of a line: not understood".to_string(), "a line end"),
                    _ => (format!("{} means nothing to Python here", quoted([byte])), "plain assignments"),
                };
                // One fault for a run of such bytes.
                let wrong = |b: &u8| !b.is_ascii() || b"!$?\r".contains(b) || b.is_ascii_control() && !b"\n\t\x0c".contains(b);
                self.fault(at, what, expected);
                self.at += rest.iter().take_while(|b| wrong(b)).count().max(1);
                return self.push(Kind::Bad, at);
            }
        };
        match byte {
            b'(' | b'[' | b'{' => self.open += 1,
            b')' | b']' | b'}' => self.open = self.open.saturating_sub(1),
            _ => {}
        }
        self.at += length;
        self.push(Kind::Op, at);
    }

    fn number(&mut self, at: usize) {
        let mut exponent = false;
        while let Some(byte) = self.peek(0) {
            let hex = self.text[at..].starts_with(b"0x") || self.text[at..].starts_with(b"0X");
            let signed = exponent && (byte == b'+' || byte == b'-');
            if !(byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_' || signed) {
                break;
            }
            exponent = !hex && (byte == b'e' || byte == b'E');
            self.at += 1;
        }
        let word = String::from_utf8_lossy(&self.text[at..self.at]).into_owned();
        match number(&word) {
            Some(kind) => self.push(kind, at),
            None => {
                self.fault(at, format!("{} is no number that is understood", quoted(&word)), "a plain number");
                self.push(Kind::Bad, at);
            }
        }
    }

    /// A string literal; `start` is where its prefix begins, `at` its quote.
    fn string(&mut self, start: usize, at: usize) {
        let prefix = self.text[start..at].to_ascii_lowercase();
        let (raw, unicode) = (prefix.contains(&b'r'), prefix.contains(&b'u'));
        let quote = self.text[at];
        let triple = self.text[at..].starts_with(&[quote; 3]);
        let width = if triple { 3 } else { 1 };
        let body = at + width;
        let mut n = body;
        let end = loop {
            match self.text.get(n) {
                None => break None,
                Some(b'\n') if !triple => break None,
                Some(b'\\') => n += if self.text[n + 1..].starts_with(b"\r\n") { 3 } else { 2 },
                Some(b) if *b == quote && (!triple || self.text[n..].starts_with(&[quote; 3])) => {
                    break Some(n);
                }
                Some(_) => n += 1,
            }
        };
        let Some(end) = end else {
            self.at = start;
            let (what, expected) = match triple {
                true => ("the string in triple quotes does not end", "the same three quotes"),
                false => ("the string does not end on its line", "a closing quote"),
            };
            self.fault(start, what, expected);
            if triple {
                self.at = self.text.len();
            } else {
                self.skip_to_line_end();
            }
            return self.push(Kind::Bad, start);
        };
        self.at = end + width;
        match cook(&self.text[body..end], raw, unicode) {
            Ok(bytes) => self.push(Kind::Text { bytes, unicode }, start),
            Err((offset, what)) => {
                self.fault(body + offset, what, "plain characters");
                self.push(Kind::Bad, start);
            }
        }
    }
}

/// The encoding a comment line declares.
fn cookie(line: &[u8]) -> Option<String> {
    let line = String::from_utf8_lossy(line).into_owned();
    let (_, after) = line
        .match_indices("coding")
        .map(|(n, word)| line.split_at(n + word.len()))
        .find(|(_, after)| after.starts_with([':', '=']))?;
    let word: String = after[1..]
        .trim_start_matches([' ', '\t'])
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c))
        .collect();
    (!word.is_empty()).then(|| word.to_ascii_lowercase().replace('_', "-"))
}

/// Python 2's numbers. `None` for what is none, or is not understood (complex numbers).
fn number(word: &str) -> Option<Kind> {
    let lower = word.to_ascii_lowercase();
    let (digits, long) = match lower.strip_suffix('l') {
        Some(digits) => (digits, true),
        None => (lower.as_str(), false),
    };
    let (digits, base) = if let Some(hex) = digits.strip_prefix("0x") {
        (hex, 16)
    } else if let Some(octal) = digits.strip_prefix("0o") {
        (octal, 8)
    } else if let Some(binary) = digits.strip_prefix("0b") {
        (binary, 2)
    } else if digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()) {
        (&digits[1..], 8)
    } else {
        (digits, 10)
    };
    if !digits.is_empty() && digits.chars().all(|c| c.is_digit(base)) {
        return Some(match i64::from_str_radix(digits, base) {
            Ok(value) if !long => Kind::Int(value),
            _ => Kind::Long,
        });
    }
    (base == 10 && !long && is_float(digits)).then_some(Kind::Float)
}

/// Digits with a point before, between or behind them, and an exponent. What it amounts to, nobody asks.
fn is_float(word: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (number, exponent) = word.split_once('e').unwrap_or((word, "0"));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    digits(whole) && digits(part) && !(whole.is_empty() && part.is_empty()) && digits(exponent) && !exponent.is_empty()
}

/// Resolves the escapes of a string, or says what is wrong and where in it.
fn cook(inner: &[u8], raw: bool, unicode: bool) -> Result<Vec<u8>, (usize, String)> {
    if unicode && let Some(at) = inner.iter().position(|b| !b.is_ascii()) {
        return Err((at, "a unicode string with characters outside of ASCII: not understood".into()));
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut n = 0;
    while let Some(byte) = inner.get(n).copied() {
        // Python reads every line end as one line feed.
        if byte == b'\r' {
            if inner.get(n + 1) != Some(&b'\n') {
                return Err((n, "a carriage return inside of a line: not understood".into()));
            }
            n += 1;
            continue;
        }
        if byte != b'\\' || raw && !unicode {
            out.push(byte);
            n += 1;
            continue;
        }
        let start = n;
        let Some(escaped) = inner.get(n + 1).copied() else {
            return Err((start, "a backslash at the end of the string".into()));
        };
        n += 2;
        let simple = match escaped {
            _ if raw => {
                return Err((start, "an escape in a raw unicode string: not understood".into()));
            }
            b'\n' => continue,
            b'\r' if inner.get(n) == Some(&b'\n') => {
                n += 1;
                continue;
            }
            b'\\' | b'\'' | b'"' => escaped,
            b'a' => 0x07,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0b,
            b'0'..=b'7' => {
                let digits = 1 + inner[n..].iter().take(2).take_while(|b| matches!(b, b'0'..=b'7')).count();
                let value = inner[n - 1..n - 1 + digits].iter().fold(0u32, |sum, b| sum * 8 + u32::from(b - b'0'));
                n += digits - 1;
                // Python keeps the low eight bits of a plain string's escape.
                ascii_if_unicode(if unicode { value } else { value & 0xff }, unicode, start)?
            }
            b'x' => {
                let value =
                    hex(inner, &mut n, 2).ok_or_else(|| (start, "Python refuses a `\\x` without two digits".to_string()))?;
                ascii_if_unicode(value, unicode, start)?
            }
            b'u' | b'U' if unicode => {
                let digits = if escaped == b'u' { 4 } else { 8 };
                let value = hex(inner, &mut n, digits)
                    .ok_or_else(|| (start, "Python refuses this escape: too few digits".to_string()))?;
                ascii_if_unicode(value, unicode, start)?
            }
            b'N' if unicode => {
                return Err((start, "a character by its name: not understood".into()));
            }
            // An escape Python does not know stays as it is, the backslash included.
            _ => {
                out.push(b'\\');
                n -= 1;
                continue;
            }
        };
        out.push(simple);
    }
    Ok(out)
}

fn hex(inner: &[u8], n: &mut usize, digits: usize) -> Option<u32> {
    let part = inner.get(*n..*n + digits)?;
    let text = std::str::from_utf8(part).ok().filter(|t| t.bytes().all(|b| b.is_ascii_hexdigit()))?;
    *n += digits;
    u32::from_str_radix(text, 16).ok()
}

fn ascii_if_unicode(value: u32, unicode: bool, at: usize) -> Result<u8, (usize, String)> {
    match u8::try_from(value) {
        Ok(byte) if !unicode || byte.is_ascii() => Ok(byte),
        _ => Err((at, "a unicode string with characters outside of ASCII: not understood".into())),
    }
}
