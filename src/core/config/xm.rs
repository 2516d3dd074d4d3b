//! The language of `xm`: Python 2 (`opts.py`, `load`, runs the file with `execfile`).
//!
//! This is no interpreter. It reads plain assignments of strings, numbers, lists and tuples, `+=`, `+`, `-`, `*` of what is known,
//! `"…" % …`, imports that nothing uses, and strings that stand alone as comments. One statement beyond that, anywhere, and the whole
//! file is "not understood": what a call or an `if` does depends on the host it runs on (facts 3.6, row 34).
//!
//! Traps of xm's that are kept: a variable counts only if it is a `str`, `list`, `int` or `float`, so `disk = ( … )`, `name = "web",` and
//! `name = u"web"` are silently ignored (we warn); and a domU without a name gets that of the file, extension included.

use super::source::{DEEPEST, Source};
use super::xm_token::{Kind, Token, tokens};
use super::xm_value::{Item, Value, append, operate};
use super::{Disk, DomuConfig, Draft, add_bridge, xm_disk};
use crate::core::fault::{Fault, quoted};
use std::collections::BTreeMap;

/// Reads the file, as `xm create -n` does.
pub(super) fn read(file_name: &str, source: &Source<'_>) -> Result<DomuConfig, Vec<Fault>> {
    let mut draft = Draft::new(source);
    let tokens = tokens(source, &mut draft.faults);
    let mut reader = Reader { draft, tokens, n: 0, variables: BTreeMap::new(), unsure: false, budget: BUDGET };
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

struct Variable {
    value: Value,
    /// Where it was set last.
    at: usize,
}

struct Reader<'s, 't> {
    draft: Draft<'s, 't>,
    tokens: Vec<Token>,
    n: usize,
    variables: BTreeMap<String, Variable>,
    /// A part of the file was passed over: names may be set there, so an unknown name is no news any more.
    unsure: bool,
    /// How many bytes of values may still be copied: doubling a string forty times must not fill the memory.
    budget: usize,
}

/// No domU config copies so much.
const BUDGET: usize = 4 * 1024 * 1024;

/// The statement is not understood and its fault is told.
struct Broken;

/// What stands between two brackets.
struct Inside {
    items: Vec<Item>,
    /// A comma stood among them, so that round brackets make a tuple.
    comma: bool,
    /// One of them is a list under another name.
    alias: bool,
}

/// A value with where it stands.
struct Expr {
    value: Value,
    at: usize,
    /// A list under another name: the two would be one list, so that `+=` on either changes both.
    alias: bool,
}

impl Reader<'_, '_> {
    fn file(&mut self) {
        let mut block = false;
        while self.token().kind != Kind::End {
            let first = self.token().clone();
            let word = self.word(&first).to_string();
            // The lines of a block that is not understood are passed over with it.
            if block && (first.indented || CONTINUING.contains(&word.as_str())) {
                self.skip_line();
                continue;
            }
            block = first.kind == Kind::Name && COMPOUND.contains(&word.as_str());
            if first.indented {
                self.draft.fault(
                    first.at,
                    "white space in front of a statement, which Python refuses",
                    "the statement at the beginning of its line",
                );
                self.unsure = true;
                self.skip_line();
                continue;
            }
            if self.line().is_err() {
                self.unsure = true;
                self.skip_line();
            }
        }
    }

    /// One logical line: statements with `;` between them.
    fn line(&mut self) -> Result<(), Broken> {
        loop {
            self.statement()?;
            let after = self.token().clone();
            match after.kind {
                Kind::Newline => {
                    self.n += 1;
                    return Ok(());
                }
                Kind::Op if self.word(&after) == ";" => {
                    self.n += 1;
                    if self.token().kind == Kind::Newline {
                        self.n += 1;
                        return Ok(());
                    }
                }
                _ => return self.unexpected("the end of the line or `;`"),
            }
        }
    }

    fn statement(&mut self) -> Result<(), Broken> {
        let first = self.token().clone();
        match first.kind {
            // A string that stands alone does nothing.
            Kind::Text { .. } => {
                while matches!(self.token().kind, Kind::Text { .. }) {
                    self.n += 1;
                }
                Ok(())
            }
            Kind::Name => match self.word(&first).to_string().as_str() {
                "pass" => {
                    self.n += 1;
                    Ok(())
                }
                "import" => self.import(),
                "from" => self.import_from(),
                word if KEYWORDS.contains(&word) => {
                    let what = format!("{} is more than a plain assignment: not understood", quoted(word));
                    self.broken(first.at, what, "`name = value`, with values that stand in the file")
                }
                _ => self.assignment(),
            },
            _ => self.unexpected("`name = value`"),
        }
    }

    fn assignment(&mut self) -> Result<(), Broken> {
        let mut targets: Vec<(String, usize)> = Vec::new();
        let result = self.assign(&mut targets);
        if result.is_err() {
            // What the names hold now is not known, and that has been said.
            for (name, at) in targets {
                self.variables.insert(name, Variable { value: Value::Unknown, at });
            }
        }
        result
    }

    fn assign(&mut self, targets: &mut Vec<(String, usize)>) -> Result<(), Broken> {
        loop {
            let name = self.token().clone();
            let word = self.word(&name).to_string();
            self.n += 1;
            let op = self.token().clone();
            match self.word(&op) {
                "=" | "+=" if op.kind == Kind::Op => {}
                _ => return self.after_value("`=` or `+=`"),
            }
            if ["None", "True", "False"].contains(&word.as_str()) {
                return self.broken(name.at, format!("a new meaning for {}: not understood", quoted(&word)), "another name");
            }
            let adding = self.word(&op) == "+=";
            self.n += 1;
            targets.push((word.clone(), name.at));
            if adding {
                if targets.len() > 1 {
                    return self.broken(op.at, "`=` and `+=` in one statement", "one of them");
                }
                return self.add_to(&word, name.at);
            }
            let chained = self.token().kind == Kind::Name
                && matches!(self.tokens.get(self.n + 1), Some(t) if t.kind == Kind::Op && self.word(t) == "=");
            if !chained || self.is_keyword(self.token()) {
                break;
            }
        }
        let expr = self.expressions()?;
        if expr.alias || targets.len() > 1 && matches!(expr.value, Value::List(_)) {
            return self.broken(expr.at, "two names for one list: not understood", "a list of its own");
        }
        let value = expr.value;
        for (name, at) in targets.iter() {
            self.pay(value.size(), *at)?;
            let before = self.variables.insert(name.clone(), Variable { value: value.clone(), at: *at });
            if let Some(before) = before
                && name == "disk"
                && before.value != Value::Unknown
                && !self.mentioned(name, *at)
            {
                let (line, _) = self.draft.source.place(before.at);
                self.draft.warn(*at, format!("{} was set in line {line} already; the last one counts", quoted(name)), "");
            }
        }
        Ok(())
    }

    /// Whether the statement that ends here, and whose target stands at `at`, uses the name on its right side.
    fn mentioned(&self, name: &str, at: usize) -> bool {
        self.tokens[..self.n].iter().rev().take_while(|t| t.at > at).any(|t| t.kind == Kind::Name && self.word(t) == name)
    }

    fn add_to(&mut self, name: &str, at: usize) -> Result<(), Broken> {
        let right = self.expressions()?;
        let left = match self.variables.remove(name) {
            Some(before) if before.value == Value::Imported => {
                return self.broken(at, format!("{} is imported: what it holds is not known", quoted(name)), "");
            }
            Some(before) => before.value,
            None if self.unsure => Value::Unknown,
            None => return self.broken(at, format!("{} is not set before", quoted(name)), format!("`{name} = …`")),
        };
        match append(left, right.value) {
            Ok(value) => {
                self.variables.insert(name.to_string(), Variable { value, at });
                Ok(())
            }
            Err(what) => self.broken(right.at, what, "the same kind as before"),
        }
    }

    /// `a`, or `a, b` which is a tuple.
    fn expressions(&mut self) -> Result<Expr, Broken> {
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
            return self.after_value("a plain value");
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
                    return self.after_value("a plain value");
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
                    return self.after_value("a plain value");
                }
                self.broken(
                    token.at,
                    format!("{} is not set before: what it holds is not known", quoted(&name)),
                    "a value that stands in the file",
                )
            }
        }
    }

    fn pay(&mut self, size: usize, at: usize) -> Result<(), Broken> {
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
                    return self.after_value("");
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

    /// `import a, b.c, d as e`: binds names that nothing may use.
    fn import(&mut self) -> Result<(), Broken> {
        self.n += 1;
        loop {
            let at = self.token().at;
            let mut bound = self.plain_name()?;
            while self.at_op(".") {
                self.n += 1;
                self.plain_name()?;
            }
            if self.at_word("as") {
                self.n += 1;
                bound = self.plain_name()?;
            }
            self.variables.insert(bound, Variable { value: Value::Imported, at });
            if !self.at_op(",") {
                return Ok(());
            }
            self.n += 1;
        }
    }

    /// `from a.b import c, d as e`; a star may set any name, the domU's included.
    fn import_from(&mut self) -> Result<(), Broken> {
        let from = self.token().at;
        self.n += 1;
        if self.at_word("__future__") {
            return self.broken(from, "an import that changes the language: not understood", "plain assignments");
        }
        self.plain_name()?;
        while self.at_op(".") {
            self.n += 1;
            self.plain_name()?;
        }
        if !self.at_word("import") {
            return self.unexpected("`import`");
        }
        self.n += 1;
        if self.at_op("*") {
            return self.broken(
                from,
                "an import of all names may set any of them, the name and the disks included: not understood",
                "an import by name",
            );
        }
        let bracket = self.at_op("(");
        self.n += usize::from(bracket);
        loop {
            let at = self.token().at;
            let mut bound = self.plain_name()?;
            if self.at_word("as") {
                self.n += 1;
                bound = self.plain_name()?;
            }
            self.variables.insert(bound, Variable { value: Value::Imported, at });
            if !self.at_op(",") {
                break;
            }
            self.n += 1;
            if bracket && self.at_op(")") {
                break;
            }
        }
        if bracket {
            if !self.at_op(")") {
                return self.unexpected("`)`");
            }
            self.n += 1;
        }
        Ok(())
    }

    fn plain_name(&mut self) -> Result<String, Broken> {
        let token = self.token().clone();
        if token.kind != Kind::Name || self.is_keyword(&token) {
            return self.unexpected("a name");
        }
        self.n += 1;
        Ok(self.word(&token).to_string())
    }

    /// The last token is never passed.
    fn token(&self) -> &Token {
        &self.tokens[self.n.min(self.tokens.len() - 1)]
    }

    fn word(&self, token: &Token) -> &str {
        std::str::from_utf8(&self.draft.source.text[token.at..token.end]).unwrap_or_default()
    }

    fn at_op(&self, op: &str) -> bool {
        self.token().kind == Kind::Op && self.word(self.token()) == op
    }

    fn at_word(&self, word: &str) -> bool {
        self.token().kind == Kind::Name && self.word(self.token()) == word
    }

    fn is_keyword(&self, token: &Token) -> bool {
        let word = self.word(token);
        token.kind == Kind::Name && (KEYWORDS.contains(&word) || ["import", "from", "pass"].contains(&word))
    }

    fn value_ends(&mut self) -> Result<(), Broken> {
        match self.token().kind {
            Kind::Newline => Ok(()),
            _ if self.at_op(";") => Ok(()),
            _ => self.after_value("the end of the line or `;`"),
        }
    }

    /// A fault about what follows a value or a name.
    fn after_value<T>(&mut self, expected: &str) -> Result<T, Broken> {
        let token = self.token().clone();
        let what = match self.word(&token) {
            _ if token.kind != Kind::Op && !self.is_keyword(&token) => return self.unexpected(expected),
            "(" => "a call",
            "." => "an attribute",
            "[" => "a subscript",
            "if" => "a condition",
            "for" => "a loop inside of a list",
            _ => return self.unexpected(expected),
        };
        self.broken(
            token.at,
            format!("{what}: not understood, since only Python could tell what it gives"),
            "a value that stands in the file",
        )
    }

    fn unexpected<T>(&mut self, expected: &str) -> Result<T, Broken> {
        let token = self.token().clone();
        let shown = match token.kind {
            Kind::Bad => return Err(Broken),
            Kind::Newline => "the end of the line".to_string(),
            Kind::End => "the end of the file".to_string(),
            _ => quoted(&self.draft.source.text[token.at..token.end]),
        };
        self.broken(token.at, format!("{shown} is not understood here"), expected)
    }

    fn broken<T>(&mut self, at: usize, what: impl Into<String>, expected: impl Into<String>) -> Result<T, Broken> {
        self.draft.fault(at, what, expected);
        Err(Broken)
    }

    fn skip_line(&mut self) {
        while !matches!(self.token().kind, Kind::Newline | Kind::End) {
            self.n += 1;
        }
        if self.token().kind == Kind::Newline {
            self.n += 1;
        }
    }
}

/// Statements with a block.
const COMPOUND: [&str; 8] = ["if", "for", "while", "def", "class", "try", "with", "elif"];
/// Lines that go on with the block before.
const CONTINUING: [&str; 4] = ["elif", "else", "except", "finally"];
/// Python 2's keywords, without those that are understood.
const KEYWORDS: [&str; 28] = [
    "and", "as", "assert", "break", "class", "continue", "def", "del", "elif", "else", "except", "exec", "finally", "for",
    "global", "if", "in", "is", "lambda", "not", "or", "print", "raise", "return", "try", "while", "with", "yield",
];

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
    let Some(Variable { value, at }) = variables.get(key) else { return Vec::new() };
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
