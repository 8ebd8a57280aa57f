//! Tests of the messages: what an ordinary server says, and what nobody should.

use super::*;

/// A message with these options, from nobody in particular.
pub(crate) fn reply(kind: u8, number: u32, options: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; FIXED];
    bytes[..3].copy_from_slice(&[2, 1, 6]);
    bytes[4..8].copy_from_slice(&number.to_be_bytes());
    bytes[16..20].copy_from_slice(&[10, 0, 0, 7]);
    bytes[28..34].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    bytes[236..240].copy_from_slice(&COOKIE);
    bytes.extend([MESSAGE, 1, kind]);
    bytes.extend(options);
    bytes.push(END);
    bytes
}

/// The same as the packet that carries it.
pub(crate) fn carried(message: &[u8]) -> Vec<u8> {
    let mut packet = packet(message, Ipv4Addr::new(10, 0, 0, 1));
    packet[20..24].copy_from_slice(&[0, 67, 0, 68]);
    packet
}

fn check(options: &[u8]) -> Result<Answer, Refusal> {
    answer(&carried(&reply(5, 9, options)))
}

#[test]
fn an_ordinary_answer_is_read() {
    let options: Vec<u8> = [
        &[1, 4, 255, 255, 255, 0][..],
        &[3, 8, 10, 0, 0, 1, 10, 0, 0, 2],
        &[6, 4, 10, 0, 0, 3],
        &[26, 2, 0x23, 0x29],
        &[42, 4, 10, 0, 0, 4],
        &[51, 4, 0, 0, 14, 16, 54, 4, 10, 0, 0, 1],
        &[58, 4, 0, 0, 7, 8, 59, 4, 0, 0, 12, 78],
        &[119, 9, 3, b'e', b'n', b'g', 0, 1, b'a', 0xc0, 0],
        &[121, 8, 24, 10, 1, 2, 10, 0, 0, 9],
        &[0, 0, 12, 3, b'a', b'b', b'c'],
    ]
    .concat();
    let got = check(&options).unwrap();
    assert_eq!((got.kind, got.number, got.hardware), (Kind::Ack, 9, [2, 0, 0, 0, 0, 1]));
    assert_eq!(got.address, Ipv4Addr::new(10, 0, 0, 7));
    assert_eq!((got.mask, got.mtu, got.lease_s), (Some(0xffff_ff00), Some(9_001), Some(3_600)));
    assert_eq!((got.renew_s, got.rebind_s, got.search), (Some(1_800), Some(3_150), 2));
    assert_eq!((got.routers.len(), got.name_servers.len(), got.time_servers.len()), (2, 1, 1));
    let via = Ipv4Addr::new(10, 0, 0, 9);
    assert_eq!(got.routes, [Route { to: Ipv4Addr::new(10, 1, 2, 0), prefix: 24, via }]);
}

#[test]
fn a_split_option_comes_together_and_names_hold_options_too() {
    let got = check(&[1, 2, 255, 255, 1, 2, 255, 0]).unwrap();
    assert_eq!(got.mask, Some(0xffff_ff00));
    let mut message = reply(2, 9, &[52, 1, 3]);
    message[108..116].copy_from_slice(&[1, 4, 255, 255, 0, 0, 255, 1]);
    message[44..51].copy_from_slice(&[54, 4, 10, 0, 0, 1, 255]);
    let got = answer(&carried(&message)).unwrap();
    assert_eq!((got.mask, got.server), (Some(0xffff_0000), Some(Ipv4Addr::new(10, 0, 0, 1))));
}

