//! Parsing of a request head, keeping the bytes it was parsed from.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};

use super::body::BodyReader;

/// The longest head, in bytes: four times what the providers accept.
const HEAD_BYTES_MAX: usize = 256 * 1024;

/// The most fields in a head.
const FIELDS_MAX: usize = 256;

/// A head that cannot be answered properly.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HeadError {
    /// Not HTTP/1.
    #[error("malformed request head: {0}")]
    Malformed(#[from] httparse::Error),
    /// A target, method or field value that the grammar does not allow.
    #[error("malformed request head: {0}")]
    Syntax(#[from] http::Error),
    /// Two lengths, or an encoding other than chunked.
    #[error("malformed request head: ambiguous body length")]
    Length,
    /// Longer than the bound.
    #[error("request head exceeds {HEAD_BYTES_MAX} bytes")]
    TooLong,
}

impl HeadError {
    /// The status to refuse it with.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            HeadError::Malformed(_) | HeadError::Syntax(_) | HeadError::Length => {
                StatusCode::BAD_REQUEST
            }
            HeadError::TooLong => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        }
    }
}

/// A parsed head.
pub(super) struct Parsed {
    pub(super) method: Method,
    pub(super) target: Uri,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
    pub(super) raw: Bytes,
    pub(super) body: BodyReader,
    pub(super) expects_continue: bool,
    pub(super) persistent: bool,
}

/// Takes one head off the front of `inbound`, `None` if it is not there yet.
pub(super) fn parse(inbound: &mut BytesMut) -> Result<Option<Parsed>, HeadError> {
    let mut slots = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut slots);
    let httparse::Status::Complete(length) = request.parse(inbound)? else {
        if inbound.len() > HEAD_BYTES_MAX {
            return Err(HeadError::TooLong);
        }
        return Ok(None);
    };
    let method = request
        .method
        .unwrap_or_default()
        .parse::<Method>()
        .map_err(http::Error::from)?;
    let target = request
        .path
        .unwrap_or_default()
        .parse::<Uri>()
        .map_err(http::Error::from)?;
    let version = match request.version {
        Some(0) => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    let mut headers = HeaderMap::with_capacity(request.headers.len());
    for field in request.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(http::Error::from)?;
        let value = HeaderValue::from_bytes(field.value).map_err(http::Error::from)?;
        headers.append(name, value);
    }
    let body = body_of(&headers)?;
    let expects_continue = version == Version::HTTP_11
        && !body.is_complete()
        && has_token(&headers, &header::EXPECT, "100-continue");
    let persistent = match version {
        Version::HTTP_10 => has_token(&headers, &header::CONNECTION, "keep-alive"),
        _ => !has_token(&headers, &header::CONNECTION, "close"),
    };
    Ok(Some(Parsed {
        method,
        target,
        version,
        headers,
        raw: inbound.split_to(length).freeze(),
        body,
        expects_continue,
        persistent,
    }))
}

/// How the request body is framed (RFC 9112, section 6.3).
fn body_of(headers: &HeaderMap) -> Result<BodyReader, HeadError> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let length = lengths.next();
    match (headers.get(header::TRANSFER_ENCODING), length) {
        (Some(_), Some(_)) => Err(HeadError::Length),
        (Some(encoding), None) if encoding.as_bytes().eq_ignore_ascii_case(b"chunked") => {
            Ok(BodyReader::chunked())
        }
        (Some(_), None) => Err(HeadError::Length),
        (None, Some(length)) if lengths.next().is_none() => length
            .to_str()
            .ok()
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .map(BodyReader::length)
            .ok_or(HeadError::Length),
        (None, Some(_)) => Err(HeadError::Length),
        (None, None) => Ok(BodyReader::none()),
    }
}

/// Whether a comma-separated header lists `token`.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|listed| listed.trim().eq_ignore_ascii_case(token))
}
