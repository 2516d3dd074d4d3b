//! placeholder until the branch that owns it is merged
#![allow(missing_docs)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub line: u32,
    pub column: u32,
    pub what: String,
    pub expected: String,
}
impl Fault {
    pub fn render(&self, path: &str, _text: impl AsRef<[u8]>) -> String {
        format!(
            "{path}:{}:{}: {}, expected {}",
            self.line, self.column, self.what, self.expected
        )
    }
}
