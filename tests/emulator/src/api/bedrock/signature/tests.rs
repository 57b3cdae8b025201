use http::{HeaderMap, HeaderValue, Version};

use super::*;
use crate::api::Provider;
use crate::wire::Origin;

/// As botocore 1.44.8 signs a call of Converse.
const SIGNED: &str = "\
POST /model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse HTTP/1.1
Host: bedrock-runtime.us-east-1.amazonaws.com
Content-Type: application/json
X-Amz-Date: 20261127T190625Z
X-Amz-Security-Token: test-token
Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261127/us-east-1/bedrock/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=67810fcfbf9042d9a1ee178c3a69ddd02a9e910c171797a7cf482e78629e6995
amz-sdk-request: attempt=1; max=3

{\"messages\": [{\"role\": \"user\", \"content\": [{\"text\": \"What does a weir do?\"}]}]}";

/// AWS' published test vectors for Signature Version 4, those of them whose
/// path is in its normal form.
const VECTORS: [&str; 7] = [
    "\
POST / HTTP/1.1
Host:example.amazonaws.com
Authorization:AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b
X-Amz-Date:20150830T123600Z

",
    "\
GET / HTTP/1.1
Host:example.amazonaws.com
Authorization:AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date;x-amz-security-token, Signature=07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8
X-Amz-Date:20150830T123600Z
X-Amz-Security-Token:6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267

",
    "\
GET / HTTP/1.1
Host:example.amazonaws.com
My-Header1: value1
My-Header2: \"a   b   c\"
Authorization:AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;my-header1;my-header2;x-amz-date, Signature=acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736
X-Amz-Date:20150830T123600Z

",
    "\
GET / HTTP/1.1
Host:example.amazonaws.com
My-Header1:value2
My-Header1:value2
My-Header1:value1
Authorization:AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;my-header1;x-amz-date, Signature=c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea
X-Amz-Date:20150830T123600Z

",
    "\
GET /?Param2=value2&Param1=value1 HTTP/1.1
Host:example.amazonaws.com
Authorization:AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500
X-Amz-Date:20150830T123600Z

",
    "\
GET /?Param-3=Value3&Param=Value2&%E1%88%B4=Value1 HTTP/1.1
Host:example.amazonaws.com
Authorization:AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac
X-Amz-Date:20150830T123600Z

",
    "\
POST / HTTP/1.1
Content-Type:application/x-www-form-urlencoded
Host:example.amazonaws.com
Content-Length:13
x-amz-content-sha256:9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e
Authorization:AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=content-length;content-type;host;x-amz-content-sha256;x-amz-date, Signature=d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b
X-Amz-Date:20150830T123600Z

Param1=value1",
];

fn parse(text: &str) -> (Request, Vec<u8>) {
    let (head, body) = text.split_once("\n\n").expect("a blank line");
    let mut lines = head.lines();
    let mut words = lines.next().expect("a request line").split(' ');
    let mut word = || words.next().expect("three words");
    let (method, target) = (word(), word());
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').expect("a field");
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        headers.append(name, HeaderValue::from_str(value.trim()).expect("a value"));
    }
    let request = Request {
        method: method.parse().expect("a method"),
        protocol: None,
        target: target.parse().expect("a target"),
        authority: None,
        version: Version::HTTP_11,
        headers,
        raw_head: bytes::Bytes::new(),
        origin: Origin {
            server_name: None,
            alpn: None,
        },
    };
    (request, body.as_bytes().to_vec())
}

/// The time at which [`SIGNED`] was, and some seconds.
fn later(seconds: i64) -> OffsetDateTime {
    time_of("20261127T190625Z").expect("a time") + Duration::seconds(seconds)
}

fn refusal_of(text: &str, now: OffsetDateTime) -> Option<(u16, String)> {
    let (request, body) = parse(text);
    let refusal = verify(&request, &body, now).err()?;
    let answer = refusal.answer(Provider::Bedrock);
    let mut fields = answer.head.fields.iter();
    let kind = fields.find_map(|(name, value)| (name == "x-amzn-ErrorType").then_some(value));
    let kind = kind.and_then(|kind| kind.split(':').next());
    Some((
        answer.head.status.as_u16(),
        kind.expect("a type").to_owned(),
    ))
}

