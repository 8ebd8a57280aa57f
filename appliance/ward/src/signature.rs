//! `ward signature`: what Twilio would sign, and what a signature that differs does match.
//!
//! The first thing an operator with a 403 or a 31920 needs: nearly always the URL differs by a port, a
//! slash, the scheme or a query, or a proxy changed the parameters.

use std::path::PathBuf;

use ring::digest;
use serde_json::json;
use ward_twilio::form::Form;
use ward_twilio::signature::{AuthToken, Signature};
use ward_twilio::url::spellings;

use crate::console::{Console, Failure};
use crate::settings::auth_token;

/// The command's own arguments.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The URL as Twilio was given it.
    #[arg(long)]
    url: String,
    /// A form parameter, decoded; may be repeated.
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
    /// A body that is no form; its digest goes into the URL as bodySHA256, unless it is there.
    #[arg(long, value_name = "FILE", conflicts_with = "params")]
    body: Option<PathBuf>,
    /// File that holds the auth token.
    #[arg(long, value_name = "FILE")]
    auth_token_file: PathBuf,
    /// The signature that arrived; says which variant it matches.
    #[arg(long, value_name = "SIGNATURE")]
    check: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// [`Failure::Usage`].
pub fn run(arguments: &Arguments, console: &Console) -> Result<bool, Failure> {
    let rest = arguments.url.split_once("://").map_or("", |(_scheme, rest)| rest);
    if rest.is_empty() || rest.starts_with(['/', '?', '#']) {
        return Err(Failure::Usage(format!("--url {}: no scheme or no host", arguments.url)));
    }
    let token = auth_token(&arguments.auth_token_file)?;
    let params = parameters(&arguments.params)?;
    let url = match &arguments.body {
        Some(path) => {
            let body = std::fs::read(path).map_err(|error| Failure::file(path, error))?;
            with_body_digest(&arguments.url, &body)
        }
        None => arguments.url.clone(),
    };
    let signature = sign(&token, &url, &params).to_base64();
    let Some(check) = &arguments.check else {
        let object = json!({ "url": url, "signature": signature });
        console.result(&object, &signature);
        return Ok(true);
    };
    let wanted = Signature::parse(check.as_bytes())
        .map_err(|_malformed| Failure::Usage("--check takes 28 characters of base64".to_owned()))?;
    let matched = diagnose(&token, &url, &params, &wanted);
    let is_same = wanted.to_base64() == signature;
    let object = json!({
        "url": url,
        "signature": signature,
        "checked": check,
        "matches": is_same,
        "variant": matched.as_ref().map(|variant| json!({
            "url": variant.url,
            "parameters": variant.parameters,
        })),
    });
    let text = match &matched {
        _ if is_same => "the signature is right for this URL and these parameters".to_owned(),
        Some(variant) => {
            format!("the signature is right for {} with {}", variant.url, variant.parameters)
        }
        None => format!(
            "the signature matches no variant tried; expected {signature}. \
             Is it the right account's auth token?"
        ),
    };
    console.result(&object, &text);
    Ok(is_same)
}

type Parameters = Vec<(String, String)>;

fn parameters(params: &[String]) -> Result<Parameters, Failure> {
    let split = |text: &String| {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| Failure::Usage(format!("--param {text}: not NAME=VALUE")))?;
        Ok((name.to_owned(), value.to_owned()))
    };
    params.iter().map(split).collect()
}

fn sign(token: &AuthToken, url: &str, params: &[(String, String)]) -> Signature {
    let fields = params.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    token.sign_form(url, &Form::from_fields(fields))
}

/// The URL with the digest of `body`, unless it names one.
#[must_use]
pub fn with_body_digest(url: &str, body: &[u8]) -> String {
    if url.contains("bodySHA256=") {
        return url.to_owned();
    }
    let separator = if url.contains('?') { '&' } else { '?' };
    let digest = digest::digest(&digest::SHA256, body);
    let nibbles = digest.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
    let hex: String =
        nibbles.filter_map(|nibble| char::from_digit(u32::from(nibble), 16)).collect();
    format!("{url}{separator}bodySHA256={hex}")
}

/// What a signature turned out to be made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// The URL that was signed.
    pub url: String,
    /// The parameters that were signed, in words.
    pub parameters: String,
}

