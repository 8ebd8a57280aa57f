//! How a vendor's own short-lived token is fetched, as data, and what can be wrong with that. It fetches nothing.

use serde::Deserialize;

use crate::connector::is_path;
use crate::limit;

/// How the token is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum MintMethod {
    /// Without a body.
    Get,
    /// With a body, or an empty one.
    Post,
}

impl MintMethod {
    /// The word in the request line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// A header field with a fixed value, which is no secret.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MintHeader {
    /// Its name, in lower case.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// One request to the host of purpose `token`, with the vendor's key, and where the token stands in the answer.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mint {
    /// The method.
    pub method: MintMethod,
    /// The path, with its query.
    pub path: String,
    /// The header field that carries the key, in lower case.
    pub key_header: String,
    /// What stands before the key in it, its space included.
    #[serde(default)]
    pub key_prefix: String,
    /// More fields that the vendor wants.
    #[serde(default)]
    pub headers: Vec<MintHeader>,
    /// The body, in JSON.
    #[serde(default)]
    pub body: Option<String>,
    /// The body, in the form that OAuth 2.0 asks for (`application/x-www-form-urlencoded`, RFC 6749); this or the other.
    #[serde(default)]
    pub form: Option<String>,
    /// Where the token stands in the answer: a JSON Pointer (RFC 6901).
    pub token: String,
    /// Where the answer says for how many seconds the token is good. Without this and the next, it is taken to be
    /// good for the entry's longest life, which the request has to ask for.
    #[serde(default)]
    pub expires_in: Option<String>,
    /// Where it says when the token ends, in seconds since 1970-01-01.
    #[serde(default)]
    pub expires_at: Option<String>,
}

impl Mint {
    /// What is sent besides the head, after its content type.
    #[must_use]
    pub fn sent(&self) -> Option<(&'static str, &str)> {
        let json = self.body.as_deref().map(|body| ("application/json", body));
        json.or_else(|| Some(("application/x-www-form-urlencoded", self.form.as_deref()?)))
    }
}

/// Fields that the broker writes itself, or that would change where the request ends.
const OURS: [&str; 8] = [
    "accept",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "transfer-encoding",
    "upgrade",
];

fn is_short(text: &str) -> bool {
    text.len() <= limit::MINT_WORD_CHARS_MAX
}

fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && is_short(name) && name.bytes().all(is_plain) && !OURS.contains(&name)
}

/// Printable ASCII: nothing that could begin another line.
fn is_value(value: &str) -> bool {
    is_short(value) && value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

/// Names and values in what a form may hold unencoded, and escapes.
fn is_form(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"=&+%-._*".contains(&byte);
    !text.is_empty() && text.bytes().all(is_plain)
}

fn is_pointer(pointer: &str) -> bool {
    pointer.len() > 1 && pointer.starts_with('/') && is_value(pointer)
}

/// Tells `check` everything about it.
pub(super) fn check_mint(mint: &Mint, check: &mut impl FnMut(bool, &str)) {
    check(is_path(&mint.path), "the mint's path is no path that begins with /");
    let names = || mint.headers.iter().map(|header| &header.name).chain([&mint.key_header]);
    check(
        names().all(|name| is_name(name)),
        "a header of the mint has no name in lower case, or one that is not the registry's to set",
    );
    let distinct: std::collections::BTreeSet<_> = names().collect();
    check(distinct.len() == names().count(), "a header of the mint is there twice");
    check(mint.headers.len() <= limit::MINT_HEADERS_MAX, "the mint has too many headers");
    let values = || mint.headers.iter().map(|header| &header.value).chain([&mint.key_prefix]);
    check(values().all(|value| is_value(value)), "a header of the mint is not printable ASCII");
    let is_json = |body: &String| serde_json::from_str::<serde::de::IgnoredAny>(body).is_ok();
    check(mint.body.as_ref().is_none_or(is_json), "the mint's body is not JSON");
    check(mint.form.as_deref().is_none_or(is_form), "the mint's form is not encoded as one");
    check(mint.body.is_none() || mint.form.is_none(), "the mint has a body or a form, not both");
    let sent = mint.sent().map_or(0, |(_, text)| text.len());
    check(sent <= limit::MINT_BODY_BYTES_MAX, "the mint's body is too long");
    let has_place = mint.method == MintMethod::Post || mint.sent().is_none();
    check(has_place, "a mint that is a GET has no body");
    let lives = [&mint.expires_in, &mint.expires_at];
    let pointers = lives.into_iter().flatten().chain([&mint.token]);
    let mut pointers = pointers.map(|pointer| is_pointer(pointer));
    check(
        pointers.all(|is_fine| is_fine),
        "a member of the mint's answer is named by no JSON Pointer",
    );
    let is_one = mint.expires_in.is_none() || mint.expires_at.is_none();
    check(is_one, "the mint's answer says its life in one way: expires_in or expires_at");
}
