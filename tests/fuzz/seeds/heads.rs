//! Heads of exchanges, and what stands in them.

use super::exchanges::Exchange;

/// A method and a path.
pub(crate) fn line(exchange: &Exchange) -> Vec<u8> {
    format!("{} {}", exchange.head.method, exchange.head.path).into_bytes()
}

/// A request.
pub(crate) fn request(exchange: &Exchange) -> Vec<u8> {
    let mut head = format!(
        "{} {} HTTP/1.1\r\nHost: api.openai.com\r\nConnection: Upgrade, HTTP2-Settings, te\r\n\
         Upgrade: h2c\r\nExpect: 100-continue\r\n",
        exchange.head.method, exchange.head.path
    );
    for (name, value) in &exchange.head.request_headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    match exchange.request.len() % 3 {
        0 => head.push_str("Transfer-Encoding: chunked\r\n\r\n"),
        1 => head.push_str("\r\n"),
        _ => head.push_str(&format!(
            "Content-Length: {}\r\n\r\n",
            exchange.request.len()
        )),
    }
    head.into_bytes()
}

/// A response, behind the byte that stands for the method.
pub(crate) fn response(exchange: &Exchange) -> Vec<u8> {
    let length = exchange.response.len();
    let framing = match length % 3 {
        0 => "Transfer-Encoding: chunked\r\n".to_owned(),
        1 => String::new(),
        _ => format!("Content-Length: {length}\r\n"),
    };
    let (status, media_type) = (exchange.head.status, &exchange.head.content_type);
    let method = if length.is_multiple_of(2) {
        '\0'
    } else {
        '\x01'
    };
    format!("{method}HTTP/1.1 {status} OK\r\nContent-Type: {media_type}\r\n{framing}\r\n")
        .into_bytes()
}

/// Authorities and absolute forms.
pub(crate) fn authorities() -> Vec<Vec<u8>> {
    const ALL: [&str; 12] = [
        "api.openai.com",
        "API.OpenAI.com.:443",
        "api.openai.com:+443",
        "api.openai.com:0443",
        "user:secret@api.openai.com",
        "[2001:db8::1]:8443",
        "[2001:db8::1]",
        "[api.openai.com]",
        "https://api.openai.com:443/v1?q#f",
        "http://user@[2001:db8::1]:8443",
        "HTTPS://api.openai.com\\@example.com/",
        "api.openai.com..",
    ];
    ALL.map(|it| it.as_bytes().to_vec()).to_vec()
}

/// Trace contexts.
pub(crate) fn contexts() -> Vec<Vec<u8>> {
    const ALL: [&str; 4] = [
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\nrojo=00f067aa0ba902b7,congo=t61",
        "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00-what-else",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
    ];
    ALL.map(|it| it.as_bytes().to_vec()).to_vec()
}
