//! Messages of the kernel's packet filter (linux/netfilter/nfnetlink.h), read by hand.

/// A message: its type and what follows its headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// Subsystem and type, the subsystem in the upper octet; below 16: control.
    pub kind: u16,
    /// The first octet of `struct nfgenmsg`: which version of IP.
    pub family: u8,
    /// Attributes.
    pub attributes: &'a [u8],
}

/// The messages of a datagram.
pub fn messages(datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        // struct nlmsghdr, 16 octets: length, type, flags, sequence, port; then struct nfgenmsg, 4 octets.
        let length = usize::try_from(u32::from_ne_bytes(rest.first_chunk().copied()?)).ok()?;
        let message = rest.get(..length).filter(|message| message.len() >= 16)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message {
            kind: u16::from_ne_bytes(message.get(4..)?.first_chunk().copied()?),
            family: message.get(16).copied().unwrap_or_default(),
            attributes: message.get(20..).unwrap_or_default(),
        })
    })
}

/// Attributes: types without flags, and values.
pub fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    /// `NLA_TYPE_MASK` of linux/netlink.h.
    const TYPE: u16 = 0x3fff;
    let mut rest = bytes;
    std::iter::from_fn(move || {
        // struct nlattr: length with its own four octets, type.
        let length = usize::from(u16::from_ne_bytes(rest.first_chunk().copied()?));
        let kind = u16::from_ne_bytes(rest.get(2..)?.first_chunk().copied()?);
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind & TYPE, value))
    })
}

/// The value of an attribute.
pub fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find_map(|(found, value)| (found == kind).then_some(value))
}

/// A request with its headers.
pub fn request(kind: u16, flags: u16, family: u8, attributes: &[u8]) -> Vec<u8> {
    let mut message = vec![0; 16];
    message.extend([family, 0, 0, 0]);
    message.extend(attributes);
    let length = u32::try_from(message.len()).unwrap_or_default();
    let head = [
        length.to_ne_bytes().as_slice(),
        &kind.to_ne_bytes(),
        &flags.to_ne_bytes(),
    ]
    .concat();
    message.splice(..head.len(), head);
    message
}

/// An attribute with its header, padded.
pub fn written(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len().saturating_add(4)).unwrap_or_default();
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
