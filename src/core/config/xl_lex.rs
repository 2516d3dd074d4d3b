//! The lexer of `xl`'s language (`libxlu_cfg_l.l`).

use crate::core::fault::quoted;

/// What the grammar is made of.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Ident,
    Number,
    Text { text: Vec<u8>, plain: bool },
    Comma,
    Open,
    Close,
    Add,
    Assign,
    Semicolon,
    Newline,
    End,
}

impl Token {
    pub(super) fn in_words(&self, text: &[u8]) -> String {
        match self {
            Token::Newline => "the end of the line".to_string(),
            Token::End => "the end of the file".to_string(),
            _ => quoted(text),
        }
    }
}

/// A lexical fault: where, what, expected. `None` where it has been told already.
pub(super) type LexFault = Option<(usize, String, String)>;

pub(super) struct Lexer<'t> {
    pub(super) text: &'t [u8],
    pub(super) at: usize,
    carriage_return_told: bool,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t [u8]) -> Lexer<'t> {
        Lexer { text, at: 0, carriage_return_told: false }
    }

    /// The next token and where it begins.
    pub(super) fn next(&mut self) -> Result<(Token, usize), LexFault> {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t')) {
            self.at += 1;
        }
        let start = self.at;
        let Some(first) = self.text.get(start).copied() else {
            return Ok((Token::End, start));
        };
        let token = match first {
            b'a'..=b'z' => {
                self.skip(|b| matches!(b, b'.' | b'_' | b'0'..=b'9' | b'a'..=b'z'));
                Token::Ident
            }
            b'0'..=b'9' => {
                self.skip(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'x'));
                Token::Number
            }
            b'\n' => self.single(Token::Newline),
            b'#' => return self.comment(start),
            b',' => self.single(Token::Comma),
            b'[' => self.single(Token::Open),
            b']' => self.single(Token::Close),
            b'=' => self.single(Token::Assign),
            b';' => self.single(Token::Semicolon),
            b'+' if self.text.get(start + 1) == Some(&b'=') => {
                self.at += 2;
                Token::Add
            }
            b'"' | b'\'' => return self.string(start, first),
            _ => {
                // Whoever goes on after a fault must find less than before.
                self.at += 1;
                return Err(self.stray(start, first));
            }
        };
        Ok((token, start))
    }

    fn single(&mut self, token: Token) -> Token {
        self.at += 1;
        token
    }

    pub(super) fn skip(&mut self, wanted: impl Fn(u8) -> bool) {
        while self.text.get(self.at).is_some_and(|b| wanted(*b)) {
            self.at += 1;
        }
    }

    /// A comment is only one with its line end (`\#.*\n`); a lone `#` as the last character of the file is passed over.
    fn comment(&mut self, start: usize) -> Result<(Token, usize), LexFault> {
        self.skip(|b| b != b'\n');
        if self.at < self.text.len() {
            self.at += 1;
            return Ok((Token::Newline, start));
        }
        if start + 1 == self.text.len() {
            return Ok((Token::End, start));
        }
        Err(Some((
            start,
            "the last line is a comment and has no line end, which xl refuses".into(),
            "a line end after the comment".into(),
        )))
    }

    fn string(&mut self, start: usize, quote: u8) -> Result<(Token, usize), LexFault> {
        let mut at = start + 1;
        loop {
            match self.text.get(at) {
                Some(b'\n') | None => break,
                Some(b'\\') if matches!(self.text.get(at + 1), Some(b'\n') | None) => break,
                Some(b'\\') => at += 2,
                Some(b) if *b == quote => {
                    self.at = at + 1;
                    return dequote(&self.text[start + 1..at], start + 1)
                        .map(|(text, plain)| (Token::Text { text, plain }, start))
                        .map_err(Some);
                }
                Some(_) => at += 1,
            }
        }
        self.at = start + 1;
        Err(Some((start, "the string does not end on its line".into(), format!("a closing {}", char::from(quote)))))
    }

    fn stray(&mut self, start: usize, first: u8) -> LexFault {
        let rest = &self.text[start..];
        let word = &rest[..rest.iter().position(|b| matches!(b, b' ' | b'\t' | b'\n')).unwrap_or(rest.len())];
        let (what, expected) = match first {
            b'\r' if self.carriage_return_told => return None,
            b'\r' => {
                self.carriage_return_told = true;
                (
                    "a carriage return: the lines end as on Windows, which xl refuses".to_string(),
                    "lines that end with a line feed alone",
                )
            }
            b'A'..=b'Z' => {
                (format!("an upper-case letter in {}, which xl refuses", quoted(word)), "keys in lower case, values in quotes")
            }
            // xl's own hint (`likely_python`), and `%` besides.
            b'+'..=b'.' | b'(' | b')' | b':' | b'%' => (
                format!("{} looks like Python, which only xm reads", quoted(word)),
                "plain assignments of strings, numbers and lists",
            ),
            _ => (format!("{} means nothing to xl here", quoted(word)), "`key = value` with a string, a number or a list"),
        };
        Some((start, what, expected.to_string()))
    }
}

/// Resolves the escapes of a string (`libxlu_cfg.c`, `xlu__cfgl_dequote`), and says whether there were none.
fn dequote(inner: &[u8], at: usize) -> Result<(Vec<u8>, bool), (usize, String, String)> {
    let mut text = Vec::with_capacity(inner.len());
    let mut plain = true;
    let mut n = 0;
    while let Some(byte) = inner.get(n) {
        if *byte != b'\\' {
            text.push(*byte);
            n += 1;
            continue;
        }
        plain = false;
        let escaped = inner.get(n + 1).copied().unwrap_or(b'\\');
        text.push(match escaped {
            b'"' | b'\'' | b'\\' => escaped,
            b'a' => 0x07,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0b,
            b'x' => {
                return Err((at + n, "xl refuses every `\\x` in a string".into(), "the character itself".into()));
            }
            b'0'..=b'7' => {
                return Err((
                    at + n,
                    "xl reads an octal escape wrongly and drops the character".into(),
                    "the character itself".into(),
                ));
            }
            _ => {
                let what = format!("xl does not know the escape {}", quoted([b'\\', escaped]));
                return Err((at + n, what, "`\\\\` for a backslash".into()));
            }
        });
        n += 2;
    }
    Ok((text, plain))
}
