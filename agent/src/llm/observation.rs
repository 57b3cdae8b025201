//! What an inspection ends in.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::classify::Api;
use super::rpc_session::{Part, RpcSession};
use super::share::Split;
use super::tokens::Method;
use super::usage::{Provenance, Usage};

/// How the bytes of an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Both bodies ended as their framing said they would.
    Complete,
    /// Somebody left, or weir refused, before that.
    Cut,
}

/// Whether the tokens of an exchange may be stated by others, too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Claim {
    /// By nobody else.
    #[default]
    Sole,
    /// Others may state them again.
    First,
    /// Others will state them: the work goes on without this exchange.
    Deferred,
    /// They were stated before, unless the work was deferred.
    Repeat,
    /// They were stated before, if anybody looked.
    Collected,
}

/// Everything learnt from the bodies of one exchange. Holds no text of a prompt
/// or a completion; every string is bounded and comes from a field that names a
/// model, an identifier or an enumerated value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observation {
    /// The model that was asked for.
    pub request_model: Option<String>,
    /// The model that answered.
    pub response_model: Option<String>,
    /// The provider's identifier of the response.
    pub response_id: Option<String>,
    /// Whether the answer was (or was asked to be) an event stream.
    pub stream: Option<bool>,
    /// Why generation ended, in the provider's own word.
    pub finish_reason: Option<String>,
    /// The service tier stated in the response, never the one asked for.
    pub service_tier: Option<String>,
    /// How fast it was computed: `usage.speed` of Anthropic, `standard` or `fast`;
    /// `performanceConfig.latency` of Bedrock, `standard` or `optimized`.
    pub speed: Option<String>,
    /// `usage.inference_geo` of Anthropic, such as `us`.
    pub inference_geo: Option<String>,
    /// Token counts.
    pub usage: Usage,
    /// Which model they are of, where several had a part in the response.
    pub split: Option<Box<Split>>,
    /// The weakest provenance among the counts that are reported.
    pub provenance: Provenance,
    /// How counts were estimated. `None` of an estimate is a count that the
    /// provider stated before its last.
    pub method: Option<Method>,
    /// Type or code of an error the provider reported, at any status. Never its
    /// message, which may quote content.
    pub provider_error: Option<String>,
    /// What the provider says the exchange cost, in USD.
    pub stated_cost: Option<Decimal>,
    /// Whether other exchanges state the same tokens.
    pub claim: Claim,
    /// The provider charges it by terms that the usage does not tell.
    pub is_charged_otherwise: bool,
    /// The call of a tool or an agent, where the exchange is one.
    pub rpc: Option<Rpc>,
    /// What it means for the calls of a session, and of which.
    pub part: Option<(RpcSession, Part)>,
    /// What kept the inspection from seeing everything, each kind once.
    pub problems: Vec<Problem>,
}

impl Observation {
    /// `gen_ai.operation.name`, or a name of ours, of an exchange with `api`.
    /// Only one method of MCP runs a tool.
    #[must_use]
    pub fn operation(&self, api: Api) -> &'static str {
        match (api, &self.rpc) {
            (Api::Mcp, Some(Rpc { method, .. })) => match method.as_deref() {
                Some("tools/call") => "execute_tool",
                Some(_) | None => "mcp",
            },
            _ => api.operation(),
        }
    }
}

/// A call of the Model Context or the Agent2Agent protocol. Never its arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rpc {
    /// The method; `batch` for several of different ones. None is a stream or an
    /// answer of the application's.
    pub method: Option<String>,
    /// The tool, of `tools/call`.
    pub tool: Option<String>,
    /// How it came out, where the answer was seen: by the exchange itself, or by
    /// one of the same session.
    pub outcome: Option<RpcOutcome>,
}

/// How a call came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RpcOutcome {
    /// With a result.
    Ok,
    /// With a result that says that the tool failed.
    ToolError,
    /// With an error of the protocol.
    Error,
    /// With questions, whose answers another exchange will bring.
    InputRequired,
}

/// Why an inspection saw less than the whole exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// A content coding that weir does not know, or too many stacked.
    UnknownEncoding,
    /// The encoded body is not what its content coding says.
    BadEncoding,
    /// The decoded body passed the bound on its size.
    BodyTooLarge,
    /// The decoded body grew out of proportion to what arrived.
    DecompressionRatio,
    /// A document or an event is not JSON.
    BadJson,
    /// The body is not in the framing that its content type names.
    BadFraming,
    /// A document is nested deeper than the bound.
    TooDeep,
    /// A value of interest is longer than the bound on captured values.
    ValueTooLarge,
    /// The body ended within a document, an event or an encoded stream.
    Truncated,
    /// More calls were open on one connection than are followed.
    TooManyTurns,
    /// The inspector itself failed; what it had seen is lost.
    Panicked,
}

impl Problem {
    /// The name used in records and labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownEncoding => "unknown_encoding",
            Self::BadEncoding => "bad_encoding",
            Self::BodyTooLarge => "body_too_large",
            Self::DecompressionRatio => "decompression_ratio",
            Self::BadJson => "bad_json",
            Self::BadFraming => "bad_framing",
            Self::TooDeep => "too_deep",
            Self::ValueTooLarge => "value_too_large",
            Self::Truncated => "truncated",
            Self::TooManyTurns => "too_many_turns",
            Self::Panicked => "panicked",
        }
    }
}
