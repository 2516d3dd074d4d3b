//! Python's expressions, as far as their value is certain: literals, known names, `+`, `-`, `*` and `%`.

use super::source::DEEPEST;
use super::xm_parse::{Broken, Reader};
use super::xm_token::{Kind, Token};
use super::xm_value::{Item, Value, operate};
use crate::core::fault::quoted;

/// What stands between two brackets.
struct Inside {
    items: Vec<Item>,
    /// A comma stood among them, so that round brackets make a tuple.
    comma: bool,
    /// One of them is a list under another name.
    alias: bool,
}

/// A value with where it stands.
pub(super) struct Expr {
    pub(super) value: Value,
    pub(super) at: usize,
    /// A list under another name: the two would be one list, so that `+=` on either changes both.
    pub(super) alias: bool,
}

impl Reader<'_, '_> {
    /// `a`, or `a, b` which is a tuple.
    pub(super) fn expressions(&mut self) -> Result<Expr, Broken> {
        let first = self.sum(0)?;
        if !self.at_op(",") {
            self.value_ends()?;
            return Ok(first);
        }
        let (at, mut items) = (first.at, vec![self.item(first)?]);
        while self.at_op(",") {
            self.n += 1;
            if matches!(self.token().kind, Kind::Newline) || self.at_op(";") {
                break;
            }
            let next = self.sum(0)?;
            items.push(self.item(next)?);
        }
        self.value_ends()?;
        Ok(Expr { value: Value::Tuple(items), at, alias: false })
    }

    fn item(&mut self, expr: Expr) -> Result<Item, Broken> {
        if expr.alias {
            return self.broken(expr.at, "two names for one list: not understood", "a list of its own");
        }
        Ok(Item { value: expr.value, at: expr.at })
    }

    fn sum(&mut self, depth: usize) -> Result<Expr, Broken> {
        let mut left = self.product(depth)?;
        while self.at_op("+") || self.at_op("-") {
            left = self.operation(left, depth, Self::product)?;
        }
        Ok(left)
    }

    fn product(&mut self, depth: usize) -> Result<Expr, Broken> {
        let mut left = self.atom(depth)?;
        while self.at_op("*") || self.at_op("%") {
            left = self.operation(left, depth, Self::atom)?;
        }
        Ok(left)
    }

    fn operation(
        &mut self,
        left: Expr,
        depth: usize,
        operand: fn(&mut Self, usize) -> Result<Expr, Broken>,
    ) -> Result<Expr, Broken> {
        let op_token = self.token().clone();
        let op = self.word(&op_token).to_string();
        self.n += 1;
        let right = operand(self, depth)?;
        match operate(&op, left.value, right.value) {
            Ok(value) => Ok(Expr { value, at: left.at, alias: false }),
            Err(what) => self.broken(op_token.at, what, "values whose result is certain"),
        }
    }

    fn atom(&mut self, depth: usize) -> Result<Expr, Broken> {
        let token = self.token().clone();
        let at = token.at;
        let mut alias = false;
        let value = match &token.kind {
            Kind::Text { .. } => self.strings()?,
            Kind::Int(number) => self.taken(Value::Int(*number)),
            Kind::Long => self.taken(Value::Ignored("a long number")),
            Kind::Float => self.taken(Value::Float),
            Kind::Name if !self.is_keyword(&token) => {
                let value = self.variable(&token)?;
                alias = matches!(value, Value::List(_));
                value
            }
            Kind::Op => match self.word(&token) {
                "[" | "(" if depth >= DEEPEST => {
                    return self.broken(at, "the lists are nested too deeply", format!("at most {DEEPEST} levels"));
                }
                "[" => {
                    self.n += 1;
                    let inside = self.items("]", depth + 1)?;
                    Value::List(inside.items)
                }
                "(" => {
                    self.n += 1;
                    let Inside { mut items, comma, alias: inner } = self.items(")", depth + 1)?;
                    match items.pop() {
                        Some(only) if items.is_empty() && !comma => {
                            alias = inner;
                            only.value
                        }
                        Some(last) => {
                            items.push(last);
                            Value::Tuple(items)
                        }
                        None => Value::Tuple(items),
                    }
                }
                sign @ ("-" | "+") => {
                    let minus = sign == "-";
                    self.n += 1;
                    match self.token().kind.clone() {
                        Kind::Int(number) => self.taken(Value::Int(if minus { -number } else { number })),
                        _ => return self.unexpected("a number after the sign"),
                    }
                }
                _ => return self.unexpected("a string, a number, a list or a name"),
            },
            _ => return self.unexpected("a string, a number, a list or a name"),
        };
        // `"x".upper()`, `a[0]`, `f(x)`.
        if self.at_op(".") || self.at_op("[") || self.at_op("(") {
            return self.after_value(at, "a plain value");
        }
        Ok(Expr { value, at, alias })
    }

