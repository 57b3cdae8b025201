//! What an application may do with a socket, case by case, and everything it can
//! see of it. Run once direct and once intercepted, the answers are compared.

mod observer;
mod options;
mod tcp;
mod udp;
mod uring;

use std::io;

use anyhow::Result;
use weir_tests::pod::said::Contract;

use observer::Observer;

/// A case and its name.
type Case = (&'static str, fn(&mut Observer) -> io::Result<()>);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The cases for a pod without IPv6.
    #[arg(long)]
    without_ipv6: bool,
}

/// Goes through all cases.
pub(crate) fn run(args: &Args) -> Result<Contract> {
    let cases: Vec<Case> = if args.without_ipv6 {
        tcp::WITHOUT_IPV6.to_vec()
    } else {
        [tcp::CASES, uring::CASES, udp::CASES, options::CASES].concat()
    };
    let contract = cases.into_iter().map(|(name, case)| {
        let mut observer = Observer::default();
        if let Err(error) = case(&mut observer) {
            // What the case does not expect to fail, such as making a socket.
            observer.note("broken", error);
        }
        (name.to_owned(), observer.seen())
    });
    Ok(contract.collect())
}
