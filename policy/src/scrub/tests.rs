//! The scanner, class by class: what it finds, what comes close, and that it reads anything in linear time.

use super::legal::Random;
use super::*;

/// `text` alone, in a sentence and in a field of a line: `class` is found in all or in none.
#[track_caller]
fn check(class: Class, text: &str, expected: bool) {
    for line in [
        text.to_owned(),
        format!("Please note {text} and thank you\n"),
        format!("{{\"at_ms\":7,\"role\":\"media\",\"event\":\"x\",\"text\":\"{text}\"}}\n"),
    ] {
        assert_eq!(scan(line.as_bytes()).contains(class), expected, "{} {line}", class.name());
    }
}

#[track_caller]
fn check_all(class: Class, found: &[&str], passed: &[&str]) {
    found.iter().for_each(|text| check(class, text, true));
    passed.iter().for_each(|text| check(class, text, false));
}

#[test]
fn telephone_numbers() {
    check_all(
        Class::E164,
        &[
            "+14155550132",
            "+442071838750",
            "+1 415 555 0132",
            "+1-415-555-0132",
            "+1.415.555.0132",
            "+1 (415) 555-0132",
            "+49 (0) 30 123456",
            "+1\u{a0}415\u{a0}555\u{a0}0132",
            "+1 \u{2013} 415 \u{2013} 555 \u{2013} 0132",
            "+1-780-563-6083x7783",
            "From=%2B14155550132&To=x",
            "From=%2B1+415+555+0132&To=x",
            "tel:+14155550132;ext=5",
            "+12345678",
            "+123456789012345",
        ],
        &[
            "14155550132",
            "+1234567",
            "+1234567890123456",
            "+ 14155550132",
            "+0100",
            "+0123456789",
            "+1 415",
            "+1, 415, 555, 0132",
            "C++17",
            "UTC+05:30",
            "+1/4155550132",
            "+6128 -3125",
        ],
    );
}

