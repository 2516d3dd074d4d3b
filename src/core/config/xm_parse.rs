//! Python's statements, as far as they are plain assignments, and imports that nothing uses.

use super::Draft;
use super::xm_token::{Kind, Token};
use super::xm_value::{Value, append};
use crate::core::fault::quoted;
use std::collections::BTreeMap;

pub(super) struct Variable {
    pub(super) value: Value,
    /// Where it was set last.
    pub(super) at: usize,
}

/// Reads the statements one by one and keeps what they set.
pub(super) struct Reader<'s, 't> {
    pub(super) draft: Draft<'s, 't>,
    pub(super) tokens: Vec<Token>,
    pub(super) n: usize,
    pub(super) variables: BTreeMap<String, Variable>,
    /// A part of the file was passed over: names may be set there, so an unknown name is no news any more.
    pub(super) unsure: bool,
    /// How many bytes of values may still be copied: doubling a string forty times must not fill the memory.
    pub(super) budget: usize,
}

/// No domU config copies so much.
const BUDGET: usize = 4 * 1024 * 1024;

/// The statement is not understood and its fault is told.
pub(super) struct Broken;

impl<'s, 't> Reader<'s, 't> {
    pub(super) fn new(draft: Draft<'s, 't>, tokens: Vec<Token>) -> Reader<'s, 't> {
        Reader { draft, tokens, n: 0, variables: BTreeMap::new(), unsure: false, budget: BUDGET }
    }

    /// Reads all statements.
    pub(super) fn file(&mut self) {
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
                _ => return self.after_value(name.at, "`=` or `+=`"),
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
            None => {
                return self.broken(at, format!("{} is not set before", quoted(name)), format!("`{name} = …`"));
            }
        };
        match append(left, right.value) {
            Ok(value) => {
                self.variables.insert(name.to_string(), Variable { value, at });
                Ok(())
            }
            Err(what) => self.broken(right.at, what, "the same kind as before"),
        }
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
    pub(super) fn token(&self) -> &Token {
        &self.tokens[self.n.min(self.tokens.len() - 1)]
    }

    pub(super) fn word(&self, token: &Token) -> &str {
        std::str::from_utf8(&self.draft.source.text[token.at..token.end]).unwrap_or_default()
    }

    pub(super) fn at_op(&self, op: &str) -> bool {
        self.token().kind == Kind::Op && self.word(self.token()) == op
    }

    fn at_word(&self, word: &str) -> bool {
        self.token().kind == Kind::Name && self.word(self.token()) == word
    }

    pub(super) fn is_keyword(&self, token: &Token) -> bool {
        let word = self.word(token);
        token.kind == Kind::Name && (KEYWORDS.contains(&word) || ["import", "from", "pass"].contains(&word))
    }

    pub(super) fn value_ends(&mut self) -> Result<(), Broken> {
        match self.token().kind {
            Kind::Newline => Ok(()),
            _ if self.at_op(";") => Ok(()),
            _ => self.after_value(self.token().at, "the end of the line or `;`"),
        }
    }

    /// A fault about what follows the value or name that begins at `from`.
    pub(super) fn after_value<T>(&mut self, from: usize, expected: &str) -> Result<T, Broken> {
        let token = self.token().clone();
        let what = match self.word(&token) {
            _ if token.kind != Kind::Op && !self.is_keyword(&token) => {
                return self.unexpected(expected);
            }
            "(" => "a call",
            "." => "an attribute",
            "[" => "a subscript",
            "if" => "a condition",
            "for" => "a loop inside of a list",
            _ => return self.unexpected(expected),
        };
        self.broken(
            from,
            format!("{what}: not understood, since only Python could tell what it gives"),
            "a value that stands in the file",
        )
    }

    pub(super) fn unexpected<T>(&mut self, expected: &str) -> Result<T, Broken> {
        let token = self.token().clone();
        let shown = match token.kind {
            Kind::Bad => return Err(Broken),
            Kind::Newline => "the end of the line".to_string(),
            Kind::End => "the end of the file".to_string(),
            _ => quoted(&self.draft.source.text[token.at..token.end]),
        };
        self.broken(token.at, format!("{shown} is not understood here"), expected)
    }

    pub(super) fn broken<T>(&mut self, at: usize, what: impl Into<String>, expected: impl Into<String>) -> Result<T, Broken> {
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
