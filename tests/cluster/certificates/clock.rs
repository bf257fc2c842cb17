//! Clocks that differ, and a machine that slept.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use agentteam_webhook::clock::unix_seconds;

use super::replica::Replica;
use super::stage::{Client, Stage, within};
use crate::rig::Rig;

const DAY: i64 = 86_400;

/// What the catalogue of faults allows.
const EXPIRED_MOST: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_whose_clocks_are_five_minutes_off_share_a_certificate_that_everybody_accepts() {
    fn ahead() -> i64 {
        unix_seconds() + 300
    }
    fn behind() -> i64 {
        unix_seconds() - 300
    }
    let stage = Stage::new("tls-skew").await;
    // Whoever is first makes the certificate, and clients have either clock.
    let replicas = [
        Replica::start(&stage, |keeper| keeper.with_wall_clock(ahead)).await,
        Replica::start(&stage, |keeper| keeper.with_wall_clock(behind)).await,
    ];
    within(
        Duration::from_mins(1),
        "a certificate that is known",
        || async {
            stage.is_known().await
                && replicas
                    .iter()
                    .all(|replica| replica.served.check(unix_seconds()).is_ok())
        },
    )
    .await;
    let bundle = stage.bundle().await;
    for replica in &replicas {
        for clock in [ahead, behind, unix_seconds] {
            let client = Client::new(&stage.service(), clock);
            client.ask(replica.address, &bundle).await.unwrap();
        }
    }
    let content = stage.content().await.unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(
        stage.content().await.unwrap() == content,
        "they do not write in turn"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_ten_days_of_sleep_no_expired_certificate_is_served_for_a_minute() {
    static SLEPT: AtomicI64 = AtomicI64::new(0);
    fn clock() -> i64 {
        unix_seconds() + SLEPT.load(Ordering::Relaxed)
    }
    let stage = Stage::new("tls-sleep").await;
    let replica = Replica::start(&stage, |keeper| keeper.with_wall_clock(clock)).await;
    let client = Client::new(&stage.service(), clock);
    let answers = || async {
        client
            .ask(replica.address, &stage.bundle().await)
            .await
            .is_ok()
    };
    within(Duration::from_mins(1), "the first certificate", || async {
        stage.is_known().await && answers().await
    })
    .await;

    let before = replica.served.not_after();
    SLEPT.store(10 * DAY, Ordering::Relaxed);
    assert!(before < clock(), "the certificate has ended");
    let took = within(EXPIRED_MOST, "a valid certificate", answers).await;
    println!("valid again after {took:?}");
    assert_eq!(replica.served.check(clock()), Ok(()));
    let content = stage.content().await.unwrap();
    assert_eq!(
        content.authorities.len(),
        1,
        "its authority was good for longer"
    );
}

/// A control plane of its own, since it is stopped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_ten_days_of_sleep_without_an_api_server_a_certificate_of_the_same_authority_is_served()
 {
    static SLEPT: AtomicI64 = AtomicI64::new(0);
    fn clock() -> i64 {
        unix_seconds() + SLEPT.load(Ordering::Relaxed)
    }
    let rig = Box::leak(Box::new(Rig::start().unwrap()));
    let stage = Stage::on(rig, "tls-outage").await;
    let replica = Replica::start(&stage, |keeper| keeper.with_wall_clock(clock)).await;
    let client = Client::new(&stage.service(), clock);
    within(Duration::from_mins(1), "the first certificate", || async {
        stage.is_known().await && replica.served.check(clock()).is_ok()
    })
    .await;
    let bundle = stage.bundle().await;
    rig.stop_apiserver();

    SLEPT.store(10 * DAY, Ordering::Relaxed);
    let start = Instant::now();
    within(EXPIRED_MOST, "a valid certificate", || async {
        client.ask(replica.address, &bundle).await.is_ok()
    })
    .await;
    println!("valid again after {:?}", start.elapsed());

    let stand_in = replica.served.not_after();
    rig.start_apiserver().unwrap();
    within(Duration::from_mins(1), "the shared certificate", || async {
        let content = stage.content().await.unwrap();
        let shared = content.pair.unwrap().validity().not_after;
        shared >= stand_in
            && replica.served.not_after() == shared
            && client.ask(replica.address, &bundle).await.is_ok()
    })
    .await;
}
