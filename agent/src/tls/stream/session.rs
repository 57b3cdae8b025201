//! What rustls does of a connection for either end, and the records it makes.

use std::ops::DerefMut;

use rustls::{
    client::{ClientConnectionData, UnbufferedClientConnection},
    server::{ServerConnectionData, UnbufferedServerConnection},
    unbuffered::{
        EncodeError, EncodeTlsData, InsufficientSizeError, UnbufferedConnectionCommon,
        UnbufferedStatus,
    },
};

/// The end that we are.
pub trait Session:
    DerefMut<Target = UnbufferedConnectionCommon<Self::Data>> + Unpin + Send + 'static
{
    /// What rustls keeps of that end.
    type Data;

    /// What is next to be done, after what has come.
    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

impl Session for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }
}

impl Session for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }
}

/// Whether a whole record is there, of which what is in it has room.
pub(super) fn fits(incoming: &[u8], room: usize) -> bool {
    let [_, _, _, high, low, rest @ ..] = incoming else {
        return false;
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    length <= rest.len().min(room)
}

pub(super) fn encode<Data>(mut data: EncodeTlsData<'_, Data>, outgoing: &mut Vec<u8>) {
    append(outgoing, |room| match data.encode(room) {
        Err(EncodeError::InsufficientSize(error)) => Err(Some(error)),
        other => other.map_err(|_already| None),
    });
}

/// Makes as much room behind the rest as `write` says that it needs. What fails
/// otherwise leaves nothing.
pub(super) fn append(
    all: &mut Vec<u8>,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<InsufficientSizeError>>,
) {
    let Err(Some(InsufficientSizeError { required_size })) = write(&mut []) else {
        return;
    };
    let length = all.len();
    all.resize(length + required_size, 0);
    let count = write(&mut all[length..]).unwrap_or_default();
    all.truncate(length + count);
}
