//! A WebSocket that sends every message back (RFC 6455).
//!
//! Frames are echoed one by one, so that fragmentation is kept. No
//! extensions are negotiated.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use http::{StatusCode, Version};

use super::Exchange;
use crate::wire::BodyError;
use crate::wire::fields::Fields;

/// What RFC 6455 has servers append to the client's key.
const ACCEPT_GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The longest frame, in bytes: room for the audio and images that model
/// APIs send in one.
const FRAME_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Close code: the peer breaks the protocol.
const PROTOCOL_ERROR: u16 = 1002;
/// Close code: a message too long to keep.
const TOO_BIG: u16 = 1009;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

impl Exchange<'_, '_> {
    /// Accepts a WebSocket and sends every message back.
    pub(super) async fn websocket(&mut self) -> Result<(), BodyError> {
        let protocol = self.request.protocol.as_deref();
        if !protocol.is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket")) {
            let remedy = "ask for a WebSocket\n";
            let status = StatusCode::UPGRADE_REQUIRED;
            return Ok(self.document(status, "text/plain", remedy).await?);
        }
        let mut fields = Fields::new();
        if self.request.version != Version::HTTP_2 {
            let Some(key) = self.request.header("sec-websocket-key") else {
                let remedy = "missing Sec-WebSocket-Key\n";
                let status = StatusCode::BAD_REQUEST;
                return Ok(self.document(status, "text/plain", remedy).await?);
            };
            fields.push("Sec-WebSocket-Accept", accept_key(key));
        }
        let offered = self.request.header("sec-websocket-protocol");
        if let Some(first) = offered.and_then(|offered| offered.split(',').next()) {
            fields.push("Sec-WebSocket-Protocol", first.trim());
        }
        self.change_to("websocket".to_owned(), fields).await?;

        let mut inbound = BytesMut::new();
        'messages: while let Some(piece) = self.wire.body().await? {
            inbound.extend_from_slice(&piece);
            loop {
                match take_frame(&mut inbound) {
                    Ok(None) => break,
                    Ok(Some(frame)) => {
                        let closing = frame.opcode() == CLOSE;
                        if let Some(answer) = frame.answer() {
                            self.wire.write(answer).await?;
                        }
                        if closing {
                            break 'messages;
                        }
                    }
                    Err(code) => {
                        let refusal = Frame {
                            first: FIN | CLOSE,
                            payload: Bytes::copy_from_slice(&code.to_be_bytes()),
                        };
                        self.wire.write(refusal.encode()).await?;
                        break 'messages;
                    }
                }
            }
        }
        Ok(self.wire.finish(None).await?)
    }
}

/// The answer to a handshake's key.
fn accept_key(key: &str) -> String {
    let text = format!("{}{ACCEPT_GUID}", key.trim());
    STANDARD.encode(digest::digest(
        &digest::SHA1_FOR_LEGACY_USE_ONLY,
        text.as_bytes(),
    ))
}

/// A frame, unmasked.
#[derive(Debug, PartialEq, Eq)]
struct Frame {
    /// FIN, reserved bits and opcode.
    first: u8,
    payload: Bytes,
}

impl Frame {
    fn opcode(&self) -> u8 {
        self.first & 0x0f
    }

    /// What is sent back: the frame; for a ping a pong; for a pong nothing.
    fn answer(self) -> Option<Bytes> {
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
    fn encode(&self) -> Bytes {
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

/// Takes one client's frame off the front, `None` if it is not all there.
/// Fails with a close code.
fn take_frame(inbound: &mut BytesMut) -> Result<Option<Frame>, u16> {
    let &[first, second, ..] = &inbound[..] else {
        return Ok(None);
    };
    if first & RESERVED != 0 || second & MASKED == 0 {
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
            assert_eq!(take_frame(&mut inbound), Ok(None), "{end} bytes");
        }
        let mut inbound = BytesMut::from(&HELLO[..]);
        let frame = take_frame(&mut inbound).expect("valid").expect("complete");
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
            assert_eq!(take_frame(&mut BytesMut::from(bytes)), Err(code));
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
}
