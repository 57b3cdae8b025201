//! Clients that leave before the end.

use std::time::Duration;

use http_body_util::BodyExt;
use weir_emulator::{Ended, Told, UsageTold};

use crate::client::{BOTH, LIMIT, SURFACES, emulator, request, send};

const PROMPT: &str = "A long story, please.";

#[tokio::test]
async fn a_client_that_leaves_between_two_events_is_noticed_before_the_next() {
    for http in BOTH {
        for surface in SURFACES {
            let case = format!("{http:?} {surface:?}");
            let emulator = emulator().await;
            // The next event would come after the limit of this test.
            let gap = (LIMIT + Duration::from_secs(60)).as_millis().to_string();
            let headers = [("x-emulator-gap-ms", gap.as_str())];
            let body = surface.ask(PROMPT, true);
            let request = request(surface.path(), &body, &headers);
            let mut response = send(&emulator, http, request).await.expect("a head");
            response.frame().await.expect("an event").expect("an event");
            assert!(emulator.ledger().is_empty(), "{case}");
            drop(response);

            let entries = emulator.wait_ledger(LIMIT, |told| told.len() == 1).await;
            let told = entries.expect("an entry").remove(0);
            assert_eq!(told.ended, Ended::ClientGone, "{case}");
            assert_eq!(told.output_tokens, 0, "{case}");
            assert_ne!(told.usage_told, UsageTold::Complete, "{case}");
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_later_has_been_sent_what_the_ledger_says() {
    for http in BOTH {
        for surface in SURFACES {
            let case = format!("{http:?} {surface:?}");
            let emulator = emulator().await;
            let headers = [("x-emulator-gap-ms", "5"), ("x-emulator-tokens", "20000")];
            let mut body = surface.ask(PROMPT, true);
            if surface == crate::client::Surface::Messages {
                body["max_tokens"] = serde_json::json!(20_000);
            }
            let request = request(surface.path(), &body, &headers);
            let mut response = send(&emulator, http, request).await.expect("a head");
            for _ in 0..12 {
                response.frame().await.expect("an event").expect("an event");
            }
            drop(response);

            let entries = emulator.wait_ledger(LIMIT, |told| told.len() == 1).await;
            let told = entries.expect("an entry").remove(0);
            assert_eq!(told.ended, Ended::ClientGone, "{case}");
            assert!((5..20_000).contains(&told.output_tokens), "{case} {told:?}");
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_during_its_upload_is_in_the_ledger() {
    use tokio::io::AsyncWriteExt;

    let emulator = emulator().await;
    let mut socket = tokio::net::TcpStream::connect(emulator.addrs()[1])
        .await
        .expect("connected");
    let head = "POST /v1/messages HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{";
    socket.write_all(head.as_bytes()).await.expect("sent");
    drop(socket);
    let entries = emulator.wait_ledger(LIMIT, |told| told.len() == 1).await;
    let told = entries.expect("an entry").remove(0);
    assert_eq!(told.ended, Ended::ClientGone);
    assert_eq!(told.status, None);
}

#[tokio::test]
async fn what_is_under_way_at_shutdown_is_in_the_ledger_as_stopped() {
    for http in BOTH {
        let emulator = emulator().await;
        let headers = [("x-emulator-gap-ms", "600000")];
        let body = SURFACES[0].ask(PROMPT, true);
        let request = request(SURFACES[0].path(), &body, &headers);
        let mut response = send(&emulator, http, request).await.expect("a head");
        response.frame().await.expect("an event").expect("an event");
        let told: Vec<Told> = emulator.shutdown().await;
        assert_eq!(told.len(), 1, "{http:?}");
        assert_eq!(told[0].ended, Ended::Stopped, "{http:?}");
    }
}
