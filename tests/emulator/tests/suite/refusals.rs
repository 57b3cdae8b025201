//! What a provider refuses.

use http::Method;
use http_body_util::Full;
use serde_json::{Value, json};

use crate::client::{
    BOTH, Http, SURFACES, Surface, bare, call, emulator, exchange_bare, get, request,
};

#[tokio::test]
async fn a_request_without_credentials_is_refused_in_the_providers_words() {
    let emulator = emulator().await;
    for http in BOTH {
        for surface in SURFACES {
            let mut request = request(surface.path(), &surface.ask("Hello", false), &[]);
            request.headers_mut().remove("authorization");
            let reply = call(&emulator, http, request).await;
            assert_eq!(reply.status, 401);
            let (kind, expected) = match surface {
                Surface::Chat | Surface::Responses => ("code", "invalid_api_key"),
                Surface::Messages => ("type", "authentication_error"),
            };
            assert_eq!(reply.json()["error"][kind], expected);
        }
    }
}

#[tokio::test]
async fn an_api_key_header_is_anthropics_credential() {
    let emulator = emulator().await;
    let body = Surface::Messages.ask("Hello", false);
    let mut request = request("/v1/messages", &body, &[("x-api-key", "key")]);
    request.headers_mut().remove("authorization");
    assert_eq!(call(&emulator, Http::One, request).await.status, 200);
}

#[tokio::test]
async fn an_unknown_path_is_a_404_in_the_providers_shape() {
    let emulator = emulator().await;
    for (path, headers, kind) in [
        ("/v1/nothing", &[][..], "invalid_request_error"),
        (
            "/v1/nothing",
            &[("anthropic-version", "2023-06-01")],
            "not_found_error",
        ),
        ("/v1/messages/nothing", &[], "not_found_error"),
        ("/v1/responses/resp_unknown", &[], "invalid_request_error"),
    ] {
        let reply = call(&emulator, Http::Two, get(path, headers)).await;
        assert_eq!(reply.status, 404, "{path}");
        assert_eq!(reply.json()["error"]["type"], kind, "{path}");
    }
    let mut wrong_method = get("/v1/chat/completions", &[]);
    *wrong_method.method_mut() = Method::DELETE;
    assert_eq!(call(&emulator, Http::One, wrong_method).await.status, 404);
}

#[tokio::test]
async fn a_body_that_is_not_what_it_should_be_is_a_400() {
    let emulator = emulator().await;
    for surface in SURFACES {
        for body in ["", "{", "[]", "\"text\""] {
            let mut request = request(surface.path(), &Value::Null, &[]);
            *request.body_mut() = Full::new(body.into());
            let reply = call(&emulator, Http::One, request).await;
            assert_eq!(reply.status, 400, "{surface:?} {body:?}");
        }
        for member in ["model", "messages", "input"] {
            let mut body = surface.ask("Hello", false);
            let members = body.as_object_mut().expect("an object");
            if members.remove(member).is_none() {
                continue;
            }
            let reply = call(&emulator, Http::One, request(surface.path(), &body, &[])).await;
            assert_eq!(reply.status, 400, "{surface:?} without {member}");
            assert!(
                reply.text().contains(member),
                "{surface:?} without {member}"
            );
        }
    }
    for wrong in [json!(-1), json!("many"), json!(1.5)] {
        let mut body = Surface::Messages.ask("Hello", false);
        body["max_tokens"] = wrong;
        let reply = call(&emulator, Http::One, request("/v1/messages", &body, &[])).await;
        assert_eq!(reply.status, 400);
    }
}

#[tokio::test]
async fn a_control_header_with_a_wrong_value_is_refused_by_name() {
    let emulator = emulator().await;
    for header in [
        "x-emulator-delay-ms",
        "x-emulator-gap-ms",
        "x-emulator-chunking",
        "x-emulator-framing",
        "x-emulator-encoding",
        "x-emulator-fault",
        "x-emulator-fault-times",
        "x-emulator-tokens",
        "x-emulator-stamp",
    ] {
        let body = Surface::Chat.ask("Hello", false);
        let request = request(Surface::Chat.path(), &body, &[(header, "wrong")]);
        let reply = call(&emulator, Http::One, request).await;
        assert_eq!(reply.status, 400, "{header}");
        assert!(
            reply.text().starts_with(header),
            "{header}: {}",
            reply.text()
        );
    }
}

#[tokio::test]
async fn a_malformed_head_is_a_400_and_the_end_of_the_connection() {
    let emulator = emulator().await;
    for head in [
        "nonsense\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
    ] {
        let reply = exchange_bare(&emulator, head).await;
        assert!(reply.starts_with(b"HTTP/1.1 400 "), "{head:?}");
    }
    assert!(emulator.ledger().is_empty());
}

#[tokio::test]
async fn a_body_past_the_limit_is_a_413() {
    let emulator = emulator().await;
    let body = "x".repeat(32 * 1024 * 1024 + 1);
    let head = bare("POST", "/v1/messages", &[], &body);
    let reply = exchange_bare(&emulator, head).await;
    assert!(reply.starts_with(b"HTTP/1.1 413 "));
    let text = String::from_utf8(reply).expect("UTF-8");
    assert!(text.contains("request_too_large"));
}
