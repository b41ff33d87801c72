//! The header by which a proxy says on whose behalf it connects: PROXY protocol, versions 1 and 2.
//!
//! It stands before everything else, TLS included, and no byte behind it is read here.

use std::io;
use std::net::{IpAddr, SocketAddr};

use proxy_header::{ParseConfig, Protocol, ProxyHeader, Tlv};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::peer::{self, Network};

/// Whose headers are believed, and what becomes of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyOptions {
    /// A Unix socket is reached by who may: there everybody has to send one.
    pub trusted: Vec<Network>,
    pub others: Others,
}

/// Clients that come from elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Others {
    #[default]
    Refused,
    /// They are served as they are, and may not send a header.
    Direct,
}

#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error("the connection does not come from one of `proxy-protocol-from`")]
    NotTrusted,
    #[error("the proxy sent no PROXY header, or a broken one")]
    Malformed,
    #[error("the PROXY header is longer than {LONGEST} bytes")]
    TooLong,
    #[error("the checksum of the PROXY header is wrong")]
    Checksum,
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
}

/// Bytes of a header of version 2; with a certificate's names it takes some hundred.
const LONGEST: usize = 4096;
/// Bytes of a header of version 1, with its line end.
const LONGEST_LINE: usize = 107;
/// What begins version 2; four bytes follow, of which the last two say how much else does.
const SIGNATURE: &[u8] = b"\r\n\r\n\x00\r\nQUIT\n";
const FIXED: usize = SIGNATURE.len() + 4;
/// Type of the checksum.
const CRC32C: u8 = 3;

/// On whose behalf a connection is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The client's; none where the proxy speaks for itself.
    pub source: Option<SocketAddr>,
    pub destination: Option<SocketAddr>,
    pub fields: Vec<(u8, Vec<u8>)>,
}

impl ProxyOptions {
    /// Headers of these are believed, and nobody else is served.
    pub fn from_networks(trusted: Vec<Network>) -> ProxyOptions {
        ProxyOptions { trusted, others: Others::Refused }
    }

    /// Reads the header, where the one who connects has to send one.
    ///
    /// # Errors
    /// Where that is nobody to be served, or where no header comes.
    pub async fn receive(
        &self,
        stream: &mut (impl AsyncRead + Unpin),
        from: Option<SocketAddr>,
    ) -> Result<Option<Header>, ProxyError> {
        match from {
            Some(from) if !self.trusts(from.ip()) => match self.others {
                Others::Direct => Ok(None),
                Others::Refused => Err(ProxyError::NotTrusted),
            },
            _ => Ok(Some(parse(&read(stream).await?)?)),
        }
    }

    pub fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }
}

impl Header {
    /// What is known of a client that came through a proxy with this address.
    pub(super) fn into_known(self, proxy: Option<SocketAddr>) -> peer::Known {
        peer::Known {
            address: self.source.or(proxy),
            proxy: Some(Box::new(peer::Proxy {
                address: proxy,
                destination: self.destination,
                fields: self.fields,
            })),
            ..peer::Known::default()
        }
    }
}

/// As many bytes as the header has.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, ProxyError> {
    // Who sends no header may wait for an answer before there are as many bytes as one has.
    let first = stream.read_u8().await?;
    if first != SIGNATURE[0] && first != b'P' {
        return Err(ProxyError::Malformed);
    }
    // The shortest header, of version 1: `PROXY UNKNOWN` and its line end.
    let mut header = vec![0; 15];
    header[0] = first;
    stream.read_exact(&mut header[1..]).await?;
    if header.starts_with(SIGNATURE) {
        header.push(stream.read_u8().await?);
        let rest = usize::from(u16::from_be_bytes([header[FIXED - 2], header[FIXED - 1]]));
        if FIXED + rest > LONGEST {
            return Err(ProxyError::TooLong);
        }
        header.resize(FIXED + rest, 0);
        stream.read_exact(&mut header[FIXED..]).await?;
    } else if header.starts_with(b"PROXY ") {
        // One by one: what stands behind the line is TLS, or MQTT.
        while !header.ends_with(b"\r\n") {
            if header.len() == LONGEST_LINE {
                return Err(ProxyError::TooLong);
            }
            header.push(stream.read_u8().await?);
        }
    } else {
        return Err(ProxyError::Malformed);
    }
    Ok(header)
}

/// # Errors
/// Where these bytes are not one header.
pub fn parse(bytes: &[u8]) -> Result<Header, ProxyError> {
    let (header, len) =
        ProxyHeader::parse(bytes, ParseConfig::default()).map_err(|_| ProxyError::Malformed)?;
    if len != bytes.len() {
        return Err(ProxyError::Malformed);
    }
    let address = header.proxied_address();
    if address.is_some_and(|address| address.protocol != Protocol::Stream) {
        return Err(ProxyError::Malformed);
    }
    let mut fields = Vec::new();
    for field in header.tlvs() {
        let field = field.map_err(|_| ProxyError::Malformed)?;
        if let Tlv::Crc32c(expected) = field
            && checksum(bytes) != Some(expected)
        {
            return Err(ProxyError::Checksum);
        }
        let mut encoded = Vec::new();
        field.encode(&mut encoded);
        fields.push((field.kind(), encoded.split_off(encoded.len().min(3))));
    }
    Ok(Header {
        source: address.map(|address| address.source),
        destination: address.map(|address| address.destination),
        fields,
    })
}

