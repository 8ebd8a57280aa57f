//! AWS Signature Version 4, of a request without a query: what Secrets Manager's interface is made of.
//!
//! By the description in the AWS General Reference, "Create a signed AWS API request". It sends nothing and asks no clock. Secrets
//! in what it signs are wiped with it.

use std::fmt::Write as _;

use ring::{digest, hmac};
use ward_policy::date::Date;
use ward_policy::phi::Secret;

/// What one signs with.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "its key must never be printed")]
pub struct Credentials<'a> {
    /// Which key: it stands in every request.
    pub access_key_id: &'a str,
    /// The key.
    pub secret_access_key: &'a [u8],
}

/// A request, as it will be sent.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "a session token may be among the headers")]
pub struct ToSign<'a> {
    /// The method.
    pub method: &'a str,
    /// The path, with everything in it encoded that has to be. There is no query.
    pub path: &'a str,
    /// Every header that is to be signed, each once, in lower case, `host` and `x-amz-date` among them.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
    /// AWS's name of the region.
    pub region: &'a str,
    /// AWS's name of the service.
    pub service: &'a str,
    /// Seconds since 1970-01-01, the same as in `x-amz-date`.
    pub at_s: u64,
}

const DAY_S: u64 = 86_400;

/// The value of `x-amz-date`: `20150830T123600Z`.
#[must_use]
pub fn amz_date(at_s: u64) -> String {
    let (day, second) = (day(at_s), at_s % DAY_S);
    format!("{day}T{:02}{:02}{:02}Z", second / 3_600, second / 60 % 60, second % 60)
}

fn day(at_s: u64) -> String {
    let date = Date::from_days(i64::try_from(at_s / DAY_S).unwrap_or(i64::MAX / 2));
    date.to_string().replace('-', "")
}

/// The value of the header `authorization`.
#[must_use]
pub fn authorization(request: &ToSign<'_>, credentials: Credentials<'_>) -> String {
    let mut headers = request.headers.to_vec();
    headers.sort_unstable();
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let day = day(request.at_s);
    let scope = format!("{day}/{}/{}/aws4_request", request.region, request.service);
    let text = format!(
        "AWS4-HMAC-SHA256\n{}\n{scope}\n{}",
        amz_date(request.at_s),
        hex(&sha256(canonical(request, &headers, &names).expose().as_bytes()))
    );
    let mut first = Secret::new(Vec::with_capacity(4 + credentials.secret_access_key.len()));
    first.expose_mut().extend_from_slice(b"AWS4");
    first.expose_mut().extend_from_slice(credentials.secret_access_key);
    let words = [&day, request.region, request.service, "aws4_request"];
    let key = words.into_iter().fold(first, |key, word| tag(&key, word.as_bytes()));
    let signature = tag(&key, text.as_bytes());
    format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={}",
        credentials.access_key_id,
        hex(signature.expose())
    )
}

/// The request in the one form in which it is signed.
fn canonical(request: &ToSign<'_>, headers: &[(&str, &str)], names: &str) -> Secret<String> {
    // A session token is among them: a block that grows would leave a copy behind.
    let bytes = headers.iter().map(|(name, value)| name.len() + value.len() + 2).sum::<usize>();
    let bytes = bytes + request.method.len() + request.path.len() + names.len() + 128;
    let mut text = Secret::new(String::with_capacity(bytes));
    let out = text.expose_mut();
    // Writing to a String cannot fail.
    write!(out, "{}\n{}\n\n", request.method, request.path).unwrap_or_default();
    for (name, value) in headers {
        out.push_str(name);
        out.push(':');
        for (place, word) in value.split_ascii_whitespace().enumerate() {
            if place > 0 {
                out.push(' ');
            }
            out.push_str(word);
        }
        out.push('\n');
    }
    write!(out, "\n{names}\n{}", hex(&sha256(request.body))).unwrap_or_default();
    text
}

fn tag(key: &Secret<Vec<u8>>, text: &[u8]) -> Secret<Vec<u8>> {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.expose()), text);
    Secret::new(tag.as_ref().to_vec())
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest::digest(&digest::SHA256, bytes).as_ref().try_into().unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first example of AWS's own test suite, `get-vanilla`; `tests/credentials` has the rest of it.
    #[test]
    fn the_first_published_vector_holds() {
        let request = ToSign {
            method: "GET",
            path: "/",
            headers: &[("x-amz-date", "20150830T123600Z"), ("host", "example.amazonaws.com")],
            body: b"",
            region: "us-east-1",
            service: "service",
            at_s: 1_440_938_160,
        };
        let credentials = Credentials {
            access_key_id: "AKIDEXAMPLE",
            secret_access_key: b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        };
        assert_eq!(amz_date(request.at_s), "20150830T123600Z");
        assert_eq!(
            authorization(&request, credentials),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, \
             Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        );
    }
}
