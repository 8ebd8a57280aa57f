//! The head of a request to a vendor, with everything that its entry demands; and the members it demands of a body.
//!
//! What a connector cannot carry is refused, never left out. It sends nothing and holds no credential.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use ward_policy::connector::{Manner, RequestMust, RequestPlace};
use ward_policy::fault::ServiceFault;
use ward_policy::service::Service;

/// Why nothing is asked of a vendor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsuited {
    /// Its entry does not say how it is spoken to.
    NoManner,
    /// It speaks a dialect of another service.
    ForeignDialect,
    /// A request of that kind has no such place.
    Place(RequestPlace),
    /// It demands another value than the one that the connector needs.
    Clash,
    /// It cannot stand in a request.
    Malformed,
}

impl From<Unsuited> for ServiceFault {
    fn from(_why: Unsuited) -> Self {
        Self::Unsuited
    }
}

/// Header fields that are the connection's own.
const OWN_FIELDS: [&str; 8] = [
    "authorization",
    "connection",
    "content-length",
    "host",
    "sec-websocket-protocol",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// How a vendor is spoken to, if it does `service`.
pub(super) fn manner_for(manner: Option<Manner>, service: Service) -> Result<Manner, Unsuited> {
    let manner = manner.ok_or(Unsuited::NoManner)?;
    let is_right = manner.connector.dialect.service() == service;
    if is_right { Ok(manner) } else { Err(Unsuited::ForeignDialect) }
}

/// The head of a request in this `manner`, with `query` and every must of the entry; `carries` are the places that this
/// kind of request has. Musts with a place in the body are for [`members`].
pub(super) fn head(
    manner: &Manner,
    method: Method,
    query: &[(&str, &str)],
    carries: &[RequestPlace],
) -> Result<Request<()>, Unsuited> {
    let foreign = manner.musts.iter().find(|must| !carries.contains(&must.place));
    if let Some(must) = foreign {
        return Err(Unsuited::Place(must.place));
    }
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = target(manner, query)?;
    let headers = request.headers_mut();
    for must in at(manner, RequestPlace::Header) {
        let name = HeaderName::from_bytes(must.name.as_bytes());
        let name = name.map_err(|_name| Unsuited::Malformed)?;
        let value = HeaderValue::from_str(&must.value).map_err(|_value| Unsuited::Malformed)?;
        if OWN_FIELDS.contains(&name.as_str()) || name.as_str().starts_with("sec-websocket-") {
            return Err(Unsuited::Clash);
        }
        headers.append(name, value);
    }
    let offered: Vec<&str> = at(manner, RequestPlace::Subprotocol)
        .flat_map(|must| [must.name.as_str(), must.value.as_str()])
        .filter(|word| !word.is_empty())
        .collect();
    if !offered.is_empty() {
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if !offered.iter().all(|word| word.bytes().all(is_token)) {
            return Err(Unsuited::Malformed);
        }
        let value = HeaderValue::from_str(&offered.join(", "));
        let value = value.map_err(|_value| Unsuited::Malformed)?;
        headers.insert(hyper::header::SEC_WEBSOCKET_PROTOCOL, value);
    }
    Ok(request)
}

/// Sets a header of ours, unless the entry demands one of that name.
pub(super) fn default_header(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.entry(name).or_insert(HeaderValue::from_static(value));
}

/// The musts with that place.
fn at(manner: &Manner, place: RequestPlace) -> impl Iterator<Item = &RequestMust> {
    manner.musts.iter().filter(move |must| must.place == place)
}

fn target(manner: &Manner, query: &[(&str, &str)]) -> Result<Uri, Unsuited> {
    let path = &manner.connector.path;
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"?#".contains(&byte);
    if !path.starts_with('/') || !path.bytes().all(is_plain) {
        return Err(Unsuited::Malformed);
    }
    let mut text = path.clone();
    let musts = || at(manner, RequestPlace::Query);
    for must in musts() {
        let mut same = query.iter().filter(|(name, _)| *name == must.name);
        if same.any(|(_, value)| *value != must.value) {
            return Err(Unsuited::Clash);
        }
    }
    let ours = query.iter().copied();
    let is_new = |must: &&RequestMust| query.iter().all(|(name, _)| *name != must.name);
    let theirs = musts().filter(is_new).map(|must| (must.name.as_str(), must.value.as_str()));
    for (place, (name, value)) in ours.chain(theirs).enumerate() {
        text.push(if place == 0 { '?' } else { '&' });
        escape(name, &mut text);
        text.push('=');
        escape(value, &mut text);
    }
    text.parse().map_err(|_uri| Unsuited::Malformed)
}

/// Appends `text` as RFC 3986 has it in a query: everything that is not unreserved is escaped.
fn escape(text: &str, escaped: &mut String) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let digit = |number: u8| DIGITS.get(usize::from(number)).copied().unwrap_or_default();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

/// A JSON object in the making.
pub(super) struct Members(Vec<u8>);

impl Members {
    /// An object that begins with what the entry demands of a body; `own` are the names that the connector needs
    /// itself.
    pub(super) fn begin(manner: &Manner, own: &[&str], room: usize) -> Result<Self, Unsuited> {
        let mut members = Self(Vec::with_capacity(room));
        members.0.push(b'{');
        for must in at(manner, RequestPlace::Body) {
            if own.contains(&must.name.as_str()) {
                return Err(Unsuited::Clash);
            }
            let is_bare = matches!(must.value.as_str(), "true" | "false")
                || serde_json::from_str::<serde_json::Number>(&must.value).is_ok();
            if is_bare {
                members.raw(&must.name, &must.value);
            } else {
                members.text(&must.name, &must.value);
            }
        }
        Ok(members)
    }

    /// Adds a member whose value is JSON already.
    pub(super) fn raw(&mut self, name: &str, json: &str) {
        self.name(name);
        self.0.extend_from_slice(json.as_bytes());
    }

    /// Adds a member whose value is a string.
    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        self.string(text);
    }

    /// Begins a member; its value follows.
    pub(super) fn name(&mut self, name: &str) {
        if !self.0.ends_with(b"{") {
            self.0.push(b',');
        }
        self.string(name);
        self.0.push(b':');
    }

    /// Bytes that are JSON already.
    pub(super) fn json(&mut self, json: &str) {
        self.0.extend_from_slice(json.as_bytes());
    }

    /// A JSON string.
    pub(super) fn string(&mut self, text: &str) {
        // Writing to a vector cannot fail.
        serde_json::to_writer(&mut self.0, text).unwrap_or_default();
    }

    /// The whole object.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }
}

