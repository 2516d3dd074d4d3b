//! The values that plain assignments can hold, and the few operations on them whose result is certain.

use crate::core::fault::quoted;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// A string: `str`, or `unicode`, which xm silently ignores as the value of a variable (`opts.py`, `vtypes`).
    Text { bytes: Vec<u8>, unicode: bool },
    /// A plain int.
    Int(i64),
    /// A float; nothing is done with it.
    Float,
    /// A long, `True`, `False` or `None`: xm ignores such a variable.
    Ignored(&'static str),
    /// A list.
    List(Vec<Item>),
    /// A tuple: xm ignores such a variable.
    Tuple(Vec<Item>),
    /// Bound by an import: what it holds is not known.
    Imported,
    /// Its fault is told already.
    Unknown,
}

/// An entry of a list, with where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    pub(super) value: Value,
    pub(super) at: usize,
}

impl Value {
    /// The kind, for a message.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Text { unicode: true, .. } => "a unicode string",
            Value::Text { .. } => "a string",
            Value::Int(_) => "a number",
            Value::Float => "a float",
            Value::Ignored(kind) => kind,
            Value::List(_) => "a list",
            Value::Tuple(_) => "a tuple",
            Value::Imported => "an imported name",
            Value::Unknown => "something not understood",
        }
    }

    /// Roughly how much memory a copy takes.
    pub(super) fn size(&self) -> usize {
        let inside = match self {
            Value::Text { bytes, .. } => bytes.len(),
            Value::List(items) | Value::Tuple(items) => items.iter().map(|i| i.value.size()).sum(),
            _ => 0,
        };
        inside + std::mem::size_of::<Item>()
    }
}

/// `left OP right` for `+`, `-`, `*` and `%`.
pub(super) fn operate(op: &str, left: Value, right: Value) -> Result<Value, String> {
    match (op, left, right) {
        (_, Value::Unknown, _) | (_, _, Value::Unknown) => Ok(Value::Unknown),
        ("+", left, right) => add(left, right),
        ("-", Value::Int(a), Value::Int(b)) => fitting(a.checked_sub(b)),
        ("*", Value::Int(a), Value::Int(b)) => fitting(a.checked_mul(b)),
        ("%", Value::Text { bytes, unicode }, right) => format(&bytes, unicode, right),
        (op, left, right) => Err(format!("`{op}` between {} and {}: not understood", left.kind(), right.kind())),
    }
}

/// What `+` and `+=` do; with `+=` a list takes a tuple as well.
fn add(left: Value, right: Value) -> Result<Value, String> {
    match (left, right) {
        (Value::Int(a), Value::Int(b)) => fitting(a.checked_add(b)),
        (Value::List(mut a), Value::List(b)) => {
            a.extend(b);
            Ok(Value::List(a))
        }
        (Value::Tuple(mut a), Value::Tuple(b)) => {
            a.extend(b);
            Ok(Value::Tuple(a))
        }
        (Value::Text { bytes: mut a, unicode: ua }, Value::Text { bytes: b, unicode: ub }) => {
            if ua != ub && !(a.is_ascii() && b.is_ascii()) {
                return Err("Python cannot join these two strings: one is unicode, and not all is ASCII".into());
            }
            a.extend(b);
            Ok(Value::Text { bytes: a, unicode: ua || ub })
        }
        (left, right) => Err(format!("{} and {} cannot be added", left.kind(), right.kind())),
    }
}

fn fitting(number: Option<i64>) -> Result<Value, String> {
    number.map(Value::Int).ok_or_else(|| "the number is too large: not understood".into())
}

/// `left += right` on a variable.
pub(super) fn append(left: Value, right: Value) -> Result<Value, String> {
    match (left, right) {
        (Value::Unknown, _) | (_, Value::Unknown) => Ok(Value::Unknown),
        (left @ Value::List(_), Value::Tuple(items)) => add(left, Value::List(items)),
        (left, right) => add(left, right),
    }
}

/// `"…" % arguments`, with `%s`, `%d`, `%i`, `%x`, `%X` and `%%`, and a width for the numbers.
fn format(pattern: &[u8], unicode: bool, arguments: Value) -> Result<Value, String> {
    let mut arguments = match arguments {
        Value::Tuple(items) => items.into_iter().map(|i| i.value).collect(),
        other => vec![other],
    }
    .into_iter();
    let mut out = Vec::new();
    let mut unicode = unicode;
    let mut mixed = !pattern.is_ascii();
    let mut n = 0;
    while let Some(byte) = pattern.get(n).copied() {
        n += 1;
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let from = n;
        while pattern.get(n).is_some_and(u8::is_ascii_digit) {
            n += 1;
        }
        let (width, kind) = (&pattern[from..n], pattern.get(n).copied());
        n += 1;
        let refused = || format!("the format {}: not understood", quoted(&pattern[from - 1..n.min(pattern.len())]));
        if kind == Some(b'%') && width.is_empty() {
            out.push(b'%');
            continue;
        }
        let mut argument = || arguments.next().ok_or_else(|| "the format needs more values than there are".to_string());
        match (kind, width.is_empty()) {
            (Some(b's'), true) => match argument()? {
                Value::Text { bytes, unicode: other } => {
                    unicode |= other;
                    mixed |= !bytes.is_ascii();
                    out.extend(bytes);
                }
                Value::Int(number) => out.extend(number.to_string().bytes()),
                Value::Unknown => return Ok(Value::Unknown),
                other => return Err(format!("`%s` of {}: not understood", other.kind())),
            },
            (Some(kind @ (b'd' | b'i' | b'x' | b'X')), _) => match argument()? {
                Value::Int(number) => {
                    let hex = kind == b'x' || kind == b'X';
                    if hex && number < 0 || width.len() > 3 {
                        return Err(refused());
                    }
                    let text = match kind {
                        b'x' => format!("{number:x}"),
                        b'X' => format!("{number:X}"),
                        _ => number.to_string(),
                    };
                    out.extend(padded(&text, width).bytes());
                }
                Value::Unknown => return Ok(Value::Unknown),
                other => {
                    return Err(format!("`%{}` of {}: not understood", char::from(kind), other.kind()));
                }
            },
            _ => return Err(refused()),
        }
    }
    match arguments.next() {
        None if unicode && mixed => Err("Python cannot join these two strings: one is unicode, and not all is ASCII".into()),
        None => Ok(Value::Text { bytes: out, unicode }),
        Some(Value::Unknown) => Ok(Value::Unknown),
        Some(_) => Err("there are more values than the format needs".into()),
    }
}

/// Pads a number to a width of at most three digits; a leading zero in the width pads with zeros, after the sign.
fn padded(text: &str, width: &[u8]) -> String {
    let wanted = width.iter().fold(0usize, |sum, b| sum * 10 + usize::from(b - b'0'));
    let missing = wanted.saturating_sub(text.len());
    match (width.first(), text.strip_prefix('-')) {
        (Some(b'0'), Some(digits)) => format!("-{}{digits}", "0".repeat(missing)),
        (Some(b'0'), None) => format!("{}{text}", "0".repeat(missing)),
        _ => format!("{}{text}", " ".repeat(missing)),
    }
}