/// Tries every variant of URL and parameters that servers and proxies are known to confuse.
fn diagnose(
    token: &AuthToken,
    url: &str,
    params: &[(String, String)],
    wanted: &Signature,
) -> Option<Variant> {
    let sets = parameter_variants(params);
    for url in url_variants(url) {
        for (words, set) in &sets {
            if sign(token, &url, set).as_bytes() == wanted.as_bytes() {
                return Some(Variant { url, parameters: words.clone() });
            }
        }
    }
    None
}

/// Scheme, port, slash, query and fragment in every combination, the URL itself first.
fn url_variants(url: &str) -> Vec<String> {
    let mut variants = vec![url.to_owned()];
    let mut widen = |change: &dyn Fn(&str) -> Vec<String>| {
        for known in variants.clone() {
            for changed in change(&known) {
                if !variants.contains(&changed) {
                    variants.push(changed);
                }
            }
        }
    };
    widen(&|url| vec![without_after(url, '#')]);
    widen(&|url| vec![without_after(url, '?')]);
    widen(&toggled_slash);
    widen(&|url| match url.split_once("://") {
        Some((_, rest)) => {
            ["https", "http", "wss", "ws"].iter().map(|s| format!("{s}://{rest}")).collect()
        }
        None => Vec::new(),
    });
    widen(&spellings);
    widen(&|url| vec![url.replacen(":443/", ":80/", 1)]);
    variants
}

fn without_after(url: &str, mark: char) -> String {
    url.split_once(mark).map_or(url, |(before, _)| before).to_owned()
}

fn toggled_slash(url: &str) -> Vec<String> {
    let (path, query) = match url.split_once('?') {
        Some((path, query)) => (path, format!("?{query}")),
        None => (url, String::new()),
    };
    let toggled = path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned);
    vec![format!("{toggled}{query}")]
}

/// The parameters as given, none, trimmed, and each one left out.
fn parameter_variants(params: &[(String, String)]) -> Vec<(String, Parameters)> {
    let mut sets = vec![("these parameters".to_owned(), params.to_vec())];
    if params.is_empty() {
        return sets;
    }
    sets.push(("no parameters".to_owned(), Vec::new()));
    let trimmed = params.iter().map(|(n, v)| (n.trim().to_owned(), v.trim().to_owned())).collect();
    sets.push(("white space around values removed".to_owned(), trimmed));
    let nonempty = params.iter().filter(|(_, value)| !value.is_empty()).cloned().collect();
    sets.push(("empty parameters left out".to_owned(), nonempty));
    for (index, (name, _)) in params.iter().enumerate() {
        let mut set = params.to_vec();
        set.remove(index);
        sets.push((format!("{name} left out"), set));
    }
    sets
}

#[cfg(test)]
mod tests {
    use super::*;
    use ward_policy::phi::Secret;

    const URL: &str = "https://www.example.com/api/voice/incoming";

    fn check(signed_url: &str, signed: &[(&str, &str)], expected: Option<(&str, &str)>) {
        let token = AuthToken::new(&Secret::new("12345".to_owned())).unwrap();
        let owned = |list: &[(&str, &str)]| -> Parameters {
            list.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
        };
        let wanted = sign(&token, signed_url, &owned(signed));
        let found = diagnose(&token, URL, &owned(&[("A", "1"), ("B", " 2")]), &wanted);
        let found = found.as_ref().map(|v| (v.url.as_str(), v.parameters.as_str()));
        assert_eq!(found, expected);
    }

    #[test]
    fn a_difference_in_url_or_parameters_is_named() {
        let given = [("A", "1"), ("B", " 2")];
        check(URL, &given, Some((URL, "these parameters")));
        let ported = "https://www.example.com:443/api/voice/incoming";
        check(ported, &given, Some((ported, "these parameters")));
        let slashed = "http://www.example.com/api/voice/incoming/";
        check(slashed, &given, Some((slashed, "these parameters")));
        check(URL, &[], Some((URL, "no parameters")));
        check(URL, &[("A", "1")], Some((URL, "B left out")));
        check(URL, &[("A", "1"), ("B", "2")], Some((URL, "white space around values removed")));
        check("https://other.example.com/", &given, None);
    }

    #[test]
    fn a_body_is_signed_by_its_digest() {
        assert_eq!(
            with_body_digest("https://a.example/x?y", b"{}"),
            "https://a.example/x?y&bodySHA256=44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        );
    }
}
