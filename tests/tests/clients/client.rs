//! The clients: which they are, how they are made, and how each is called.
//!
//! What is compiled is compiled into `target/…/clients/runtimes`, from
//! `tests/clients/runtimes`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use weir_tests::clients::Clients;

/// Stands in a command for the file with roots of its own.
const ROOTS: &str = "ROOTS";
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/runtimes");
const URL: &str = "https://api.openai.com/v1/chat/completions";
const KEY: &str = "Authorization: Bearer test-0123456789";
const BODY: &str =
    r#"{"model":"gpt-4.1-mini","messages":[{"role":"user","content":"What holds a river back?"}]}"#;

/// Whom a client trusts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As it is installed, with the variables that weir sets.
    Installed,
    /// Roots that it was given and no others, as one that pins or has compiled
    /// them in.
    OwnRoots,
}

impl Mode {
    pub(crate) const ALL: [Self; 2] = [Self::Installed, Self::OwnRoots];
}

/// What is to become of a client as it is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Inspected,
    /// It reads no variable that weir could set.
    LetThrough,
}

/// A client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) name: &'static str,
    /// Its TLS stack.
    pub(crate) tls: &'static str,
    pub(crate) version: String,
    pub(crate) expected: Expected,
    /// Whether it makes a chat call, whose tokens are counted.
    pub(crate) speaks_chat: bool,
    words: Vec<String>,
    /// What is said besides for roots of its own, where weir's variables do not
    /// reach those.
    own_roots: Option<Vec<String>>,
}

impl Client {
    fn new(name: &'static str, tls: &'static str, version: String, words: &[&str]) -> Self {
        Self {
            name,
            tls,
            version,
            expected: Expected::Inspected,
            speaks_chat: true,
            words: owned(words),
            own_roots: Some(owned(&[ROOTS])),
        }
    }

    /// Its roots are given by these words.
    fn rooted(mut self, words: &[&str]) -> Self {
        self.own_roots = Some(owned(words));
        self
    }

    fn without_own_roots(mut self) -> Self {
        self.own_roots = None;
        self
    }

    fn let_through(mut self) -> Self {
        self.expected = Expected::LetThrough;
        self
    }

    fn without_chat(mut self) -> Self {
        self.speaks_chat = false;
        self
    }

    /// The command line of a call.
    pub(crate) fn command(&self, mode: Mode) -> Option<Vec<String>> {
        let besides = match mode {
            Mode::Installed => &[],
            Mode::OwnRoots => self.own_roots.as_deref()?,
        };
        Some([&self.words, besides].concat())
    }
}

/// The command with the file that its own roots are in.
pub(crate) fn at(command: &[String], roots: &Path) -> Vec<String> {
    let roots = roots.display().to_string();
    let words = command.iter().map(|word| word.replace(ROOTS, &roots));
    words.collect()
}

/// All clients, made ready.
pub(crate) fn all() -> Result<Vec<Client>> {
    let mut clients = tools()?;
    clients.extend(python()?);
    clients.extend(javascript()?);
    clients.extend(compiled()?);
    clients.extend(java()?);
    clients.extend(scripts()?);
    Ok(clients)
}

fn tools() -> Result<Vec<Client>> {
    let json = "Content-Type: application/json";
    let curl = ["curl", "-q", "-sSf", "-H", KEY, "-H", json, "-d", BODY, URL];
    let (key, json, body) = (
        format!("--header={KEY}"),
        format!("--header={json}"),
        format!("--post-data={BODY}"),
    );
    let wget = [
        "wget",
        "-q",
        "--tries=1",
        "-O",
        "-",
        &key,
        &json,
        &body,
        URL,
    ];
    Ok(vec![
        Client::new("curl", "OpenSSL", version("curl", &["--version"])?, &curl)
            .rooted(&["--cacert", ROOTS]),
        Client::new("wget", "GnuTLS", version("wget", &["--version"])?, &wget)
            .let_through()
            .rooted(&["--ca-certificate", ROOTS]),
        Client::new(
            "git",
            "libcurl's",
            version("git", &["--version"])?,
            // There is no repository: what counts is that it was asked for.
            &["git", "ls-remote", "https://api.openai.com/v1/models"],
        )
        .without_chat()
        // The variable is stronger than its configuration.
        .without_own_roots(),
    ])
}

