//! HTTP/1 on the wire: what was said arrives as it was said.

use anyhow::{Context, Result, ensure};
use weir::meter::reason::{Decision, Reason};
use weir::meter::record::OutcomeKind;
use weir_tests::raw::Conversation;
use weir_tests::run::Ended;
use weir_tests::world::World;

const HOST: &str = "api.openai.com";

/// Has the conversation through weir and direct, and fails if a byte differs.
fn compare(conversation: &Conversation) -> Result<(Vec<u8>, Ended)> {
    let world = World::new()?;
    let ended = conversation.through(&world, HOST)?;
    let direct = conversation.direct(&world, HOST)?;
    let through = &ended.outcome.stdout;
    ensure!(!direct.is_empty(), "nothing was said");
    ensure!(
        *through == direct,
        "{:?}\nis not\n{:?}",
        String::from_utf8_lossy(through),
        String::from_utf8_lossy(&direct)
    );
    Ok((direct, ended))
}

fn one_exchange(ended: &Ended) -> Result<()> {
    ended.all_are(1, Decision::Intercept, Reason::CatalogueHost)?;
    ensure!(ended.only()?.outcome == OutcomeKind::Complete, "{ended:?}");
    Ok(())
}

#[test]
fn a_request_head_arrives_byte_for_byte() -> Result<()> {
    // Odd case, repeated fields, an empty value, spaces around another, and bytes
    // above ASCII: all of it is allowed, and libraries would tidy it up.
    let head = "GET /emulator/echo?q=%7E~;a=b&&c HTTP/1.1\r\n\
        X-Odd-CASE: 1\r\nhOST: api.openai.com\r\nx-twice: a\r\nAccept: */*\r\nX-Twice:  b  \r\n\
        X-Empty:\r\nX-Latin: caf\u{e9}\r\nCookie: a=1\r\nCookie: b=2\r\nconnection: close\r\n\r\n";
    let (answer, ended) = compare(&Conversation::say(head))?;
    let head: Vec<u8> = head.chars().map(|it| it as u8).collect();
    ensure!(
        answer.ends_with(&head),
        "not what was said: {:?}",
        String::from_utf8_lossy(&answer)
    );
    one_exchange(&ended)
}

#[test]
fn chunks_and_trailers_keep_their_form() -> Result<()> {
    let request = "POST /emulator/trailers HTTP/1.1\r\nHost: api.openai.com\r\nTE: trailers\r\n\
        Connection: close, TE\r\nTransfer-Encoding: chunked\r\nTrailer: X-Checksum\r\n\r\n\
        1\r\na\r\n0004\r\nbcde\r\na;extension=\"1\"\r\n0123456789\r\n0\r\nX-Checksum: Abc\r\n\r\n";
    let (answer, ended) = compare(&Conversation::say(request))?;
    let answer = String::from_utf8_lossy(&answer).to_ascii_lowercase();
    ensure!(answer.contains("x-echo-x-checksum: abc"), "{answer}");
    one_exchange(&ended)
}

#[test]
fn a_body_that_ends_with_the_connection_ends_there() -> Result<()> {
    let request = "GET /emulator/download?bytes=30000 HTTP/1.1\r\nHost: api.openai.com\r\n\
        x-emulator-framing: close\r\n\r\n";
    let (answer, ended) = compare(&Conversation::say(request))?;
    ensure!(answer.len() > 30_000, "{}", answer.len());
    one_exchange(&ended)
}

#[test]
fn a_body_waits_for_upstreams_own_continue() -> Result<()> {
    let head = "POST /emulator/informational HTTP/1.1\r\nHost: api.openai.com\r\n\
        Connection: close\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    let conversation = Conversation::say(head)
        .hear("100 Continue\r\n\r\n")
        .then_say("body");
    one_exchange(&compare(&conversation)?.1)
}

#[test]
fn requests_sent_ahead_are_answered_in_order() -> Result<()> {
    let request = |bytes: u32, connection: &str| {
        format!(
            "GET /emulator/download?bytes={bytes} HTTP/1.1\r\nHost: api.openai.com\r\n\
             Connection: {connection}\r\n\r\n"
        )
    };
    let ahead = [
        request(11, "keep-alive"),
        request(22, "keep-alive"),
        request(33, "close"),
    ];
    let (_, ended) = compare(&Conversation::say(&ahead.concat()))?;
    ended.all_are(3, Decision::Intercept, Reason::CatalogueHost)?;
    let sizes: Vec<u64> = ended.records().iter().map(|it| it.bytes_received).collect();
    assert_eq!(sizes, [11, 22, 33]);
    Ok(())
}

#[test]
fn an_answer_begins_before_its_request_has_ended() -> Result<()> {
    // Each piece is only sent when the one before has come back.
    let head = "POST /emulator/reflect HTTP/1.1\r\nHost: api.openai.com\r\n\
        Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut conversation = Conversation::say(head);
    for number in 10..40 {
        conversation = conversation
            .then_say(&format!("9\r\npiece {number}\n\r\n"))
            .hear(&format!("piece {number}\n"));
    }
    one_exchange(&compare(&conversation.then_say("0\r\n\r\n"))?.1)
}

#[test]
fn an_upgraded_connection_carries_anything() -> Result<()> {
    let head = "GET /emulator/upgrade HTTP/1.1\r\nHost: api.openai.com\r\n\
        Connection: Upgrade\r\nUpgrade: anything\r\n\r\n";
    let conversation = Conversation::say(head)
        .hear("\r\n\r\n")
        .then_say("\x00\u{ff} not HTTP")
        .hear("not HTTP");
    let world = World::new()?;
    // The server has no reason to end it: the client does, by leaving.
    let ended = conversation.clone().then_leave().through(&world, HOST)?;
    let direct = conversation.then_leave().direct(&world, HOST)?;
    assert_eq!(ended.outcome.stdout, direct);
    let record = ended.only()?;
    assert_eq!(
        (record.status, record.decision),
        (Some(101), Decision::Intercept)
    );
    ensure!(
        record.bytes_sent == 11 && record.bytes_received == 11,
        "{record:?}"
    );
    Ok(())
}

#[test]
fn a_websocket_carries_messages() -> Result<()> {
    let head = "GET /emulator/websocket HTTP/1.1\r\nHost: api.openai.com\r\n\
        Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    // RFC 6455, section 5.7: "Hello", masked; then a close without a reason.
    let hello = "\u{81}\u{85}\x37\u{fa}\x21\x3d\x7f\u{9f}\x4d\x51\x58";
    let close = "\u{88}\u{80}\x00\x00\x00\x00";
    let conversation = Conversation::say(head)
        .hear("\r\n\r\n")
        .then_say(hello)
        .hear("\u{81}\x05Hello")
        .then_say(close)
        .hear("\u{88}\x00")
        .then_leave();
    let (answer, ended) = compare(&conversation)?;
    let accept = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    ensure!(
        answer.windows(accept.len()).any(|part| part == accept),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    let record = ended.only().context("one exchange")?;
    assert_eq!(record.status, Some(101));
    Ok(())
}
