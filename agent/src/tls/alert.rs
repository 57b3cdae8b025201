//! Alerts that weir sends itself, in the place of a handshake it will not make.

use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::upstream::UpstreamTlsError;

/// `AlertDescription` of RFC 8446 §6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Alert {
    /// 42
    BadCertificate = 42,
    /// 45
    CertificateExpired = 45,
    /// 46
    CertificateUnknown = 46,
    /// 48
    UnknownCa = 48,
    /// 50
    DecodeError = 50,
    /// 80
    InternalError = 80,
}

impl Alert {
    /// The alert by which the client learns what was wrong upstream: the one it
    /// would itself have sent there.
    #[must_use]
    pub fn for_upstream(error: &UpstreamTlsError) -> Self {
        match error {
            UpstreamTlsError::Expired => Self::CertificateExpired,
            UpstreamTlsError::WrongName => Self::BadCertificate,
            UpstreamTlsError::UnknownIssuer => Self::UnknownCa,
            UpstreamTlsError::Certificate(_) => Self::CertificateUnknown,
            UpstreamTlsError::Handshake(_) | UpstreamTlsError::Timeout => Self::InternalError,
        }
    }

    /// The alert as a plaintext record: fatal, before any key is agreed.
    #[must_use]
    pub fn record(self) -> [u8; 7] {
        const ALERT: u8 = 21;
        const FATAL: u8 = 2;
        [ALERT, 3, 3, 0, 2, FATAL, self as u8]
    }

    /// Sends the alert; a client that has left does not get it.
    pub async fn send(self, client: &mut (impl AsyncWrite + Unpin)) {
        if client.write_all(&self.record()).await.is_ok() {
            // Nothing is left to tell a client that cannot be reached.
            let _ = client.shutdown().await;
        }
    }
}
