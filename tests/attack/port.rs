//! Attacks of pods that reach the ports of the operator. They have no right in the cluster.

use std::time::Instant;

use kcg_tests::{Outcome, is_long};

use crate::arena::{Arena, Most, full};
use crate::{guests, heavy};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn guests_that_once_brought_a_review_and_two_thousand_connects_a_second_keep_no_client_out() -> Outcome
{
    if !is_long() {
        return Ok(());
    }
    let arena = Arena::start().await?;
    arena
        .withstand("1,024 guests, 2,000 connects/s", Most::SHIPPED, async |arena, until| {
            let guests = guests::settle(&arena.target, 1024).await?;
            let connects = guests::connect(&arena.target, 2000, until).await?;
            Ok(format!("{} guests, {connects} connects", guests.len()))
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_scan_of_twenty_thousand_requests_a_second_learns_nothing_and_keeps_no_client_out() -> Outcome {
    if !is_long() {
        return Ok(());
    }
    let arena = Arena::start().await?;
    arena
        .withstand("a scan of 20,000 requests/s", Most::SHIPPED, async |arena, until| {
            let began = Instant::now();
            let [sent, answers, longest] = guests::flood(&arena.target, 20_000, until).await?;
            let seconds = usize::try_from(began.elapsed().as_secs())?.max(1);
            if longest > 512 {
                return Err(format!("a response of {longest} bytes").into());
            }
            Ok(format!(
                "{} requests/s, {} responses/s of at most {longest} bytes",
                sent / seconds,
                answers / seconds
            ))
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn responses_that_are_not_read_delay_no_review_and_cost_no_memory() -> Outcome {
    let arena = Arena::start().await?;
    arena
        .withstand("unread responses", Most::SHIPPED, async |arena, until| {
            let sent = heavy::unread(&arena.target, full(256, 64), until).await?;
            if sent == 0 {
                return Err("the attack came to nothing".into());
            }
            Ok(format!("{sent} reviews sent"))
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn bodies_that_trickle_delay_neither_small_nor_large_reviews() -> Outcome {
    if !is_long() {
        return Ok(());
    }
    let arena = Arena::start().await?;
    arena
        .withstand("200 trickled bodies", Most::SHIPPED, async |arena, until| {
            let large = heavy::large_reviews(arena.target.api_server(), until);
            let (trickled, large) = tokio::join!(guests::trickle(&arena.target, 200, until), large);
            Ok(format!("{} bodies; {} honest reviews of 130 KB meanwhile", trickled, large?))
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn silent_sockets_on_the_ports_of_the_probes_keep_no_probe_out() -> Outcome {
    let arena = Arena::start().await?;
    arena
        .withstand("600 silent sockets on each port of probes", Most::SHIPPED, async |arena, until| {
            let (webhook, controller) = tokio::try_join!(
                heavy::silent(&arena.webhook, until),
                heavy::silent(&arena.controller, until)
            )?;
            Ok(format!("slowest probe {:.0?}", webhook.max(controller)))
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn four_clients_with_the_heaviest_bodies_delay_no_other_review() -> Outcome {
    let arena = Arena::start().await?;
    arena
        .withstand("four clients with the heaviest bodies", Most::SHIPPED, async |arena, until| {
            let (decided, limited) = heavy::heavy(&arena.target, until).await?;
            if decided == 0 {
                return Err("the attack came to nothing".into());
            }
            Ok(format!("{decided} decided, {limited} limited"))
        })
        .await
}
