//! WebSocket frames as a server reads and writes them (RFC 6455), and messages
//! that are deflated with a window of their direction (RFC 7692).

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

/// What RFC 6455 has servers append to the client's key.
const ACCEPT_GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The longest frame, in bytes: room for the audio and images that model
/// APIs send in one.
const FRAME_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Close code: the peer breaks the protocol.
pub(crate) const PROTOCOL_ERROR: u16 = 1002;
/// Close code: a message too long to keep.
const TOO_BIG: u16 = 1009;

pub(crate) const FIN: u8 = 0x80;
/// Of a message that is deflated, in its first frame.
pub(crate) const DEFLATED: u8 = 0x40;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// The answer to a handshake's key.
pub(crate) fn accept_key(key: &str) -> String {
    let text = format!("{}{ACCEPT_GUID}", key.trim());
    STANDARD.encode(digest::digest(
        &digest::SHA1_FOR_LEGACY_USE_ONLY,
        text.as_bytes(),
    ))
}

/// A frame, unmasked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// FIN, reserved bits and opcode.
    pub(crate) first: u8,
    pub(crate) payload: Bytes,
}

impl Frame {
    pub(crate) fn opcode(&self) -> u8 {
        self.first & 0x0f
    }

    /// What is sent back: the frame; for a ping a pong; for a pong nothing.
    pub(crate) fn answer(self) -> Option<Bytes> {
        match self.opcode() {
            PONG => None,
            PING => {
                let pong = Frame {
                    first: FIN | PONG,
                    payload: self.payload,
                };
                Some(pong.encode())
            }
            _ => Some(self.encode()),
        }
    }

    /// As a server sends it, without a mask.
    pub(crate) fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(self.payload.len() + 10);
        bytes.put_u8(self.first);
        match (
            u8::try_from(self.payload.len()),
            u16::try_from(self.payload.len()),
        ) {
            (Ok(length @ ..=125), _) => bytes.put_u8(length),
            (_, Ok(length)) => {
                bytes.put_u8(126);
                bytes.put_u16(length);
            }
            (_, Err(_)) => {
                bytes.put_u8(127);
                bytes.put_u64(self.payload.len() as u64);
            }
        }
        bytes.extend_from_slice(&self.payload);
        bytes.freeze()
    }
}

/// Takes one client's frame off the front, `None` if it is not all there. Of the
/// reserved bits those in `agreed` may be set. Fails with a close code.
pub(crate) fn take_frame(inbound: &mut BytesMut, agreed: u8) -> Result<Option<Frame>, u16> {
    let &[first, second, ..] = &inbound[..] else {
        return Ok(None);
    };
    if first & RESERVED & !agreed != 0 || second & MASKED == 0 {
        return Err(PROTOCOL_ERROR);
    }
    let (length, mask_at) = match second & !MASKED {
        126 => match inbound.get(2..4) {
            Some(&[high, low]) => (u64::from(u16::from_be_bytes([high, low])), 4),
            _ => return Ok(None),
        },
        127 => match inbound.first_chunk::<10>() {
            Some(&[_, _, a, b, c, d, e, f, g, h]) => {
                (u64::from_be_bytes([a, b, c, d, e, f, g, h]), 10)
            }
            None => return Ok(None),
        },
        length => (u64::from(length), 2),
    };
    if length > FRAME_BYTES_MAX {
        return Err(TOO_BIG);
    }
    let length = usize::try_from(length).map_err(|_too_long| TOO_BIG)?;
    let payload_at = mask_at + 4;
    if inbound.len() < payload_at + length {
        return Ok(None);
    }
    let frame = inbound.split_to(payload_at + length);
    let (head, payload) = frame.split_at(payload_at);
    let mask = head[mask_at..].iter().cycle();
    let payload = payload.iter().zip(mask).map(|(byte, mask)| byte ^ mask);
    Ok(Some(Frame {
        first,
        payload: payload.collect(),
    }))
}

/// Both directions of a connection whose messages may be deflated.
pub(crate) struct Deflate {
    inbound: Decompress,
    outbound: Compress,
}

/// What ends every flush, and is left out.
const FLUSH_END: [u8; 4] = [0, 0, 0xff, 0xff];

impl Deflate {
    pub(crate) fn new() -> Self {
        Self {
            inbound: Decompress::new(false),
            outbound: Compress::new(Compression::default(), false),
        }
    }

