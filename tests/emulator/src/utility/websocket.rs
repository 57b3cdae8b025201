//! A WebSocket that sends every message back.
//!
//! Frames are echoed one by one, so that fragmentation is kept. No
//! extensions are negotiated.

use bytes::{Bytes, BytesMut};
use http::{StatusCode, Version};

use super::Exchange;
use crate::wire::BodyError;
use crate::wire::fields::Fields;
use crate::wire::websocket::{CLOSE, FIN, Frame, accept_key, take_frame};

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
                match take_frame(&mut inbound, 0) {
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
