//! The version of HTTP and of TLS is what both ends would have agreed on.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use weir_emulator::{Alpn, Emulator, Listener, Tls, TlsVersions};
use weir_tests::curl::{Answer, Batch, Http, Transfer};
use weir_tests::world::{World, provider4};

/// One upstream for each way of speaking, asked in both versions of HTTP.
fn agreed(ways: &[Tls]) -> Result<Vec<(Answer, Answer)>> {
    let mut emulator = Emulator::builder();
    let mut transfers = Vec::new();
    for (tls, number) in ways.iter().zip(0..) {
        let address = SocketAddr::new(provider4(number), 443);
        emulator = emulator.listener(Listener::tls(address, *tls));
        for http in Http::ALL {
            let url = "https://api.openai.com/emulator/download?bytes=10";
            transfers.push(Transfer::at(url, address.ip(), http));
        }
    }
    let world = World::with(emulator)?;
    // By a process each: one would go on using its connections.
    let mut answers = Vec::new();
    for (number, transfer) in transfers.into_iter().enumerate() {
        let direct = transfer.clone().trusting(&world.ca());
        let through = Batch::new(&world, &format!("through {number}"), &[transfer])?;
        let direct = Batch::new(&world, &format!("direct {number}"), &[direct])?;
        let (through, _) = through.through(world.weir())?;
        let direct = direct.direct(&world)?;
        answers.extend(through.into_iter().zip(direct));
    }
    Ok(answers)
}

fn same(answers: &[(Answer, Answer)]) -> Result<()> {
    for (through, direct) in answers {
        ensure!(
            (through.exit, through.status, &through.version)
                == (direct.exit, direct.status, &direct.version),
            "{through:?} is not {direct:?}"
        );
    }
    Ok(())
}

#[test]
fn the_version_of_http_is_what_upstream_picks() -> Result<()> {
    let ways = [Alpn::Both, Alpn::Http1, Alpn::Http2, Alpn::None].map(|alpn| Tls {
        alpn,
        ..Tls::default()
    });
    let answers = agreed(&ways)?;
    same(&answers)?;
    let versions: Vec<&str> = answers.iter().map(|(it, _)| it.version.as_str()).collect();
    // A client that has no version in common with upstream is refused by both.
    assert_eq!(versions, ["1.1", "2", "1.1", "1.1", "0", "2", "1.1", "1.1"]);
    Ok(())
}

#[test]
fn either_version_of_tls_will_do_upstream() -> Result<()> {
    let ways = [TlsVersions::Tls12, TlsVersions::Tls13].map(|versions| Tls {
        versions,
        ..Tls::default()
    });
    let answers = agreed(&ways)?;
    ensure!(
        answers.iter().all(|(it, _)| it.status == 200),
        "{answers:?}"
    );
    same(&answers)
}