    /// A message of the client; fails with a close code.
    pub(crate) fn inflate(&mut self, message: &[u8]) -> Result<Vec<u8>, u16> {
        let deflated = [message, &FLUSH_END].concat();
        let mut text = Vec::new();
        let mut read = 0;
        loop {
            text.reserve(4096);
            let before = self.inbound.total_in();
            let room = text.capacity() - text.len();
            let len = text.len();
            self.inbound
                .decompress_vec(&deflated[read..], &mut text, FlushDecompress::Sync)
                .map_err(|_malformed| PROTOCOL_ERROR)?;
            read +=
                usize::try_from(self.inbound.total_in() - before).map_err(|_too_long| TOO_BIG)?;
            if text.len() as u64 > FRAME_BYTES_MAX {
                return Err(TOO_BIG);
            }
            if read == deflated.len() && text.len() - len < room {
                return Ok(text);
            }
        }
    }

    /// A message to the client.
    pub(crate) fn deflate(&mut self, message: &[u8]) -> Bytes {
        let mut deflated = Vec::with_capacity(message.len() + 64);
        let before = self.outbound.total_in();
        loop {
            let read = usize::try_from(self.outbound.total_in() - before)
                .expect("no more than the message");
            let room = deflated.capacity() - deflated.len();
            let len = deflated.len();
            self.outbound
                .compress_vec(&message[read..], &mut deflated, FlushCompress::Sync)
                .expect("a compressor takes any bytes");
            if deflated.len() - len < room {
                break;
            }
            deflated.reserve(4096);
        }
        assert!(deflated.ends_with(&FLUSH_END), "a flush ends like any");
        deflated.truncate(deflated.len() - FLUSH_END.len());
        deflated.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6455, section 5.7: a single-frame masked text message, "Hello".
    const HELLO: [u8; 11] = [
        0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
    ];

    #[test]
    fn the_accept_key_is_that_of_the_rfc() {
        let accept = accept_key("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_frame_is_taken_only_when_it_is_complete() {
        for end in 0..HELLO.len() {
            let mut inbound = BytesMut::from(&HELLO[..end]);
            assert_eq!(take_frame(&mut inbound, 0), Ok(None), "{end} bytes");
        }
        let mut inbound = BytesMut::from(&HELLO[..]);
        let frame = take_frame(&mut inbound, 0)
            .expect("valid")
            .expect("complete");
        assert_eq!(frame.payload, "Hello");
        assert_eq!(&frame.encode()[..], b"\x81\x05Hello");
        assert!(inbound.is_empty());
    }

    #[test]
    fn frames_that_break_the_protocol_are_refused_with_its_code() {
        for (bytes, code) in [
            (&b"\x81\x05Hello"[..], PROTOCOL_ERROR),
            (&b"\xc1\x85"[..], PROTOCOL_ERROR),
            (&b"\x82\xff\x00\x00\x00\x01\x00\x00\x00\x00"[..], TOO_BIG),
        ] {
            assert_eq!(take_frame(&mut BytesMut::from(bytes), 0), Err(code));
        }
    }

    #[test]
    fn lengths_are_encoded_in_their_shortest_form() {
        for (length, head) in [
            (0, &[0x82, 0][..]),
            (125, &[0x82, 125]),
            (126, &[0x82, 126, 0, 126]),
            (65_535, &[0x82, 126, 0xff, 0xff]),
            (65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let frame = Frame {
                first: 0x82,
                payload: vec![0; length].into(),
            };
            assert_eq!(&frame.encode()[..head.len()], head, "{length} bytes");
            assert_eq!(frame.encode().len(), head.len() + length);
        }
    }

    #[test]
    fn messages_share_a_window() {
        let mut deflate = Deflate::new();
        let text = r#"{"type":"response.output_text.delta"}"#.repeat(500);
        let first = deflate.deflate(text.as_bytes());
        let second = deflate.deflate(text.as_bytes());
        assert!(second.len() < first.len(), "{} bytes", second.len());
        for message in [first, second] {
            assert_eq!(deflate.inflate(&message), Ok(text.clone().into_bytes()));
        }
        assert_eq!(deflate.inflate(b"\xff\xff"), Err(PROTOCOL_ERROR));
    }
}
