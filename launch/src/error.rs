//! How a command ends: exit code 0 good, 1 ran but fell short, 2 bad input.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

/// How well a command that ran to its end did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    Good,
    Short,
}

impl From<Grade> for ExitCode {
    fn from(grade: Grade) -> Self {
        match grade {
            Grade::Good => ExitCode::SUCCESS,
            Grade::Short => ExitCode::from(1),
        }
    }
}

/// Why a command did not run to its end.
#[derive(Debug)]
pub enum CommandError {
    /// Nothing ran, because something that was given has to change first.
    Input(Box<dyn Error>),
    /// Something failed on the way.
    Failed(Box<dyn Error>),
}

impl CommandError {
    pub fn exit_code(&self) -> ExitCode {
        match self {
            CommandError::Input(_) => ExitCode::from(2),
            CommandError::Failed(_) => ExitCode::from(1),
        }
    }

    pub fn input(error: impl Into<Box<dyn Error>>) -> Self {
        Self::Input(error.into())
    }

    pub fn failed(error: impl Into<Box<dyn Error>>) -> Self {
        Self::Failed(error.into())
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (CommandError::Input(error) | CommandError::Failed(error)) = self;
        write!(f, "{error}")
    }
}