#[test]
fn twilio_sids() {
    check_all(
        Class::TwilioSid,
        &[
            "CA0123456789abcdef0123456789abcdef",
            "MZ0123456789ABCDEF0123456789ABCDEF",
            "ac0123456789abcdef0123456789abcdef",
            "/Accounts/SK0123456789abcdef0123456789abcdef/Calls",
            "recording_RE0123456789abcdef0123456789abcdef_1.wav",
            r"\nCA0123456789abcdef0123456789abcdef\n",
            "url=%2FCalls%2FCA0123456789abcdef0123456789abcdef%22%2C",
        ],
        &[
            "CA0123456789abcdef0123456789abcde",
            "CA0123456789abcdef0123456789abcdef0",
            "C10123456789abcdef0123456789abcdef",
            "CA0123456789abcdeg0123456789abcdef",
            "0123456789abcdef0123456789abcdef",
            "xCA0123456789abcdef0123456789abcdef",
            "ACxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        ],
    );
}

#[test]
fn bearer_tokens() {
    check_all(
        Class::Bearer,
        &[
            "Bearer abcDEF123456",
            "bearer 0123456789",
            "BEARER sk-abcdefgh1",
            "Basic dXNlcjpwYXNz",
            "Authorization: Bearer x",
            "authorization:basic x",
            r#"{\"authorization\": \"Bearer hunter\"}"#,
            "Bearer   abcDEF123456",
            "Authorization%3A+Bearer+abcDEF123456",
            r#"Bearer: \"abcDEF123456\""#,
        ],
        &[
            "the bearer of this letter",
            "Bearer authentication is required",
            "basic information",
            "BASIC INFORMATION",
            "Basic COVID-19",
            "Bearer abc123",
            "bearerabcDEF123456",
            "Bearer realm=example",
            "bearer: missing",
            "Authorization: Bearer ***",
            "Authorization: Bearer <redacted>",
            "Authorization: none; see the basic rules",
            "forbearer abcDEF123456",
        ],
    );
}

#[test]
fn json_web_tokens() {
    check_all(
        Class::Jwt,
        &[
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl",
            "token=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln-bmF0_dXJl;",
            "token%3DeyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl%3B",
            "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.",
            "eyJhbGciOiJkaXIifQ..48V1_ALb6US04U3b.5eym8TW_c8SuK0lt.XFBoMYUZodetZdvT",
        ],
        &[
            "eyJhbGciOiJIUzI1NiJ9",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0",
            "eyJhbGciOiJIUzI1NiJ9..",
            "eyJs.min.js",
            "xeyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl",
            "com.example.application.Main",
            "EYJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl",
        ],
    );
}

#[test]
fn digit_runs() {
    check_all(
        Class::Digits,
        &[
            "1234567",
            "123-45-6789",
            "123 45 6789",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "(415) 555-0132",
            "415.555.0132",
            "415 - 555 - 0132",
            "4 1 5 5 5 5 0 1 3 2",
            "555\u{2011}0132",
            "815+705+5890",
            "41\u{a0}55\u{a0}55\u{a0}01",
            "MRN12345678",
            "A1234567B",
            "name,4155550132,reason",
            "4155550132#",
            "DE89370400440532013000",
            "0012345678901A",
            // Beside what is passed over.
            "2026-11-22 4155550132",
            "10:11:12 4155550132",
            "2026-11-22-1",
            "2026-13-22",
            "3026-11-22",
            "1123-45-6789",
            "20261122",
        ],
        &[
            "123456",
            "123 456",
            "12 ms, 34567 bytes",
            "1,234,567",
            "123  4567",
            "1. 2. 3. 4. 5. 6. 7.",
            "123/4567",
            "123 -4567",
            "123 - - 4567",
            "12:345:67890",
            "2026-11-22",
            "2026-11-22T10:11:12.123456Z",
            "2026-11-22 10:11:12,123",
            "2026-11-22T10:11:12.123456789+01:00",
            "22.11.2026",
            "11-22-2026 10:11",
            "from 2026-11-22 2026-11-23",
            "1.95.0",
            "tokio-1.48.0/src/lib.rs",
            "appliance/media/src/session.rs:123:45",
            "index-1949cf8c6b5b557f/tokio-1.48.0/src/a.rs",
            "/rustc/0123456789abcdef0123456789abcdef01234567/library/core",
            "01234567-0123-4123-8123-012345678901",
            "0123456A-0123-4123-8123-012345678901",
            "1234567890ab12345678",
            "1234567890AB12345678",
        ],
    );
}

#[test]
fn numbers_of_json_and_pseudonyms_are_no_digit_runs() {
    for (line, expected) in [
        (r#"{"at_ms":1234567890123,"seq":123456789012345}"#, false),
        (r#"{"counts":{"frames_in":4294967295,"gap":4294967295}}"#, false),
        (r#"{"seq":1234567890123456}"#, true),
        (r#"{"list":[1234567,12345678,123456789]}"#, false),
        (r#"{"list":[1234567,1234567890123456]}"#, true),
        (r#"{"list":[1234567, 12345678]}"#, true),
        (r#"{"text":"1234567"}"#, true),
        (r#"{"at_ms":1234567 }"#, true),
        ("at_ms:1234567,", true),
        (r#"{"call":"0123456789012345","event":"x"}"#, false),
        (r#"{"credential":"0123456789012345","event":"x"}"#, false),
        (r#"{"credential":"012345678901234","event":"x"}"#, true),
        (r#"{"vendor":"0123456789012345","event":"x"}"#, true),
        (r#"{"call":"012345678901234","event":"x"}"#, true),
        (r#"{"call":"01234567890123456","event":"x"}"#, true),
        (r#"{"call":"0123456789012345"#, true),
        (r#"{"call":" 0123456789012345"}"#, true),
        (r#"{"x":"1","call":"0123456789012345","x":"1234567"}"#, true),
        (&format!("{{\"prev\":\"{}\"}}", "0123456789".repeat(7).get(..64).unwrap()), false),
        (&format!("{{\"prev\":\"{}\"}}", "0123456789".repeat(7).get(..63).unwrap()), true),
    ] {
        assert_eq!(scan(line.as_bytes()).contains(Class::Digits), expected, "{line}");
    }
}

#[test]
fn e_mail_addresses() {
    check_all(
        Class::Email,
        &[
            "jane@example.com",
            "Jane.Doe+ward@mail.example.co.uk",
            "JANE@EXAMPLE.ORG.",
            "jane%40example.com",
            "<jane@example.com>",
            "jürgen@müller.example",
            "jane@xn--mller-kva.xn--p1ai",
            r#"\"jane doe\"@example.com"#,
            r#"\\\"jane doe\\\"@example.com"#,
            "jane@[192.0.2.1]",
            "jane@[IPv6:2001:db8::1]",
            "sip:4155550132@pstn.example.com",
        ],
        &[
            "@jane",
            "jane@example",
            "jane@",
            "jane @ example.com",
            "@media.screen",
            "value=@media.screen",
            r#"\"\"@media.screen"#,
            "jane@.com",
            "ward@1.2.3",
            "types@20.0.0-rc.1",
            "jane@example.c",
            "jane@example..",
            "4 @ $5.00",
        ],
    );
}

#[test]
fn base64_runs() {
    let digest = "0123456789abcdef".repeat(8);
    let runs = [
        "f39/".repeat(17),
        "/".repeat(216),
        format!("{}=", "Qk-_".repeat(17)),
        "aB3".repeat(22).get(..65).unwrap().to_owned(),
        format!("{digest}0"),
        digest.to_uppercase(),
    ];
    let passed = [
        "aB3".repeat(22).get(..64).unwrap().to_owned(),
        "-".repeat(200),
        "_-".repeat(100),
        "=".repeat(100),
        digest,
        "a word ".repeat(20),
        "aB3.".repeat(40),
    ];
    runs.iter().for_each(|text| check(Class::Base64, text, true));
    passed.iter().for_each(|text| check(Class::Base64, text, false));
}

#[test]
fn spoken_digits() {
    check_all(
        Class::SpokenDigits,
        &[
            "four one five five five five oh one three two",
            "Four, one, five. Five five five",
            "one-two-three-four-five-six",
            "double five triple zero nine",
            "nought one two three four five",
            r#"[\"four\", \"one\", \"five\", \"five\", \"five\", \"five\"]"#,
            r"one\ntwo\nthree\nfour\nfive\nsix",
            "Digits=one%2C+two%2C+three%2C+four%2C+five%2C+six",
        ],
        &[
            "one two three four five",
            "one two three and four five six",
            "forty two fifty one sixty three",
            "double five triple",
            "double trouble five five five five five",
            "one of the two, and three more of the four, five or six",
            "oneone twotwo threethree fourfour fivefive sixsix",
            "one       two       three       four       five       six",
        ],
    );
}

#[test]
fn hits_are_a_set_in_the_order_of_the_enum() {
    let hits = scan(b"Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl for +14155550132");
    let expected = [Class::E164, Class::Bearer, Class::Jwt, Class::Digits];
    assert!(hits.iter().eq(expected) && !hits.is_empty());
    assert!(scan(b"").is_empty() && Hits::default().iter().next().is_none());
    for (index, class) in Class::ALL.into_iter().enumerate() {
        assert_eq!(class as usize, index);
        assert!(Class::ALL.iter().skip(index + 1).all(|other| other.name() != class.name()));
    }
}

/// Bytes that are no text, and every cut of a line through an identifier, are read without a panic.
#[test]
fn any_bytes_can_be_read() {
    let line =
        "\"\u{2013}+1 (415) \\n%2B%40@[IPv6: eyJhbGciOi.. Bearer  CA0 2026-11- 10:1 [1,2,\u{a0}";
    for start in 0..line.len() {
        for end in start..line.len() {
            let _hits = scan(&line.as_bytes()[start..end]);
        }
    }
    let mut random = Random(0x5EED_B17E);
    for _ in 0..20_000 {
        let bytes = random.next().to_le_bytes();
        let picked = bytes.map(|byte| line.as_bytes()[usize::from(byte) % line.len()]);
        let _hits = (scan(&bytes), scan(&picked), scan(&[picked, picked].concat()));
    }
}

/// In proportion a piece takes a few hundredths of a second; looked at again and again it would take half a
/// minute and more.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test of time asks for it")]
fn time_is_linear_in_the_length_of_the_line() {
    for piece in [
        "1",
        "+1",
        "1-",
        "(1",
        "a",
        "f",
        "1f",
        "\"",
        "\"f",
        "[1,",
        "[",
        "@",
        "a@",
        "@a.",
        "eyJ",
        ".eyJ",
        "eyJ.",
        "-eyJ",
        "%3DeyJ",
        "%eyJ",
        "bearer ",
        "bearer.",
        "bearer=",
        "bearer+",
        "bearer",
        "basic ",
        "authorization ",
        "one ",
        "double ",
        "%2B",
        "%40a.",
        "1:",
        "11:11",
        "2026-11-22",
        "2026-11-22 ",
        "0-",
        "\\n",
        "/",
        "-",
        " ",
        "\u{a0}",
        "1\u{2013}",
        "01234567-0123-",
        "\":1",
    ] {
        let repeated = |times| scan(format!("bearer {}", piece.repeat(times)).as_bytes());
        let begun = std::time::Instant::now();
        assert_eq!(repeated(20_000), repeated(200), "{piece}");
        assert!(begun.elapsed().as_secs() < 10, "{piece}: {:?}", begun.elapsed());
    }
}