/// What a status means; `None` when it is no fault.
pub(super) fn fault_of_status(status: StatusCode) -> Option<ServiceFault> {
    match status.as_u16() {
        101 | 200..=299 => None,
        401 | 403 => Some(ServiceFault::Unauthorized),
        402 | 429 => Some(ServiceFault::Quota),
        400..=499 => Some(ServiceFault::Rejected),
        500..=599 => Some(ServiceFault::Broken),
        _ => Some(ServiceFault::Garbage),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use ward_policy::connector::{Connector, Dialect};

    /// A manner with musts of the form (place, name, value).
    pub(in crate::vendor) fn manner(
        dialect: Dialect,
        path: &str,
        musts: &[(RequestPlace, &str, &str)],
    ) -> Manner {
        let connector = Connector { dialect, path: path.to_owned(), model: "a-model".to_owned() };
        let must = |(place, name, value): &(RequestPlace, &str, &str)| RequestMust {
            place: *place,
            name: (*name).to_owned(),
            value: (*value).to_owned(),
        };
        Manner { connector, musts: musts.iter().map(must).collect() }
    }

    const ALL: [RequestPlace; 3] =
        [RequestPlace::Query, RequestPlace::Header, RequestPlace::Subprotocol];

    fn asked(musts: &[(RequestPlace, &str, &str)]) -> Result<Request<()>, Unsuited> {
        let manner = manner(Dialect::DeepgramListen, "/v1/listen", musts);
        head(&manner, Method::GET, &[("model", "a-model")], &ALL)
    }

    #[test]
    fn every_must_has_its_place() {
        let request = asked(&[
            (RequestPlace::Query, "mip_opt_out", "true"),
            (RequestPlace::Query, "tag", "a&b=c \u{e9}"),
            (RequestPlace::Query, "model", "a-model"),
            (RequestPlace::Header, "X-Retention", "none"),
            (RequestPlace::Subprotocol, "one", "two"),
        ])
        .unwrap();
        let expected = "/v1/listen?model=a-model&mip_opt_out=true&tag=a%26b%3Dc%20%C3%A9";
        assert_eq!(request.uri(), expected);
        assert_eq!(request.headers()["x-retention"], "none");
        assert_eq!(request.headers()["sec-websocket-protocol"], "one, two");
    }

    #[test]
    fn what_cannot_be_carried_is_refused() {
        for (must, expected) in [
            ((RequestPlace::Body, "store", "false"), Unsuited::Place(RequestPlace::Body)),
            ((RequestPlace::Query, "model", "other"), Unsuited::Clash),
            ((RequestPlace::Header, "Authorization", "mine"), Unsuited::Clash),
            ((RequestPlace::Header, "Sec-WebSocket-Key", "mine"), Unsuited::Clash),
            ((RequestPlace::Header, "a b", "c"), Unsuited::Malformed),
            ((RequestPlace::Header, "a", "b\r\nc: d"), Unsuited::Malformed),
            ((RequestPlace::Subprotocol, "a,b", "c"), Unsuited::Malformed),
        ] {
            assert_eq!(asked(&[must]).unwrap_err(), expected, "{must:?}");
        }
        for path in ["", "v1", "/v1?a=b", "/v 1", "/v1\r\nHost: x"] {
            let manner = manner(Dialect::DeepgramListen, path, &[]);
            assert!(head(&manner, Method::GET, &[], &ALL).is_err(), "{path}");
        }
        let manner = manner(Dialect::Messages, "/v1", &[]);
        let found = manner_for(Some(manner), Service::Voice).unwrap_err();
        assert_eq!(found, Unsuited::ForeignDialect);
        assert_eq!(manner_for(None, Service::Voice).unwrap_err(), Unsuited::NoManner);
    }

    #[test]
    fn members_of_a_body_have_their_types() {
        let body = |name, value| {
            let manner = manner(Dialect::Messages, "/", &[(RequestPlace::Body, name, value)]);
            let mut members = Members::begin(&manner, &["stream"], 64)?;
            members.text("input", "\"x\"\n");
            Ok(String::from_utf8(members.end()).unwrap())
        };
        for (value, expected) in [
            ("false", "false"),
            ("0", "0"),
            ("-1.5e3", "-1.5e3"),
            ("none", "\"none\""),
            ("01", "\"01\""),
            ("a\"b", "\"a\\\"b\""),
        ] {
            let expected = format!("{{\"store\":{expected},\"input\":\"\\\"x\\\"\\n\"}}");
            assert_eq!(body("store", value), Ok(expected));
        }
        assert_eq!(body("stream", "false"), Err(Unsuited::Clash));
    }

    #[test]
    fn statuses_are_faults_of_somebody() {
        let fault = |status| fault_of_status(StatusCode::from_u16(status).unwrap());
        assert_eq!((fault(200), fault(101)), (None, None));
        for (status, expected) in [
            (401, ServiceFault::Unauthorized),
            (403, ServiceFault::Unauthorized),
            (402, ServiceFault::Quota),
            (429, ServiceFault::Quota),
            (400, ServiceFault::Rejected),
            (404, ServiceFault::Rejected),
            (500, ServiceFault::Broken),
            (529, ServiceFault::Broken),
            (302, ServiceFault::Garbage),
            (103, ServiceFault::Garbage),
        ] {
            assert_eq!(fault(status), Some(expected), "{status}");
        }
    }
}
