//! `/emulator/…`: endpoints with which a proxy's transparency is tested.
//!
//! | path | answers with |
//! |---|---|
//! | `echo` | the request's head as it arrived; on HTTP/1 byte for byte |

use bytes::Bytes;
use http::StatusCode;

use crate::answer::Answer;
use crate::controls::Controls;
use crate::delivery;
use crate::ledger::Entry;
use crate::wire::fields::Fields;
use crate::wire::{Request, Wire};

pub(crate) async fn answer(
    request: &Request,
    controls: &Controls,
    wire: &mut Wire<'_>,
    entry: Entry,
) {
    let raw: Bytes = request.raw_head.clone();
    let answer = Answer::plain(StatusCode::OK, Fields::new(), "message/http", raw);
    delivery::deliver(answer, None, controls, wire, entry).await;
}
