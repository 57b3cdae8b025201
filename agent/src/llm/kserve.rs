//! KServe's inference protocol, as Triton speaks it: tensors over REST, and
//! Triton's text over REST and events.
//!
//! The protocol knows no tokens: what can be said of a call is its model.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use super::json::{Table, Want};
use super::protobuf;
use super::reading::{Slot, response};
use super::request::RequestSlot;

/// What is read of a request. The model stands in the path.
pub(super) static REQUEST: Table<RequestSlot> = Table::new(&[]);

/// What is read of a body, and of an event. The error is a sentence, of which
/// only that there is one can be kept.
pub(super) static RESPONSE: Table<Slot> = Table::new(&[
    response(&["id"], Want::Scalar, Slot::Id),
    response(&["model_name"], Want::Scalar, Slot::Model),
    response(&["error"], Want::Mark, Slot::Error),
]);

/// What is read of a `ModelInferRequest`.
pub(super) const GRPC_REQUEST: &[protobuf::Interest<RequestSlot>] = &[protobuf::Interest {
    path: &[1],
    want: protobuf::Want::Bytes,
    slot: RequestSlot::Model,
}];

/// What is read of a `ModelInferResponse`.
pub(super) const GRPC_BODY: &[protobuf::Interest<Slot>] = &[
    protobuf::Interest {
        path: &[1],
        want: protobuf::Want::Bytes,
        slot: Slot::Model,
    },
    protobuf::Interest {
        path: &[3],
        want: protobuf::Want::Bytes,
        slot: Slot::Id,
    },
];

/// What is read of a `ModelStreamInferResponse`.
pub(super) const GRPC_EVENT: &[protobuf::Interest<Slot>] = &[
    protobuf::Interest {
        path: &[1],
        want: protobuf::Want::Length,
        slot: Slot::Error,
    },
    protobuf::Interest {
        path: &[2, 1],
        want: protobuf::Want::Bytes,
        slot: Slot::Model,
    },
    protobuf::Interest {
        path: &[2, 3],
        want: protobuf::Want::Bytes,
        slot: Slot::Id,
    },
];