fn python() -> Result<Vec<Client>> {
    let set = Clients::python("runtimes/python")?;
    let interpreter = set.command("python.py", &[]);
    let python = interpreter.first().context("a command has a program")?;
    let mut clients = Vec::new();
    for (name, module, package) in [
        ("Python urllib", "urllib", None),
        ("Python requests", "requests", Some("requests")),
        ("Python httpx", "httpx", Some("httpx")),
        ("Python urllib3", "urllib3", Some("urllib3")),
        ("Python aiohttp", "aiohttp", Some("aiohttp")),
        ("Python grpcio (C-core)", "grpc", Some("grpcio")),
    ] {
        let version = match package {
            None => version(python, &["--version"])?,
            Some(package) => {
                let print =
                    format!("import importlib.metadata as m; print(m.version({package:?}))");
                version(python, &["-c", &print])?
            }
        };
        let words = set.command("python.py", &[module]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let tls = if module == "grpc" {
            "BoringSSL"
        } else {
            "OpenSSL"
        };
        let client = Client::new(name, tls, version, &words);
        clients.push(if module == "grpc" {
            client.without_chat()
        } else {
            client
        });
    }
    let uv = Path::new(python).with_file_name("uv").display().to_string();
    let index = "--default-index=https://api.openai.com/simple";
    // There is no such package: what counts is that it was asked for.
    let words = [
        &uv,
        "pip",
        "install",
        "--no-cache",
        "--dry-run",
        "--python",
        python,
        index,
        "none",
    ];
    clients.push(
        Client::new("uv", "rustls", version(&uv, &["--version"])?, &words)
            .without_chat()
            .without_own_roots(),
    );
    Ok(clients)
}

fn javascript() -> Result<Vec<Client>> {
    let set = Clients::node("runtimes/javascript")?;
    let command = |script: &str| set.command(script, &[]);
    let https = command("https.mjs");
    let fetch = command("fetch.mjs");
    let script = fetch.get(1).context("a command has a script")?;
    let packages = Path::new(script).with_file_name("node_modules");
    let program = |path: &str| packages.join(path).display().to_string();
    let deno = program("@deno/linux-x64-glibc/deno");
    let bun = program("@oven/bun-linux-x64/bin/bun");
    let node = version("node", &["--version"])?;
    Ok(vec![
        Client::new("Node https", "OpenSSL", node.clone(), &["node", &https[1]]),
        Client::new("Node fetch (undici)", "OpenSSL", node, &["node", script]),
        Client::new(
            "Deno fetch",
            "rustls",
            version(&deno, &["--version"])?,
            &[&deno, "run", "--allow-all", script],
        )
        // Its own are added to those of DENO_CERT.
        .without_own_roots(),
        Client::new(
            "Bun fetch",
            "BoringSSL",
            version(&bun, &["--version"])?,
            &[&bun, script],
        ),
    ])
}

fn compiled() -> Result<Vec<Client>> {
    let output = output()?;
    let file = |name: &str| output.join(name).display().to_string();
    let (go, go_grpc) = (file("go"), file("go-grpc"));
    made(
        Command::new("go")
            .args(["build", "-o", &go, "."])
            .env("GOFLAGS", "-mod=mod")
            .current_dir(source("go")),
    )?;
    // From Debian's sources of gRPC, which are no modules.
    made(
        Command::new("go")
            .args(["build", "-o", &go_grpc, "."])
            .env("GO111MODULE", "off")
            .env("GOPATH", "/usr/share/gocode")
            .current_dir(source("go_grpc")),
    )?;
    let rust = output.join("rust");
    made(
        Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--quiet", "--locked", "--target-dir"])
            .arg(&rust)
            .current_dir(source("rust")),
    )?;
    let rust = rust.join("debug/client").display().to_string();
    let go_version = version("go", &["version"])?;
    let rustc = version("rustc", &["--version"])?;
    let grpc = version(
        "dpkg-query",
        &["-W", "-f=${Version}", "golang-google-grpc-dev"],
    )?;
    Ok(vec![
        Client::new("Go net/http", "Go", go_version, &[&go]),
        Client::new("Go gRPC", "Go", grpc, &[&go_grpc]).without_chat(),
        Client::new(
            "Rust native-tls",
            "OpenSSL",
            rustc.clone(),
            &[&rust, "native-tls"],
        ),
        Client::new("Rust rustls", "rustls", rustc, &[&rust, "rustls"]),
    ])
}

fn java() -> Result<Vec<Client>> {
    let classes = output()?.join("java");
    let jars = [
        "okhttp",
        "okio",
        "httpclient",
        "httpcore",
        "commons-logging",
        "commons-codec",
    ]
    .map(|name| format!("/usr/share/java/{name}.jar"));
    let mut path = vec![classes.display().to_string()];
    path.extend(jars);
    let path = path.join(":");
    let mut javac = Command::new("javac");
    javac.args(["-nowarn", "-cp", &path, "-d"]).arg(&classes);
    for name in ["Roots", "Jdk", "Square", "Apache"] {
        javac.arg(source("java").join(format!("{name}.java")));
    }
    made(&mut javac)?;
    let jdk = version("java", &["--version"])?;
    let package = |name| version("dpkg-query", &["-W", "-f=${Version}", name]);
    let client =
        |name, version, class| Client::new(name, "JSSE", version, &["java", "-cp", &path, class]);
    Ok(vec![
        client("Java HttpClient", jdk, "Jdk"),
        client("Java OkHttp", package("libokhttp-java")?, "Square"),
        client(
            "Java Apache HttpClient",
            package("libhttpclient-java")?,
            "Apache",
        ),
    ])
}

fn scripts() -> Result<Vec<Client>> {
    let script = |name: &str| source("scripts").join(name).display().to_string();
    let (ruby, php, perl) = (script("ruby.rb"), script("php.php"), script("perl.pl"));
    let php_version = version("php", &["--version"])?;
    let perl_module = |module: &str| {
        version(
            "perl",
            &[
                &format!("-M{module}"),
                "-e",
                &format!("print ${module}::VERSION"),
            ],
        )
    };
    Ok(vec![
        Client::new(
            "Ruby Net::HTTP",
            "OpenSSL",
            version("ruby", &["--version"])?,
            &["ruby", &ruby],
        ),
        Client::new(
            "PHP curl",
            "OpenSSL",
            php_version.clone(),
            &["php", &php, "curl"],
        )
        .let_through(),
        Client::new(
            "PHP streams",
            "OpenSSL",
            php_version,
            &["php", &php, "stream"],
        ),
        Client::new(
            "Perl LWP",
            "OpenSSL",
            perl_module("LWP")?,
            &["perl", &perl, "lwp"],
        ),
        Client::new(
            "Perl HTTP::Tiny",
            "OpenSSL",
            perl_module("HTTP::Tiny")?,
            &["perl", &perl, "tiny"],
        ),
    ])
}

fn source(name: &str) -> PathBuf {
    Path::new(SOURCES).join(name)
}

/// Where what is compiled goes.
fn output() -> Result<PathBuf> {
    let target = weir_tests::pod::program("weir")?;
    let output = target
        .parent()
        .context("weir is in a directory")?
        .join("clients/runtimes/compiled");
    std::fs::create_dir_all(&output)?;
    Ok(output)
}

/// The first thing like a version in the first line that a program prints.
fn version(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("cannot start {program}: `cargo xtask clients` installs it"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().unwrap_or_default();
    let version = line.split_whitespace().find(|word| {
        let word = word.trim_start_matches(['v', 'g', 'o']);
        word.starts_with(|letter: char| letter.is_ascii_digit())
    });
    version
        .map(|version| version.trim_start_matches(['v', 'g', 'o']).to_owned())
        .with_context(|| format!("{program} does not say its version: {line:?}"))
}

fn made(command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {command:?}: `cargo xtask clients` installs it"))?;
    ensure!(
        output.status.success(),
        "{command:?} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}
