//! Answers that go wrong, and only in the way that was asked for.

use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use weir_emulator::{Ended, Fault, Told, UsageTold};

use crate::client::{
    BOTH, Http, LIMIT, SURFACES, Surface, bare, call, emulator, exchange_bare, read, request, send,
};

const PROMPT: &str = "Go wrong.";

/// The last entry of a ledger that has `count` of them.
async fn last(emulator: &weir_emulator::Emulator, count: usize) -> Told {
    let entries = emulator
        .wait_ledger(LIMIT, |told| told.len() == count)
        .await;
    entries.expect("entries").pop().expect("an entry")
}

#[tokio::test]
async fn a_reset_breaks_the_answer_half_way() {
    for http in BOTH {
        for surface in SURFACES {
            for stream in [true, false] {
                let case = format!("{http:?} {surface:?} stream={stream}");
                let emulator = emulator().await;
                let body = surface.ask(PROMPT, stream);
                let whole = call(&emulator, http, request(surface.path(), &body, &[])).await;
                let fault = [("x-emulator-fault", "reset-mid-stream")];
                let response = send(&emulator, http, request(surface.path(), &body, &fault)).await;
                let mut received = Vec::new();
                let broken = match response {
                    // A reset may overtake the head.
                    Err(_) => true,
                    Ok(response) => {
                        let mut response = response.into_body();
                        loop {
                            match response.frame().await {
                                Some(Ok(frame)) => {
                                    received.extend_from_slice(frame.data_ref().expect("data"));
                                }
                                Some(Err(_)) => break true,
                                None => break false,
                            }
                        }
                    }
                };
                assert!(broken, "{case}");
                assert!(whole.body.starts_with(&received), "{case}");
                assert!(received.len() < whole.body.len(), "{case}");
                let told = last(&emulator, 2).await;
                assert_eq!(told.ended, Ended::Fault, "{case}");
                assert_eq!(told.fault, Some(Fault::ResetMidStream), "{case}");
                assert_ne!(told.usage_told, UsageTold::Complete, "{case}");
                assert!(
                    told.output_tokens < emulator.ledger()[0].output_tokens,
                    "{case}"
                );
            }
        }
    }
}

#[tokio::test]
async fn an_early_close_ends_a_stream_without_its_terminator() {
    let emulator = emulator().await;
    let body = Surface::Chat.ask(PROMPT, true).to_string();
    let headers = [("x-emulator-fault", "close-early")];
    let reply = exchange_bare(
        &emulator,
        bare("POST", Surface::Chat.path(), &headers, &body),
    )
    .await;
    let reply = String::from_utf8(reply).expect("UTF-8");
    assert!(reply.contains("data: {") && !reply.contains("[DONE]"));
    assert!(!reply.ends_with("0\r\n\r\n"));
    assert_eq!(last(&emulator, 1).await.ended, Ended::Fault);

    let body = Surface::Chat.ask(PROMPT, true);
    let request = request(Surface::Chat.path(), &body, &headers);
    let reply = call(&emulator, Http::Two, request).await;
    assert!(reply.text().contains("data: {") && !reply.text().contains("[DONE]"));
    assert_eq!(last(&emulator, 2).await.ended, Ended::Fault);
}

#[tokio::test]
async fn an_error_event_is_the_last_of_a_stream_and_a_500_otherwise() {
    let emulator = emulator().await;
    let headers = [("x-emulator-fault", "error-event")];
    for (number, surface) in SURFACES.into_iter().enumerate() {
        let body = surface.ask(PROMPT, true);
        let reply = call(
            &emulator,
            Http::One,
            request(surface.path(), &body, &headers),
        )
        .await;
        assert_eq!(reply.status, 200);
        let events = reply.events();
        let error = &events[events.len() - 1];
        assert!(
            error["error"].is_object() || error["type"] == "error",
            "{surface:?} {error}"
        );
        assert_eq!(last(&emulator, 2 * number + 1).await.ended, Ended::Fault);

        let body = surface.ask(PROMPT, false);
        let reply = call(
            &emulator,
            Http::One,
            request(surface.path(), &body, &headers),
        )
        .await;
        assert_eq!(reply.status, 500);
        assert!(reply.json()["error"]["message"].is_string());
        assert_eq!(last(&emulator, 2 * number + 2).await.ended, Ended::Fault);
    }
}

#[tokio::test]
async fn usage_can_be_held_back_and_the_ledger_knows_what_it_was() {
    let emulator = emulator().await;
    let mut count = 0;
    for surface in SURFACES {
        for stream in [true, false] {
            let case = format!("{surface:?} stream={stream}");
            let body = surface.ask(PROMPT, stream);
            let headers = [("x-emulator-fault", "no-usage")];
            let reply = call(
                &emulator,
                Http::Two,
                request(surface.path(), &body, &headers),
            )
            .await;
            count += 1;
            assert!(!reply.text().contains("\"output_tokens\""), "{case}");
            assert!(!reply.text().contains("\"completion_tokens\""), "{case}");
            let told = last(&emulator, count).await;
            assert_eq!(told.usage_told, UsageTold::No, "{case}");
            assert_eq!(told.ended, Ended::Complete, "{case}");
            assert!(told.output_tokens > 0, "{case}");
        }
    }
}

