//! JSON-RPC of agents: the Model Context Protocol in all its revisions, and the
//! Agent2Agent protocol in its JSON-RPC and REST bindings.
//!
//! Neither states tokens. What is read is the method, the tool, and how it came
//! out; arguments and results are not looked at.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use super::json::{EACH, Interest, Path, Table, Want};
use super::observation::RpcOutcome;
use super::reading::{Draft, Reading, Slot, response};
use super::request::RequestSlot;
use super::rpc_session::Answer;

const fn request(path: Path, slot: RequestSlot) -> Interest<RequestSlot> {
    Interest {
        path,
        want: Want::Scalar,
        slot,
    }
}

/// What is read of a request, and of a batch of them, which one revision of MCP
/// allowed.
pub(super) static REQUEST: Table<RequestSlot> = Table::new(&[
    request(&["method"], RequestSlot::RpcMethod),
    request(&["params", "name"], RequestSlot::RpcName),
    request(&["id"], RequestSlot::RpcId),
    request(&["params", "requestId"], RequestSlot::RpcCancelled),
    request(&[EACH, "method"], RequestSlot::RpcMethod),
    request(&[EACH, "params", "name"], RequestSlot::RpcName),
]);

/// What is read of a response of MCP, of a batch of them, and of an event.
pub(super) static MCP: Table<Slot> = Table::new(&[
    response(&["method"], Want::Scalar, Slot::Kind),
    response(&["id"], Want::Scalar, Slot::RpcId),
    response(&["result"], Want::Mark, Slot::Choice),
    response(&["result", "isError"], Want::Scalar, Slot::Failure),
    response(&["result", "resultType"], Want::Scalar, Slot::Status),
    response(&["error"], Want::Mark, Slot::Error),
    response(&["error", "code"], Want::Scalar, Slot::ErrorNumber),
    response(&[EACH, "result"], Want::Mark, Slot::Choice),
    response(&[EACH, "result", "isError"], Want::Scalar, Slot::Failure),
    response(&[EACH, "error"], Want::Mark, Slot::Error),
    response(&[EACH, "error", "code"], Want::Scalar, Slot::ErrorNumber),
]);

/// What is read of a response of A2A, and of an event: of the REST binding, whose
/// documents these are, and of JSON-RPC.
pub(super) static A2A: Table<Slot> = Table::new(&[
    response(&["task"], Want::Mark, Slot::Choice),
    response(&["message"], Want::Mark, Slot::Choice),
    response(&["message"], Want::Mark, Slot::Done),
    response(&["statusUpdate"], Want::Mark, Slot::Choice),
    response(&["artifactUpdate"], Want::Mark, Slot::Choice),
    response(&["task", "id"], Want::Scalar, Slot::Id),
    response(
        &["task", "status", "state"],
        Want::Scalar,
        Slot::FinishReason,
    ),
    response(&["statusUpdate", "taskId"], Want::Scalar, Slot::Id),
    response(
        &["statusUpdate", "status", "state"],
        Want::Scalar,
        Slot::FinishReason,
    ),
    response(&["status", "state"], Want::Scalar, Slot::FinishReason),
    response(&["tasks"], Want::Mark, Slot::Choice),
    // In the envelope of JSON-RPC.
    response(&["result"], Want::Mark, Slot::Choice),
    response(&["error"], Want::Mark, Slot::Error),
    response(&["error", "code"], Want::Scalar, Slot::ErrorNumber),
    response(&["result", "task"], Want::Mark, Slot::Choice),
    response(&["result", "message"], Want::Mark, Slot::Choice),
    // A message is all that its stream says.
    response(&["result", "message"], Want::Mark, Slot::Done),
    response(&["result", "kind"], Want::Scalar, Slot::Kind),
    response(&["result", "statusUpdate"], Want::Mark, Slot::Choice),
    response(&["result", "artifactUpdate"], Want::Mark, Slot::Choice),
    response(&["result", "task", "id"], Want::Scalar, Slot::Id),
    response(
        &["result", "task", "status", "state"],
        Want::Scalar,
        Slot::FinishReason,
    ),
    response(
        &["result", "statusUpdate", "taskId"],
        Want::Scalar,
        Slot::Id,
    ),
    response(
        &["result", "statusUpdate", "status", "state"],
        Want::Scalar,
        Slot::FinishReason,
    ),
    // A task that was asked for is the result; before the first version, so was
    // any, and an event of one.
    response(&["result", "id"], Want::Scalar, Slot::Id),
    response(&["result", "taskId"], Want::Scalar, Slot::Id),
    response(
        &["result", "status", "state"],
        Want::Scalar,
        Slot::FinishReason,
    ),
]);

/// Takes a response of MCP. What has a method is a request or a notification of
/// the server's own, and no answer.
pub(super) fn commit_mcp(mut draft: Draft, reading: &mut Reading) {
    if draft.kind.take().is_some() {
        reading.documents = reading.documents.saturating_add(1);
        return;
    }
    let waits = draft.status.take().as_deref() == Some("input_required");
    let outcome = match outcome(&draft) {
        Some(RpcOutcome::Ok) if waits => Some(RpcOutcome::InputRequired),
        outcome => outcome,
    };
    if let (Some(id), Some(outcome)) = (draft.rpc_id.take(), outcome) {
        let error = draft.error_code.clone().filter(|_| draft.has_error);
        reading.news.answered(Answer { id, outcome, error });
    }
    reading.has_ended |= outcome.is_some();
    reading.rpc_outcome = outcome.or(reading.rpc_outcome);
    reading.commit(draft);
}

/// Takes a response of A2A. A task that will not go on is the end of its stream, as
/// is a message, which there is in the place of a task.
pub(super) fn commit_a2a(mut draft: Draft, reading: &mut Reading) {
    const ENDS: [&str; 8] = [
        "TASK_STATE_COMPLETED",
        "TASK_STATE_FAILED",
        "TASK_STATE_CANCELED",
        "TASK_STATE_REJECTED",
        "completed",
        "failed",
        "canceled",
        "rejected",
    ];
    let state = draft.finish_reason.as_deref();
    let is_message = draft.is_done || draft.kind.as_deref() == Some("message");
    let has_ended =
        draft.has_error || is_message || state.is_some_and(|state| ENDS.contains(&state));
    // A task may be all there is in the document.
    draft.has_choice |= state.is_some();
    reading.rpc_outcome = outcome(&draft).or(reading.rpc_outcome);
    reading.commit(draft);
    reading.has_ended |= has_ended;
}

fn outcome(draft: &Draft) -> Option<RpcOutcome> {
    if draft.has_error {
        Some(RpcOutcome::Error)
    } else if draft.is_failure {
        Some(RpcOutcome::ToolError)
    } else {
        draft.has_choice.then_some(RpcOutcome::Ok)
    }
}
