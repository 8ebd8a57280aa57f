//! What ends a boot, as the one line that says so.

use std::fmt::Display;

use crate::code::Code;

/// Why a phase failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: Code,
    pub(crate) fields: Vec<(&'static str, String)>,
}

impl Fault {
    pub(crate) fn new(code: Code) -> Self {
        Self { code, fields: Vec::new() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Display) -> Self {
        self.fields.push((name, value.to_string()));
        self
    }

    /// The kernel refused `what`.
    pub(crate) fn system(what: &'static str, error: &std::io::Error) -> Self {
        Self::refused(crate::code::SYSTEM_REFUSED, what, error)
    }

    pub(crate) fn refused(code: Code, what: impl Display, error: &std::io::Error) -> Self {
        Self::new(code).with("what", what).with("errno", error.raw_os_error().unwrap_or(0))
    }
}
