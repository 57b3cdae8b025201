//! A client that says exactly what a test says, over TLS, and keeps every byte
//! of the answer: HTTP libraries would tidy up both.

use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::run::Ended;
use crate::world::{PROVIDER, World};

/// Trusts what `SSL_CERT_FILE` names, and writes what it got to standard output.
const CLIENT: &str = r#"
import json, os, socket, ssl, sys

context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
context.set_alpn_protocols(["http/1.1"])
host, address, steps = sys.argv[1:]
connection = socket.create_connection((address, 443), 30)
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
connection = context.wrap_socket(connection, server_hostname=host)
received, looked_at = b"", 0

def more():
    try:
        return connection.recv(65536)
    except ssl.SSLEOFError:
        return b""

for step in json.loads(steps):
    if "send" in step:
        connection.sendall(step["send"].encode("latin-1"))
    elif "await" in step:
        text = step["await"].encode("latin-1")
        while (at := received.find(text, looked_at)) < 0:
            piece = more()
            if not piece:
                sys.exit(f"the connection ended before {text}: {received}")
            received += piece
        looked_at = at + len(text)
    else:
        sys.stdout.buffer.write(received)
        sys.exit()
while piece := more():
    received += piece
sys.stdout.buffer.write(received)
"#;

/// What is said, and waited for in between. Strings are bytes, as in Latin-1.
#[derive(Clone, Debug, Default)]
pub struct Conversation(Vec<Value>);

impl Conversation {
    /// Begins by saying this.
    #[must_use]
    pub fn say(text: &str) -> Self {
        Self::default().then_say(text)
    }

    /// Says this.
    #[must_use]
    pub fn then_say(mut self, text: &str) -> Self {
        self.0.push(json!({"send": text}));
        self
    }

    /// Waits until this has been received, after what was waited for before.
    #[must_use]
    pub fn hear(mut self, text: &str) -> Self {
        self.0.push(json!({"await": text}));
        self
    }

    /// Leaves, instead of waiting for the server to end the connection.
    #[must_use]
    pub fn then_leave(mut self) -> Self {
        self.0.push(json!({"leave": true}));
        self
    }

    fn words(&self, host: &str) -> Vec<String> {
        let steps = Value::from(self.0.clone()).to_string();
        let address = PROVIDER.to_string();
        ["python3", "-c", CLIENT, host, &address, &steps]
            .map(str::to_owned)
            .to_vec()
    }

    /// Everything received of the provider's host, under weir.
    ///
    /// # Errors
    /// The connection ended before something that was waited for.
    pub fn through(&self, world: &World, host: &str) -> Result<Ended> {
        world.weir().run(&self.words(host))?.succeeded()
    }

    /// Everything received without weir.
    ///
    /// # Errors
    /// The connection ended before something that was waited for.
    pub fn direct(&self, world: &World, host: &str) -> Result<Vec<u8>> {
        let words = self.words(host);
        let client = world.application.spawn(
            Command::new("python3")
                .args(words.get(1..).unwrap_or_default())
                .env("SSL_CERT_FILE", world.ca())
                .stdin(Stdio::null())
                .stdout(Stdio::piped()),
        )?;
        let output = client.wait_with_output()?;
        ensure!(output.status.success(), "the direct client failed");
        Ok(output.stdout)
    }
}
