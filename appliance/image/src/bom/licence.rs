//! Licences: which are allowed, and which of an expression's choices is made use of.
//!
//! What is allowed is `policy/licences.toml`. It gives no legal advice: a person wrote that list.

use serde::Deserialize;
use spdx::{Expression, ParseMode};

use super::BomError;

/// A licence as somebody states it, judged.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Licence {
    stated: String,
    used: String,
}

impl Licence {
    /// The expression, as SPDX spells it.
    #[must_use]
    pub fn stated(&self) -> &str {
        &self.stated
    }

    /// The choices that are made use of; of what is only built with, all of them.
    #[must_use]
    pub fn used(&self) -> &str {
        &self.used
    }

    /// Of something that is only built with: nothing of it goes to anybody, so nothing is asked.
    pub(super) fn stated_only(of: &str, text: &str) -> Result<Self, BomError> {
        let expression = parse(of, text)?;
        let stated = expression.to_string();
        Ok(Self { used: stated.clone(), stated })
    }
}

/// The licences that are allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed(Vec<String>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    licence: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    #[expect(dead_code, reason = "for whoever reads the file; it must be there")]
    asks: String,
}

/// What this build comes with.
const BUILT_IN: &str = include_str!("../../../../policy/licences.toml");

impl Allowed {
    /// The list of `policy/licences.toml`.
    ///
    /// # Errors
    /// [`BomError::Allowed`], which a test rules out.
    pub fn built_in() -> Result<Self, BomError> {
        Self::parse(BUILT_IN)
    }

    /// A list in the form of that file.
    ///
    /// # Errors
    /// [`BomError::Allowed`].
    pub fn parse(text: &str) -> Result<Self, BomError> {
        let file: File =
            toml::from_str(text).map_err(|error| BomError::Allowed(error.to_string()))?;
        Ok(Self(file.licence.into_iter().map(|entry| entry.id).collect()))
    }

    /// The licence of `of`, if one of its choices is allowed.
    ///
    /// # Errors
    /// [`BomError::Licence`].
    pub fn judge(&self, of: &str, text: &str) -> Result<Licence, BomError> {
        let expression = parse(of, text)?;
        let is_allowed = |one: &spdx::LicenseReq| self.0.contains(&one.to_string());
        if !expression.evaluate(is_allowed) {
            return Err(BomError::Licence(of.to_owned(), text.to_owned()));
        }
        let mut used: Vec<String> = expression
            .requirements()
            .map(|one| one.req.to_string())
            .filter(|one| self.0.contains(one))
            .collect();
        used.sort();
        used.dedup();
        Ok(Licence { stated: expression.to_string(), used: used.join(", ") })
    }
}

fn parse(of: &str, text: &str) -> Result<Expression, BomError> {
    // Crates older than SPDX have a slash for OR.
    let text = text.replace('/', " OR ");
    Expression::parse_mode(&text, ParseMode::STRICT)
        .map_err(|_error| BomError::Licence(of.to_owned(), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_allowed_choice_is_enough_and_every_part_must_be() {
        let allowed = Allowed::built_in().unwrap();
        let check = |text: &str, used: Option<&str>| {
            let judged = allowed.judge("x 1", text).ok();
            assert_eq!(judged.as_ref().map(Licence::used), used, "{text}");
        };
        check("MIT", Some("MIT"));
        check("MIT/Apache-2.0", Some("Apache-2.0, MIT"));
        check("GPL-3.0-only OR MIT", Some("MIT"));
        check("(MIT OR Apache-2.0) AND Unicode-3.0", Some("Apache-2.0, MIT, Unicode-3.0"));
        check("GPL-2.0-only WITH Linux-syscall-note", Some("GPL-2.0-only WITH Linux-syscall-note"));
        check("GPL-2.0-only", None);
        check("GPL-3.0-or-later", None);
        check("MIT AND GPL-3.0-only", None);
        check("", None);
        check("LicenseRef-whatever", None);
        check("my own", None);
    }
}