/// CRC-32C of a header of version 2 whose own field counts as zeros. None where it has no such field.
fn checksum(header: &[u8]) -> Option<u32> {
    let mut header = header.to_vec();
    let addresses = match header.get(SIGNATURE.len() + 1)? >> 4 {
        1 => 12,
        2 => 36,
        3 => 216,
        _ => 0,
    };
    let mut place = FIXED + addresses;
    loop {
        let head = header.get(place..place + 3)?;
        let len = usize::from(u16::from_be_bytes([head[1], head[2]]));
        if head[0] == CRC32C {
            header.get_mut(place + 3..place + 3 + len)?.fill(0);
            return Some(crc32c(&header));
        }
        place += 3 + len;
    }
}

fn crc32c(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| if sum & 1 == 1 { sum >> 1 ^ 0x82F6_3B78 } else { sum >> 1 };
    !bytes.iter().fold(u32::MAX, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// With the length that its rest has.
    fn version2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        [SIGNATURE, &[command, family], &(rest.len() as u16).to_be_bytes(), rest].concat()
    }

    const IPV4: [u8; 12] = [192, 0, 2, 7, 192, 0, 2, 1, 0xC3, 0x50, 0x07, 0x5B];

    #[tokio::test]
    async fn a_header_of_either_version_says_who_connects_and_leaves_what_follows() {
        let one = b"PROXY TCP6 2001:db8::7 2001:db8::1 50000 1883\r\n".to_vec();
        let two = version2(0x21, 0x11, &[&IPV4[..], &[0x02, 0, 3], b"x.y"].concat());
        for (header, source, fields) in [
            (one, Some("[2001:db8::7]:50000"), vec![]),
            (two, Some("192.0.2.7:50000"), vec![(2, b"x.y".to_vec())]),
            (b"PROXY UNKNOWN\r\n".to_vec(), None, vec![]),
            (version2(0x20, 0x00, &[]), None, vec![]),
            (version2(0x20, 0x11, &IPV4), None, vec![]),
            (version2(0x21, 0x31, &[0; 216]), None, vec![]),
        ] {
            let bytes = [&header[..], b"\x10rest"].concat();
            let mut stream = bytes.as_slice();
            let found = parse(&read(&mut stream).await.unwrap()).unwrap();
            assert_eq!((found.source, found.fields), (source.map(address), fields));
            assert_eq!(stream, b"\x10rest");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        let long = version2(0x21, 0x11, &[0; 5000]);
        let endless = [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat();
        for (bytes, too_long) in [(long, true), (endless, true), (vec![0x10; 40], false)] {
            let error = read(&mut bytes.as_slice()).await.unwrap_err();
            assert_eq!(matches!(error, ProxyError::TooLong), too_long, "{error}");
        }
        let lies: [Vec<u8>; 8] = [
            b"PROXY TCP4 300.0.2.7 192.0.2.1 1 2\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 192.0.2.1 1 99999\r\n".to_vec(),
            b"PROXY TCP4 2001:db8::7 192.0.2.1 1 2\r\n".to_vec(),
            b"PROXY \r\n".to_vec(),
            version2(0x22, 0x11, &IPV4),
            version2(0x21, 0x11, &IPV4[..11]),
            version2(0x21, 0x12, &IPV4),
            version2(0x21, 0x11, &[&IPV4[..], &[2, 0xFF, 0xFF, 1]].concat()),
        ];
        for lie in lies {
            assert!(parse(&lie).is_err(), "{lie:02x?}");
        }
    }

    #[test]
    fn a_checksum_that_is_there_has_to_be_right() {
        let with = |sum: u32| {
            let field = [&[CRC32C, 0, 4], &sum.to_be_bytes()[..]].concat();
            version2(0x21, 0x11, &[&IPV4[..], &field].concat())
        };
        let right = crc32c(&with(0));
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        assert!(parse(&with(right)).is_ok());
        assert!(matches!(parse(&with(right ^ 1)), Err(ProxyError::Checksum)));
    }

    #[tokio::test]
    async fn only_those_who_are_trusted_may_speak_for_others() {
        let header = b"PROXY TCP4 192.0.2.7 192.0.2.1 50000 1883\r\n";
        let mut options = ProxyOptions::from_networks(vec!["10.0.0.0/8".parse().unwrap()]);
        let trusted = options.receive(&mut header.as_slice(), Some(address("10.1.2.3:1"))).await.unwrap();
        assert_eq!(trusted.unwrap().source, Some(address("192.0.2.7:50000")));
        let other = Some(address("11.1.2.3:1"));
        assert!(matches!(options.receive(&mut header.as_slice(), other).await, Err(ProxyError::NotTrusted)));
        options.others = Others::Direct;
        let mut stream = header.as_slice();
        assert_eq!(options.receive(&mut stream, other).await.unwrap(), None);
        assert_eq!(stream, header, "a header of others is not looked at");
    }
}