    fn taken(&mut self, value: Value) -> Value {
        self.n += 1;
        value
    }

    /// Adjacent strings are one; a single unicode one makes all of it unicode.
    fn strings(&mut self) -> Result<Value, Broken> {
        let at = self.token().at;
        let (mut all, mut any_unicode, mut any_plain) = (Vec::new(), false, false);
        while let Kind::Text { bytes, unicode } = &self.tokens[self.n].kind {
            all.extend_from_slice(bytes);
            any_unicode |= *unicode;
            any_plain |= !*unicode;
            self.n += 1;
        }
        if any_unicode && any_plain && !all.is_ascii() {
            return self.broken(at, "Python cannot join these strings: one is unicode, and not all is ASCII", "");
        }
        Ok(Value::Text { bytes: all, unicode: any_unicode })
    }

    fn variable(&mut self, token: &Token) -> Result<Value, Broken> {
        let name = self.word(token).to_string();
        self.n += 1;
        match (self.variables.get(&name).map(|v| &v.value), name.as_str()) {
            (Some(Value::Imported), _) => {
                if self.at_op(".") || self.at_op("(") {
                    return self.after_value(token.at, "a plain value");
                }
                self.broken(
                    token.at,
                    format!("{} is imported: what it holds is not known here", quoted(&name)),
                    "a value that stands in the file",
                )
            }
            (Some(value), _) => {
                // Paid for before it is copied.
                let size = if self.budget > 0 { value.size() } else { 0 };
                self.pay(size, token.at)?;
                Ok(self.variables.get(&name).map_or(Value::Unknown, |v| v.value.clone()))
            }
            (None, "None") => Ok(Value::Ignored("None")),
            (None, "True" | "False") => Ok(Value::Ignored("a truth value")),
            _ if self.unsure => Ok(Value::Unknown),
            _ => {
                if self.at_op(".") || self.at_op("(") || self.at_op("[") {
                    return self.after_value(token.at, "a plain value");
                }
                self.broken(
                    token.at,
                    format!("{} is not set before: what it holds is not known", quoted(&name)),
                    "a value that stands in the file",
                )
            }
        }
    }

    /// Counts a copy, and ends it all when there were too many.
    pub(super) fn pay(&mut self, size: usize, at: usize) -> Result<(), Broken> {
        self.budget = self.budget.saturating_sub(size);
        match self.budget {
            0 => self.broken(at, "the values of this file grow too large: not understood", "plain values"),
            _ => Ok(()),
        }
    }

    /// The entries up to the closing bracket.
    fn items(&mut self, close: &str, depth: usize) -> Result<Inside, Broken> {
        let open = self.tokens[self.n - 1].at;
        let (mut items, mut comma, mut alias) = (Vec::new(), false, false);
        loop {
            if self.at_op(close) {
                break;
            }
            let expr = self.sum(depth)?;
            alias |= expr.alias;
            items.push(Item { value: expr.value, at: expr.at });
            if self.at_op(",") {
                comma = true;
                self.n += 1;
                continue;
            }
            if !self.at_op(close) {
                if matches!(self.token().kind, Kind::Newline | Kind::End) {
                    return self.broken(open, "the bracket is not closed", format!("`{close}`"));
                }
                let token = self.token().clone();
                if self.is_keyword(&token) {
                    return self.after_value(token.at, "");
                }
                return self.unexpected(&format!("`,` or `{close}`"));
            }
        }
        self.n += 1;
        if alias && (close == "]" || comma) {
            return self.broken(open, "two names for one list: not understood", "a list of its own");
        }
        Ok(Inside { items, comma, alias })
    }
}
