//! Every exit code, in one place (design: README, "Exit codes").

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Done, or already so.
    Done = 0,
    /// It failed; what moved was said.
    Failed = 1,
    /// Usage, or a fault in a file.
    Usage = 2,
    /// Refused: not safe; nothing was touched.
    Refused = 3,
    /// A host could not be reached; nothing was touched.
    Unreachable = 4,
    /// Undecided: both ends must be looked at; the commands were given.
    Undecided = 5,
    /// Of several, some did not succeed.
    Partly = 6,
}

impl Exit {
    /// The number.
    pub fn code(self) -> i32 {
        self as i32
    }

    /// The code that a peer gave for the same command.
    pub fn of_code(code: i32) -> Exit {
        match code {
            0 => Exit::Done,
            2 => Exit::Usage,
            3 => Exit::Refused,
            4 => Exit::Unreachable,
            5 => Exit::Undecided,
            6 => Exit::Partly,
            _ => Exit::Failed,
        }
    }
}

/// What ends a command before its end: the code, and what a person reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// The exit code.
    pub exit: Exit,
    /// The message, several lines perhaps.
    pub text: String,
}

impl Stop {
    /// A stop with its reason.
    pub fn new(exit: Exit, text: impl Into<String>) -> Stop {
        Stop { exit, text: text.into() }
    }
}

impl From<crate::adapters::store::StoreError> for Stop {
    fn from(error: crate::adapters::store::StoreError) -> Stop {
        use crate::adapters::store::StoreError;
        let exit = match error {
            StoreError::Faulty { .. } | StoreError::Unreadable { .. } => Exit::Usage,
            _ => Exit::Failed,
        };
        Stop::new(exit, error.to_string())
    }
}

impl From<crate::adapters::peer::PeerError> for Stop {
    fn from(error: crate::adapters::peer::PeerError) -> Stop {
        use crate::adapters::peer::PeerError;
        let exit = match error {
            PeerError::Refused { .. } => Exit::Refused,
            PeerError::NotDone { .. } | PeerError::Failed { .. } => Exit::Failed,
            _ => Exit::Unreachable,
        };
        Stop::new(exit, error.to_string())
    }
}

impl From<crate::adapters::here::HereError> for Stop {
    fn from(error: crate::adapters::here::HereError) -> Stop {
        Stop::new(Exit::Failed, error.to_string())
    }
}