#[tokio::test]
async fn refusals_have_the_status_and_the_shape_of_their_provider() {
    let emulator = emulator().await;
    for http in BOTH {
        for (fault, status) in [("429", 429), ("529", 529), ("expect-refuse", 417)] {
            for surface in SURFACES {
                let headers = [("x-emulator-fault", fault)];
                let body = surface.ask(PROMPT, true);
                let reply = call(&emulator, http, request(surface.path(), &body, &headers)).await;
                assert_eq!(reply.status, status);
                assert_eq!(reply.headers.contains_key("retry-after"), fault == "429");
                let error = reply.json();
                assert!(error["error"]["message"].is_string(), "{error}");
                let anthropic = surface == Surface::Messages;
                assert_eq!(error["type"] == "error", anthropic, "{error}");
            }
        }
        let headers = [("x-emulator-fault", "500-html")];
        let body = Surface::Chat.ask(PROMPT, false);
        let reply = call(
            &emulator,
            http,
            request(Surface::Chat.path(), &body, &headers),
        )
        .await;
        assert_eq!(reply.status, 500);
        assert_eq!(reply.headers["content-type"], "text/html");
        assert!(reply.text().starts_with("<html>"));
    }
    let entries = emulator.wait_ledger(LIMIT, |told| told.len() == 20).await;
    for told in entries.expect("twenty entries") {
        assert_eq!(told.ended, Ended::Fault, "{told:?}");
        assert_eq!(told.output_tokens, 0, "{told:?}");
    }
}

#[tokio::test]
async fn a_fault_can_be_for_the_first_tries_only() {
    let emulator = emulator().await;
    let body = Surface::Chat.ask(PROMPT, false);
    for (retry, status) in [("0", 429), ("1", 429), ("2", 200)] {
        let headers = [
            ("x-emulator-fault", "429"),
            ("x-emulator-fault-times", "2"),
            ("x-stainless-retry-count", retry),
        ];
        let reply = call(
            &emulator,
            Http::One,
            request(Surface::Chat.path(), &body, &headers),
        )
        .await;
        assert_eq!(reply.status, status, "retry {retry}");
    }
}

#[tokio::test]
async fn a_delay_and_slow_headers_hold_back_the_head() {
    let emulator = emulator().await;
    let body = Surface::Chat.ask(PROMPT, false);
    for http in BOTH {
        let plain = call(&emulator, http, request(Surface::Chat.path(), &body, &[])).await;
        for headers in [
            &[("x-emulator-delay-ms", "120")][..],
            &[
                ("x-emulator-delay-ms", "120"),
                ("x-emulator-fault", "slow-headers"),
            ],
        ] {
            let begun = Instant::now();
            let response = send(
                &emulator,
                http,
                request(Surface::Chat.path(), &body, headers),
            )
            .await;
            assert!(begun.elapsed() >= Duration::from_millis(120));
            let reply = read(response.expect("a reply")).await.expect("a body");
            assert_eq!(reply.body, plain.body);
            assert_eq!(reply.headers, plain.headers);
        }
    }
}

#[tokio::test]
async fn gaps_are_between_events() {
    let emulator = emulator().await;
    let mut body = Surface::Messages.ask(PROMPT, true);
    body["max_tokens"] = serde_json::json!(2);
    let headers = [("x-emulator-gap-ms", "15")];
    let begun = Instant::now();
    let reply = call(
        &emulator,
        Http::Two,
        request("/v1/messages", &body, &headers),
    )
    .await;
    let gaps = u32::try_from(reply.events().len() - 1).expect("few events");
    assert!(begun.elapsed() >= Duration::from_millis(15) * gaps);
}

#[tokio::test]
async fn an_early_hint_precedes_the_answer() {
    let emulator = emulator().await;
    let body = Surface::Chat.ask(PROMPT, false).to_string();
    let headers = [("x-emulator-fault", "early-hints")];
    let reply = exchange_bare(
        &emulator,
        bare("POST", Surface::Chat.path(), &headers, &body),
    )
    .await;
    let reply = String::from_utf8(reply).expect("UTF-8");
    let (hint, answer) = reply.split_once("\r\n\r\n").expect("two heads");
    assert!(hint.starts_with("HTTP/1.1 103 Early Hints\r\nLink: "));
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(last(&emulator, 1).await.ended, Ended::Complete);
}