#[test]
fn the_published_vectors_hold() {
    for vector in VECTORS {
        let (request, body) = parse(vector);
        let authorization = request.header("authorization").expect("it is signed");
        let claim = Claim::of(authorization).expect("a claim");
        let expected = claim.expected(&request, &body, "20150830T123600Z");
        assert_eq!(expected, claim.signature, "{vector}");
    }
}

#[test]
fn a_request_holds_as_it_was_signed_and_with_more_unsigned_fields() {
    assert_eq!(refusal_of(SIGNED, later(3)), None);
    let more = SIGNED.replace("attempt=1", "attempt=2");
    assert_eq!(refusal_of(&more, later(3)), None);
    let more = SIGNED.replace("amz-sdk-request", "traceparent: 00-1\namz-sdk-request");
    assert_eq!(refusal_of(&more, later(3)), None);
}

#[test]
fn one_changed_byte_of_what_was_signed_is_refused() {
    for (from, to) in [
        ("POST /model", "PUT /model"),
        ("Ainference", "ainference"),
        ("arn%3Aaws", "arn:aws"),
        ("arn%3Aaws", "arn%3aaws"),
        ("/converse HTTP", "/converse?a=b HTTP"),
        ("/converse HTTP", "/converse-stream HTTP"),
        ("Host: bedrock", "Host: Bedrock"),
        ("amazonaws.com\n", "amazonaws.com:443\n"),
        ("application/json", "application/json; charset=utf-8"),
        ("Content-Type: application/json\n", ""),
        ("test-token", "test-toke"),
        ("190625Z\n", "190626Z\n"),
        ("us-east-1/bedrock", "us-east-2/bedrock"),
        ("content-type;host", "host"),
        ("67810fcf", "67810fce"),
        ("{\"messages", "{ \"messages"),
        ("do?\"}]}]}", "do?\"}]}]}\n"),
    ] {
        let changed = SIGNED.replacen(from, to, 1);
        assert_ne!(changed, SIGNED, "{from}");
        let expected = Some((403, "InvalidSignatureException".to_owned()));
        assert_eq!(refusal_of(&changed, later(3)), expected, "{from} → {to}");
    }
}

#[test]
fn refusals_say_what_is_wrong() {
    for (from, to, kind) in [
        (
            "Authorization",
            "X-Other",
            "MissingAuthenticationTokenException",
        ),
        ("AWS4-HMAC-SHA256", "AWS4", "IncompleteSignatureException"),
        ("Signature=", "Nothing=", "IncompleteSignatureException"),
        (
            "X-Amz-Date: 2026",
            "X-Date: 2026",
            "IncompleteSignatureException",
        ),
        ("AKIDEXAMPLE", "AKIDOTHER", "UnrecognizedClientException"),
        ("/bedrock/", "/s3/", "InvalidSignatureException"),
        ("host;", "", "InvalidSignatureException"),
        ("/20261127/", "/20261126/", "InvalidSignatureException"),
    ] {
        let changed = SIGNED.replacen(from, to, 1);
        let expected = Some((403, kind.to_owned()));
        assert_eq!(refusal_of(&changed, later(0)), expected, "{from} → {to}");
    }
}

#[test]
fn a_signature_holds_for_five_minutes() {
    for (seconds, holds) in [(300, true), (301, false), (-300, true), (-301, false)] {
        let refusal = refusal_of(SIGNED, later(seconds));
        assert_eq!(refusal.is_none(), holds, "{seconds}: {refusal:?}");
    }
}

#[test]
fn an_api_key_signs_nothing() {
    let keyed = "POST /model/m/converse HTTP/1.1\nAuthorization: Bearer key\n\n{}";
    assert_eq!(refusal_of(keyed, later(0)), None);
}