#[test]
fn a_shape_that_is_wrong_is_refused_by_name() {
    for (options, number) in [
        (&[1, 3, 255, 255, 255][..], 1),
        (&[1, 5, 255, 255, 255], 1),
        (&[3, 0], 3),
        (&[3, 3, 1, 2, 3], 3),
        (&[6, 5, 1, 2, 3, 4, 5], 6),
        (&[26, 1, 5], 26),
        (&[51, 2, 0, 1], 51),
        (&[52, 1, 4], 52),
        (&[52, 2, 1, 1], 52),
        (&[54], 54),
        (&[121, 1, 33], 121),
        (&[121, 4, 24, 10, 1, 2], 121),
        (&[121, 6, 0, 10, 0, 0, 1, 8], 121),
        (&[119, 3, 5, b'a', b'b'], 119),
        (&[119, 2, 0xc0, 0], 119),
        (&[119, 2, 0xc0, 9], 119),
        (&[119, 3, 1, b'a', 0x80], 119),
    ] {
        assert_eq!(check(options), Err(Refusal::Option(number)), "{options:?}");
    }
    // A ninth route is read and not kept.
    let many: Vec<u8> = [121, 45].into_iter().chain([0, 10, 0, 0, 1].repeat(9)).collect();
    assert_eq!(check(&many).unwrap().routes.len(), limit::DHCP_ROUTES_MAX);
    let broken: Vec<u8> =
        [121, 44].into_iter().chain([0, 10, 0, 0, 1].repeat(9)).take(46).collect();
    assert_eq!(check(&broken), Err(Refusal::Option(121)));
}

#[test]
fn a_header_that_is_wrong_is_refused_by_name() {
    let whole = carried(&reply(2, 9, &[]));
    assert!(answer(&whole).is_ok());
    for length in 0..whole.len() {
        let cut = answer(&whole[..length]);
        assert!(matches!(cut, Err(Refusal::Short | Refusal::Header)), "{length}");
    }
    // Padding of the link's is none of ours.
    assert!(answer(&[&whole[..], &[7; 18]].concat()).is_ok());
    let changed = |at: usize, value: u8| {
        let mut packet = whole.clone();
        packet[at] = value;
        answer(&packet).err()
    };
    for (at, value, name) in [
        (0, 0x65, Refusal::Header),
        (0, 0x44, Refusal::Header),
        (10, 0xaa, Refusal::Header),
        (21, 68, Refusal::Header),
        (23, 67, Refusal::Header),
        (28, 1, Refusal::NoAnswer),
        (29, 6, Refusal::NoAnswer),
        (28 + 236, 0, Refusal::Cookie),
        (28 + 242, 1, Refusal::Kind),
        (28 + 242, 3, Refusal::Kind),
    ] {
        assert_eq!(changed(at, value), Some(name), "{at} {value}");
    }
    assert_eq!(message(&vec![2; limit::DHCP_BYTES_MAX + 1]), Err(Refusal::Long));
    // An option that is not read may be of any length, but not longer than what is there.
    assert_eq!(check(&[200, 9, 1]), Err(Refusal::Option(200)));
}

#[test]
fn a_question_carries_what_its_stage_has() {
    let hardware = [2, 0, 0, 0, 0, 1];
    let (address, server) = (Ipv4Addr::new(10, 0, 0, 7), Ipv4Addr::new(10, 0, 0, 1));
    let discover = question(Question::Discover, 9, hardware, 0);
    assert_eq!(discover[..4], [1, 1, 6, 0]);
    assert_eq!((&discover[28..34], discover[10]), (&hardware[..], 0));
    assert_eq!(question(Question::Discover, 9, hardware, 3)[10], 0x80);
    let request = question(Question::Request { address, server }, 9, hardware, 0);
    let has = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    assert!(has(&request, &[50, 4, 10, 0, 0, 7, 54, 4, 10, 0, 0, 1]));
    let extend = question(Question::Extend { address }, 9, hardware, 0);
    assert_eq!(extend[12..16], [10, 0, 0, 7]);
    assert!(!has(&extend, &[50, 4]) && !has(&extend, &[54, 4]));
    // The packet's own sum is right.
    assert_eq!(sum(&packet(&extend, address)[..20]), 0xffff);
}
