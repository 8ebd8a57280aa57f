//! What a DHCP server says, for servers that lie. It asks for nothing and judges nothing.

/// An offer to whoever asked, of host 66 in a network of 254 whose server is host 1, and these options as bytes behind it: code, length,
/// value.
///
/// # Panics
/// When `question` is shorter than a DHCP message's fixed part, 240 bytes.
#[must_use]
pub fn offer(question: &[u8], network: [u8; 3], options: &[u8]) -> Vec<u8> {
    let [a, b, c] = network;
    let mut bytes = vec![0; 240];
    bytes[..3].copy_from_slice(&[2, 1, 6]);
    bytes[4..8].copy_from_slice(&question[4..8]);
    bytes[16..20].copy_from_slice(&[a, b, c, 66]);
    bytes[28..34].copy_from_slice(&question[28..34]);
    bytes[236..].copy_from_slice(&[99, 130, 83, 99]);
    bytes.extend([53, 1, 2, 1, 4, 255, 255, 255, 0, 54, 4, a, b, c, 1]);
    bytes.extend(options);
    bytes.push(255);
    bytes
}
