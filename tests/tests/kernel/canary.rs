//! Interception is proven by behaviour: the proxy is ready while a connection of
//! its own is captured, and says so when it is not.

use anyhow::Result;
use weir_common::FlowReason;
use weir_tests::output::eventually;
use weir_tests::pod::Pod;
use weir_tests::pod::place::Container;

#[test]
fn the_proxy_is_ready_once_interception_is_proven() -> Result<()> {
    let pod = Pod::captured("")?;
    let before = pod.counters()?;
    let _proxy = pod.proxy()?;
    let ready = pod.get("/readyz")?;
    assert_eq!(ready.status, 200, "{ready:?}");
    let after = pod.counters()?;
    assert!(after.since(&before, FlowReason::Canary) > 0, "{after:?}");
    // The canary is no flow of the application.
    assert_eq!(after.since(&before, FlowReason::Redirected), 0, "{after:?}");
    Ok(())
}

#[test]
fn the_canary_is_repeated() -> Result<()> {
    let pod = Pod::captured("")?;
    let _proxy = pod.proxy()?;
    let before = pod.counters()?;
    eventually("another canary is sent", || {
        pod.counters()
            .is_ok_and(|now| now.since(&before, FlowReason::Canary) > 0)
    })
}

#[test]
fn detached_under_the_proxy_it_is_not_ready_and_says_why() -> Result<()> {
    let pod = Pod::captured("")?;
    let mut proxy = pod.proxy()?;
    pod.detach()?;
    eventually("the proxy notices", || {
        pod.get("/readyz").is_ok_and(|ready| ready.status == 503)
    })?;
    let ready = pod.get("/readyz")?;
    assert!(ready.body.contains("weir init"), "{ready:?}");
    assert!(!proxy.has_ended()?, "{proxy:?}");
    // What was put right is noticed too.
    pod.init(&[])?;
    pod.ready(&mut proxy)
}

#[test]
fn where_no_program_runs_the_proxy_says_so_and_is_not_ready() -> Result<()> {
    // What a container sees that runs on another kernel than `weir init` did: the
    // state is there, and no program.
    let pod = Pod::captured("")?;
    let mut proxy = pod.start_proxy(Container::Outside)?;
    let mut seen_ready = false;
    let mut refused = None;
    eventually("the proxy says that it is not intercepting", || {
        match pod.get("/readyz") {
            Ok(ready) if ready.status == 200 => seen_ready = true,
            Ok(ready) => refused = Some(ready),
            Err(_) => {}
        }
        refused.is_some() || proxy.has_ended().unwrap_or(true)
    })?;
    assert!(!seen_ready, "{proxy:?}");
    let said = match refused {
        Some(ready) => ready.body,
        None => {
            assert!(!proxy.wait()?.success(), "{proxy:?}");
            proxy.complaints()?
        }
    };
    assert!(said.contains("kernel"), "{said}");
    Ok(())
}

#[test]
fn without_a_state_the_proxy_says_what_to_run() -> Result<()> {
    let pod = Pod::new()?;
    let mut proxy = pod.start_proxy(Container::Proxy)?;
    assert!(!proxy.wait()?.success(), "{proxy:?}");
    let said = proxy.complaints()?;
    assert!(
        said.contains("capture.json") && said.contains("weir init"),
        "{said}"
    );
    Ok(())
}
