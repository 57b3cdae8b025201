//! A connection upstream that several use, and its end.

use std::time::Duration;

use bytes::Bytes;
use h2::{client, server};
use http::{Response, StatusCode};
use tokio::task::JoinSet;

use super::Session;
use crate::{
    meter::record::OutcomeKind,
    proxy::{
        h2::tests::{Connection, drive, request},
        leg::Leg,
        testing::{Relayed, pair, within},
    },
};

/// A connection upstream, and its server.
async fn session(settings: &server::Builder) -> (Session, Connection) {
    let (near, far) = pair().await;
    let (session, server) = within(async {
        tokio::join!(
            Session::begin(Leg::Cleartext(near)),
            settings.handshake(far)
        )
    })
    .await;
    (session.unwrap(), server.unwrap())
}

#[tokio::test]
async fn one_connection_serves_two_and_lasts_for_the_one_that_is_left() {
    let (session, mut server) = session(&server::Builder::new()).await;
    let lent = session.lend();
    let mut first = Relayed::over(session).await;
    let mut second = Relayed::over(lent.join().expect("it has room")).await;
    let ask = async |relayed: &mut Relayed| {
        let client = std::mem::replace(&mut relayed.client, pair().await.0);
        let (requests, connection) = client::handshake(client).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let (response, _body) = requests
            .ready()
            .await
            .unwrap()
            .send_request(request("/v1/models"), true)
            .unwrap();
        (response, driver)
    };
    let (_response, mut of_first) = within(ask(&mut first)).await;
    let (_, _unanswered) = within(server.accept()).await.unwrap().unwrap();
    let (response, of_second) = within(ask(&mut second)).await;
    let (_, mut respond) = within(server.accept()).await.unwrap().unwrap();
    let _driver = drive(server);

    of_first.shutdown().await;
    let records = first.records().await;
    assert_eq!(records[0].outcome, OutcomeKind::ClientGone);
    respond.send_response(Response::new(()), true).unwrap();
    assert_eq!(within(response).await.unwrap().status(), StatusCode::OK);
    drop(of_second);
    let records = second.records().await;
    assert_eq!(records[0].outcome, OutcomeKind::Complete);
    assert!(!lent.is_used(), "nobody keeps it here");
}

#[tokio::test]
async fn a_connection_is_joined_neither_after_a_goaway_nor_when_half_of_it_is_used() {
    let mut settings = server::Builder::new();
    settings.max_concurrent_streams(6);
    let (session, mut server) = session(&settings).await;
    let mut requests = session.ready().await.unwrap();
    let (response, _) = requests.send_request(request("/v1/a"), true).unwrap();
    let (_, mut respond) = within(server.accept()).await.unwrap().unwrap();
    let mut sending = respond.send_response(Response::new(()), false).unwrap();
    // Its settings come before.
    let _body = within(async {
        tokio::select! {
            response = response => response.unwrap(),
            _ = server.accept() => panic!("nothing else was asked"),
        }
    })
    .await;
    let lent = session.lend();
    let joined = [lent.join().unwrap(), lent.join().unwrap()];
    assert!(lent.join().is_none(), "three of six are used");
    drop(joined);
    assert!(lent.join().is_some());
    server.graceful_shutdown();
    let _driver = drive(server);
    within(async {
        while lent.join().is_some() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    // Though a stream of it goes on.
    sending.send_data(Bytes::new(), true).unwrap();
    assert!(lent.is_used());
}
