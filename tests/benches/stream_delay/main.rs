//! How much later the events of a stream arrive through weir.
//!
//! The emulator writes the time into each event it sends; a client compares it
//! with the time at which it has read the event, on the same clock of the same
//! machine. Direct and through weir take turns, so that whatever else the machine
//! does meets both alike. Prints figures and judges nothing: it fails only if it
//! could not measure.

mod client;
mod figures;

use std::fmt;
use std::io::Write;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use weir::llm::usage::Provenance;
use weir_tests::bench::delays::Delays;
use weir_tests::bench::machine;
use weir_tests::calls::Surface;
use weir_tests::curl::Http;
use weir_tests::output::Output;
use weir_tests::run::Running;
use weir_tests::world::World;

use crate::figures::Figures;

/// Between two events of a stream: the pace of a fast model.
const GAP: Duration = Duration::from_millis(50);
/// Events of a stream, roughly: tokens of its text.
const TOKENS: u32 = 25;
/// Streams at once.
const STREAMS: usize = 4;
/// Turns of each, the first of which warms up.
const ROUNDS: usize = 7;

/// What is compared: a version of HTTP and an API. Chat streams do not ask for
/// usage, so that weir does and takes the answer out again: its longest way.
const SHAPES: [Shape; 4] = [
    Shape(Http::H1, Surface::Chat),
    Shape(Http::H1, Surface::Messages),
    Shape(Http::H2, Surface::Chat),
    Shape(Http::H2, Surface::Messages),
];

#[derive(Clone, Copy)]
struct Shape(Http, Surface);

impl fmt::Display for Shape {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let http = match self.0 {
            Http::H1 => "HTTP/1.1",
            Http::H2 => "HTTP/2",
        };
        let surface = match self.1 {
            Surface::Chat => "chat",
            Surface::Responses => "responses",
            Surface::Messages => "messages",
        };
        out.pad(&format!("{http} {surface}"))
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(client::ARGUMENT) {
        return client::run();
    }
    let world = World::new()?;
    let mut direct = Client::direct(&world)?;
    let mut through = Client::through(&world)?;
    println!("{}", machine::describe()?);
    println!(
        "{STREAMS} streams at once, an event every {} ms, {} turns each, direct and through weir \
         alternating",
        GAP.as_millis(),
        ROUNDS - 1
    );
    let mut delays = SHAPES.map(|_| (Delays::default(), Delays::default()));
    for round in 0..ROUNDS {
        for (shape, (of_direct, of_through)) in SHAPES.iter().zip(&mut delays) {
            let (one, other) = (direct.measure(*shape)?, through.measure(*shape)?);
            if round > 0 {
                of_direct.extend(one.into());
                of_through.extend(other.into());
            }
        }
    }
    direct.finish()?;
    through.finish()?;

    println!();
    println!("                         direct               through weir           added at");
    println!("                    median       p99       median       p99        the median");
    let mut most = f64::MIN;
    for (shape, (direct, through)) in SHAPES.iter().zip(&delays) {
        let (direct, through) = (Figures::of(direct)?, Figures::of(through)?);
        let added = through.median_ms - direct.median_ms;
        most = most.max(added);
        println!("{shape:<18} {direct}   {through}   {added:>8.3} ms");
    }
    println!();
    let verdict = if most < 1.0 {
        "below 1 ms"
    } else {
        "NOT below 1 ms"
    };
    println!("the delay that weir adds at the median is {verdict}: at most {most:.3} ms");
    Ok(())
}

/// This program again, as a client that measures when it is told to.
enum Client {
    Direct {
        process: Child,
        input: ChildStdin,
        output: Output,
    },
    Through(Running),
}

impl Client {
    fn direct(world: &World) -> Result<Self> {
        let mut process = world.application.spawn(
            Command::new(std::env::current_exe()?)
                .arg(client::ARGUMENT)
                .env("SSL_CERT_FILE", world.ca())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped()),
        )?;
        Ok(Self::Direct {
            input: process.stdin.take().context("on a pipe")?,
            output: Output::of(process.stdout.take().context("on a pipe")?),
            process,
        })
    }

    fn through(world: &World) -> Result<Self> {
        let program = std::env::current_exe()?.display().to_string();
        let running = world.weir().start(&[&program, client::ARGUMENT])?;
        Ok(Self::Through(running))
    }

    /// Delays of the events of one turn, in nanoseconds.
    fn measure(&mut self, Shape(http, surface): Shape) -> Result<Vec<u64>> {
        let (input, output) = match self {
            Self::Direct { input, output, .. } => (input, output),
            Self::Through(running) => (
                running.input.as_mut().context("on a pipe")?,
                &mut running.stdout,
            ),
        };
        writeln!(input, "{}", client::turn(http, surface)).context("the client is gone")?;
        let line = output.line()?;
        let delays: Result<Vec<u64>, _> = line.split_whitespace().map(str::parse).collect();
        let delays = delays.with_context(|| format!("the client said {line:?}"))?;
        ensure!(!delays.is_empty(), "the client has seen no event");
        Ok(delays)
    }

    /// Ends it in order; fails if weir has not seen what was measured.
    fn finish(self) -> Result<()> {
        let running = match self {
            Self::Direct {
                mut process, input, ..
            } => {
                drop(input);
                let status = process.wait()?;
                ensure!(status.success(), "the direct client failed");
                return Ok(());
            }
            Self::Through(running) => running,
        };
        let ended = running.finish()?.succeeded()?;
        let expected = ROUNDS * SHAPES.len() * STREAMS;
        let records = ended.records().iter();
        let metered = records.filter(|it| it.tokens_provenance == Provenance::Measured);
        ensure!(
            metered.count() == expected,
            "{expected} metered streams were expected: {ended:?}"
        );
        Ok(())
    }
}
