//! What happens, in sentences.

/// The two Dom0s.
pub fn name(at: usize) -> &'static str {
    ["dom0-alpha", "dom0-beta"][at]
}

/// Writes down what happens, where somebody wants to read it; a walk through a million states does not.
pub struct Teller<'a>(Option<&'a mut Vec<String>>);

impl<'a> Teller<'a> {
    pub fn silent() -> Teller<'static> {
        Teller(None)
    }

    pub fn new(into: &'a mut Vec<String>) -> Teller<'a> {
        Teller(Some(into))
    }

    pub fn say(&mut self, sentence: impl FnOnce() -> String) {
        if let Some(into) = &mut self.0 {
            into.push(sentence());
        }
    }
}

impl Teller<'_> {
    /// One who writes down for another place what happens within a sentence.
    pub fn inner<'b>(&self, into: &'b mut Vec<String>) -> Teller<'b> {
        Teller(self.0.is_some().then_some(into))
    }
}
