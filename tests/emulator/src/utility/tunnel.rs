//! Leaving HTTP: 101 on HTTP/1, extended CONNECT (RFC 8441) on HTTP/2.

use http::{Method, StatusCode, Version};

use super::Exchange;
use crate::wire::fields::Fields;
use crate::wire::{BodyError, Framing, Gone};

impl Exchange<'_, '_> {
    /// Changes to the protocol asked for and sends every byte back.
    pub(super) async fn upgrade(&mut self) -> Result<(), BodyError> {
        let Some(protocol) = self.request.protocol.clone() else {
            let remedy = "ask for a protocol: Connection: Upgrade, or extended CONNECT\n";
            let status = StatusCode::UPGRADE_REQUIRED;
            return Ok(self.document(status, "text/plain", remedy).await?);
        };
        self.change_to(protocol, Fields::new()).await?;
        while let Some(piece) = self.wire.body().await? {
            self.wire.write(piece).await?;
        }
        Ok(self.wire.finish(None).await?)
    }

    /// Accepts the change of protocol; what follows is the new protocol's.
    pub(super) async fn change_to(&mut self, protocol: String, fields: Fields) -> Result<(), Gone> {
        if self.request.version == Version::HTTP_2 && self.request.method == Method::CONNECT {
            return self.head(StatusCode::OK, fields, Framing::UntilClose).await;
        }
        let mut head = Fields::new()
            .with("Connection", "Upgrade")
            .with("Upgrade", protocol);
        head.extend(fields);
        let status = StatusCode::SWITCHING_PROTOCOLS;
        self.head(status, head, Framing::UntilClose).await
    }
}
