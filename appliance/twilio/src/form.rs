//! `application/x-www-form-urlencoded`, parsed strictly and without copying where it can.
//!
//! The fields of a webhook are PHI: a [`Form`] cannot be printed. It does not judge which fields
//! there are; [`crate::webhook`] does, after the signature.

use std::borrow::Cow;

use ward_policy::limit;

/// The decoded fields in the order they came.
pub struct Form<'a> {
    fields: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

/// Why a body is no form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// `%` without two hexadecimal digits.
    #[error("a percent sign without two hexadecimal digits")]
    Percent,
    /// The decoded bytes are no UTF-8.
    #[error("a field that is not UTF-8")]
    Text,
    /// More than [`limit::FORM_FIELDS_MAX`].
    #[error("too many fields")]
    Fields,
}

impl<'a> Form<'a> {
    /// Parses a request body; an empty one is a form of no fields.
    ///
    /// # Errors
    /// [`FormError`]; the whole body is refused, because a signature covers all of it.
    pub fn parse(body: &'a [u8]) -> Result<Self, FormError> {
        let mut fields = Vec::new();
        for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            if fields.len() >= limit::FORM_FIELDS_MAX {
                return Err(FormError::Fields);
            }
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let name = decode(halves.next().unwrap_or_default())?;
            let value = decode(halves.next().unwrap_or_default())?;
            fields.push((name, value));
        }
        Ok(Self { fields })
    }

    /// A form of fields that were never encoded, for the one who signs.
    pub fn from_fields(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let fields = fields.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { fields }
    }

    /// The value of the only field called `name`; `None` when it is absent or repeated.
    #[must_use]
    pub fn only(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(key, _)| key == name).map(|(_, value)| value);
        let first = values.next()?;
        values.next().is_none().then_some(first)
    }

    /// Whether any field is called `name`.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(key, _)| key == name)
    }

    /// Names and values sorted by bytes, equal pairs once: the order that signatures use.
    #[must_use]
    pub fn sorted(&self) -> Vec<(&str, &str)> {
        let mut pairs: Vec<(&str, &str)> =
            self.fields.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect();
        pairs.sort_unstable();
        pairs.dedup();
        pairs
    }

    /// The form as a request body.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut body = String::new();
        for (name, value) in &self.fields {
            if !body.is_empty() {
                body.push('&');
            }
            encode_into(name, &mut body);
            body.push('=');
            encode_into(value, &mut body);
        }
        body
    }
}

impl std::fmt::Debug for Form<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Form({} fields)", self.fields.len())
    }
}

fn decode(part: &[u8]) -> Result<Cow<'_, str>, FormError> {
    if !part.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return std::str::from_utf8(part).map(Cow::Borrowed).map_err(|_text| FormError::Text);
    }
    let mut decoded = Vec::with_capacity(part.len());
    let mut bytes = part.iter();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = bytes.next().and_then(hex_digit).ok_or(FormError::Percent)?;
                let low = bytes.next().and_then(hex_digit).ok_or(FormError::Percent)?;
                (high << 4) | low
            }
            other => *other,
        });
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_text| FormError::Text)
}

fn hex_digit(byte: &u8) -> Option<u8> {
    char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn encode_into(text: &str, body: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._*".contains(&byte) {
            body.push(char::from(byte));
        } else if byte == b' ' {
            body.push('+');
        } else {
            body.push('%');
            for nibble in [byte >> 4, byte & 0x0f] {
                body.extend(DIGITS.get(usize::from(nibble)).copied().map(char::from));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, expected: &[(&str, &str)]) {
        let form = Form::parse(body.as_bytes()).unwrap();
        let got: Vec<(&str, &str)> = form.fields.iter().map(|(n, v)| (&**n, &**v)).collect();
        assert_eq!(got, expected, "{body}");
    }

    #[test]
    fn fields_are_decoded_in_order() {
        check("", &[]);
        check("a=1&b=2&a=1", &[("a", "1"), ("b", "2"), ("a", "1")]);
        check("From=%2B1415+867&To=caf%C3%a9", &[("From", "+1415 867"), ("To", "café")]);
        check("a&=b&&c==d", &[("a", ""), ("", "b"), ("c", "=d")]);
    }

    #[test]
    fn malformed_bodies_are_refused() {
        assert_eq!(Form::parse(b"a=%").unwrap_err(), FormError::Percent);
        assert_eq!(Form::parse(b"a=%4").unwrap_err(), FormError::Percent);
        assert_eq!(Form::parse(b"a=%4g").unwrap_err(), FormError::Percent);
        assert_eq!(Form::parse(b"a=%FF").unwrap_err(), FormError::Text);
        assert_eq!(Form::parse(b"a=\xFF").unwrap_err(), FormError::Text);
        let many = "a=1&".repeat(limit::FORM_FIELDS_MAX + 1);
        assert_eq!(Form::parse(many.as_bytes()).unwrap_err(), FormError::Fields);
    }

    #[test]
    fn only_finds_a_field_that_stands_once() {
        let form = Form::parse(b"a=1&b=2&a=3").unwrap();
        assert_eq!(form.only("b"), Some("2"));
        assert_eq!(form.only("a"), None);
        assert_eq!(form.only("c"), None);
        assert!(form.has("a") && !form.has("c"));
    }

    #[test]
    fn encoding_and_parsing_are_inverse() {
        let fields = [("Näme", "a b+c&d=e%"), ("", ""), ("x*-._~", "\u{1F3E5}\r\n")];
        let body = Form::from_fields(fields).encode();
        check(&body, &fields);
    }
}
