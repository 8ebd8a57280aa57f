//! Webhook bodies: parsing is total, and encoding is its inverse.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ward_twilio::form::Form;

fuzz_target!(|bytes: &[u8]| {
    let Ok(form) = Form::parse(bytes) else { return };
    let sorted = form.sorted();
    assert!(sorted.is_sorted());
    let encoded = form.encode();
    let again = Form::parse(encoded.as_bytes()).expect("what we encode, we read");
    assert_eq!(again.sorted(), sorted);
    for (name, value) in &sorted {
        assert!(form.has(name));
        if let Some(only) = form.only(name) {
            assert_eq!(only, *value);
        }
    }
    if cfg!(feature = "planted-bug") {
        assert!(!sorted.contains(&("c", "")), "the planted bug");
    }
});
