//! SIDs as parsed types: two letters and 32 hexadecimal digits.
//!
//! A SID keeps the spelling it came with, because Twilio must get its `streamSid` back byte for byte;
//! two SIDs are equal when they differ in letter case only. No SID can be printed: a call appears in
//! the log as a pseudonym.

use std::fmt;

/// Characters in every SID.
pub const SID_CHARS: usize = 34;

/// The text is not a SID of the expected kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a SID that starts with {0}")]
pub struct SidError(&'static str);

macro_rules! sid {
    ($(#[$doc:meta])+ $name:ident, $prefix:literal) => {
        $(#[$doc])+
        #[derive(Clone, Copy)]
        pub struct $name([u8; SID_CHARS]);

        impl $name {
            /// Parses a SID.
            ///
            /// # Errors
            /// [`SidError`] unless `text` is the prefix and 32 hexadecimal digits of either case.
            pub fn parse(text: &str) -> Result<Self, SidError> {
                let error = SidError($prefix);
                let digits = text.strip_prefix($prefix).ok_or(error)?;
                if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return Err(error);
                }
                text.as_bytes().try_into().map(Self).map_err(|_length| error)
            }

            /// The SID as it was spelled.
            #[must_use]
            pub fn as_str(&self) -> &str {
                // Parsing admits ASCII only, so the fallback is never taken.
                std::str::from_utf8(&self.0).unwrap_or_default()
            }

            /// The SID with its digits in lower case: one form for keys and digests.
            #[must_use]
            pub fn canonical(&self) -> [u8; SID_CHARS] {
                let mut bytes = self.0;
                if let Some(digits) = bytes.get_mut($prefix.len()..) {
                    digits.make_ascii_lowercase();
                }
                bytes
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.canonical() == other.canonical()
            }
        }

        impl Eq for $name {}

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
}

sid! {
    /// A Twilio account: `AC…`.
    AccountSid, "AC"
}
sid! {
    /// A telephone call: `CA…`.
    CallSid, "CA"
}
sid! {
    /// One media stream of a call: `MZ…`.
    StreamSid, "MZ"
}
sid! {
    /// A TwiML application: `AP…`.
    ApplicationSid, "AP"
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: &str = "CA0123456789abcdefABCDEF0123456789";

    #[test]
    fn a_sid_keeps_its_spelling_and_compares_without_case() {
        let sid = CallSid::parse(CALL).unwrap();
        assert_eq!(sid.as_str(), CALL);
        assert_eq!(sid, CallSid::parse("CA0123456789ABCDEFabcdef0123456789").unwrap());
        assert_ne!(sid, CallSid::parse("CA1123456789ABCDEFabcdef0123456789").unwrap());
    }

    #[test]
    fn a_sid_never_shows_itself() {
        assert_eq!(format!("{:?}", CallSid::parse(CALL).unwrap()), "CallSid(…)");
    }

    #[test]
    fn other_prefixes_lengths_and_characters_are_refused() {
        for text in [
            "",
            "CA",
            "AC0123456789abcdefABCDEF0123456789",
            "ca0123456789abcdefABCDEF0123456789",
            "CA0123456789abcdefABCDEF012345678",
            "CA0123456789abcdefABCDEF01234567890",
            "CA0123456789abcdefABCDEF012345678g",
            "CA0123456789abcdefABCDEF01234567é",
            " CA0123456789abcdefABCDEF012345678",
            "CA0123456789abcdefABCDEF012345678\0",
        ] {
            assert_eq!(CallSid::parse(text).unwrap_err(), SidError("CA"), "{text:?}");
        }
        assert!(AccountSid::parse("AC0123456789abcdefABCDEF0123456789").is_ok());
        assert!(StreamSid::parse("MZ0123456789abcdefABCDEF0123456789").is_ok());
        assert!(ApplicationSid::parse("AP0123456789abcdefABCDEF0123456789").is_ok());
    }
}
