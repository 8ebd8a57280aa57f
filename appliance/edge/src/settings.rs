//! Settings: one `NAME=value` a line, by the names operators know, every problem reported at once.
//!
//! Unknown names are refused. A value is taken as it stands; only one pair of surrounding quotes is
//! removed, because env files carry them. Problems name the setting and never its value.

use std::collections::BTreeMap;
use std::fmt;

use ward_policy::phi::Secret;

/// Named values that have not been judged yet.
#[derive(Default)]
pub struct Settings {
    values: BTreeMap<String, Secret<String>>,
    problems: Vec<Problem>,
}

/// Something the operator should change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The setting's name, or the number of an unusable line.
    pub setting: String,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.what)
    }
}

impl Settings {
    /// Reads a document of `NAME=value` lines; empty lines and lines that begin with `#` are skipped.
    #[must_use]
    pub fn parse(document: &str) -> Self {
        let mut settings = Self::default();
        for (index, line) in document.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let number = format!("line {}", index.saturating_add(1));
            // A secret pasted over several lines may hold `=` as well: what is no name is not shown.
            match line.split_once('=').filter(|(name, _)| is_name(name.trim())) {
                Some((name, value)) => settings.set(name.trim(), unquoted(value.trim())),
                None => settings.problem(&number, "is not NAME=value"),
            }
        }
        settings
    }

    /// Sets one value; a name that is set twice is a problem.
    pub fn set(&mut self, name: &str, value: &str) {
        let secret = Secret::new(value.to_owned());
        if self.values.insert(name.to_owned(), secret).is_some() {
            self.problem(shown(name, value), "is set twice");
        }
    }

    /// Whether there is a value.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| !value.expose().is_empty())
    }

    /// Takes a value out, unjudged.
    pub fn take(&mut self, name: &str) -> Option<Secret<String>> {
        self.values.remove(name).filter(|value| !value.expose().is_empty())
    }

    /// Takes a value out and parses it; `None` when it is absent or, with a problem noted, unusable.
    pub fn optional<T, E: fmt::Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let value = self.take(name)?;
        match parse(value.expose()) {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.problem(name, &error.to_string());
                None
            }
        }
    }

    /// The same for a value without which the server cannot run.
    pub fn required<T, E: fmt::Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        if self.values.get(name).is_none_or(|value| value.expose().is_empty()) {
            self.values.remove(name);
            self.problem(name, "is required");
            return None;
        }
        self.optional(name, parse)
    }

    /// Notes a problem.
    pub fn problem(&mut self, setting: &str, what: &str) {
        self.problems.push(Problem { setting: setting.to_owned(), what: what.to_owned() });
    }

    /// Every problem found, names that nothing asked for included.
    #[must_use]
    pub fn into_problems(mut self) -> Vec<Problem> {
        for (name, value) in std::mem::take(&mut self.values) {
            self.problem(shown(&name, value.expose()), "is not a setting of this server");
        }
        self.problems
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.values.keys()).finish()
    }
}

fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    text.len() <= 64
        && text.starts_with(|first: char| first.is_ascii_uppercase())
        && text.bytes().all(plain)
}

/// How a name that may be none is called: what stands before nothing but padding is the end of a secret in
/// base32 or base64 sooner than a setting.
fn shown<'n>(name: &'n str, value: &str) -> &'n str {
    if value.bytes().all(|byte| byte == b'=') { "a name without a value" } else { name }
}

fn unquoted(value: &str) -> &str {
    let inner = |quote| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    inner('"').or_else(|| inner('\'')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Result<u16, std::num::ParseIntError> {
        text.parse()
    }

    #[test]
    fn values_are_taken_by_name() {
        let mut settings = Settings::parse("# comment\n\nPORT = 443\nNAME=\"a=b\"\nEMPTY=\n");
        assert_eq!(settings.required("PORT", number), Some(443));
        assert_eq!(settings.take("NAME").unwrap().expose(), "a=b");
        assert!(settings.take("EMPTY").is_none());
        assert_eq!(settings.optional("ABSENT", number), None);
        assert!(settings.into_problems().is_empty());
    }

    #[test]
    fn every_problem_is_reported_at_once_and_no_value_is_shown() {
        let mut settings = Settings::parse(
            "PORT=x\nPORT=y\nnonsense\nSECRET_TYPO=hunter2\nMC4hunter2n9g==\n\
            MFRGGZDF===\nMFRGGZDF=\n",
        );
        assert_eq!(settings.required("PORT", number), None);
        assert_eq!(settings.required("HOST", number), None);
        let problems: Vec<String> =
            settings.into_problems().iter().map(ToString::to_string).collect();
        assert_eq!(
            problems,
            [
                "PORT: is set twice",
                "line 3: is not NAME=value",
                "line 5: is not NAME=value",
                "a name without a value: is set twice",
                "PORT: invalid digit found in string",
                "HOST: is required",
                "a name without a value: is not a setting of this server",
                "SECRET_TYPO: is not a setting of this server",
            ]
        );
        assert!(!problems.join("").contains("hunter2") && !problems.join("").contains("MFRGG"));
    }
}
