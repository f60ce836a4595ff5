//! Events as sentences for people.
//!
//! Rule: pure; an event that is too small to mention has no sentence.

use super::takeover;
use crate::{
    events::{Event, Stopped},
    text::megabytes,
};

/// Whether the board shows it, so that it is not said above the board as well.
pub(super) fn is_on_board(event: &Event) -> bool {
    // The owner of a chapter is shown at the shard that it is in.
    matches!(event, Event::Owner { .. } | Event::ChapterOwner { from: None, .. })
}

/// The command line for another machine, if it can reach this one.
fn invite(listen: &[String]) -> String {
    let at = listen
        .first()
        .filter(|at| at.parse::<std::net::SocketAddr>().is_ok_and(|at| !at.ip().is_loopback()));
    at.map_or_else(String::new, |at| {
        format!(
            "\non another machine: ffp2p join, or ffp2p join --peer {at} where that finds nothing"
        )
    })
}

/// The event as a sentence; `None` for one too small to mention.
pub(crate) fn sentence(event: &Event) -> Option<String> {
    Some(match event {
        Event::Ready { peer, name, run, listen, .. } if !peer.is_empty() => {
            let run = &run[..run.len().min(8)];
            format!("node {name} of run {run} listens on {}{}", listen.join(", "), invite(listen))
        }
        Event::Ready { run, .. } => format!("run {} alone", &run[..run.len().min(8)]),
        Event::Peer { name, state, .. } => match state.as_str() {
            "silent" => format!("{name} fell silent"),
            state => format!("{name} {state}"),
        },
        Event::Takeover { shards, places, name, own, from, .. } => {
            takeover::took(name, *own, &takeover::layers(shards, places), from.as_ref())
        }
        Event::ChapterOwner { chapter, name, own, from, .. } => {
            takeover::took(name, *own, &format!("chapter {chapter}"), from.as_ref())
        }
        Event::Eval { .. } => scored(event),
        Event::Note { message } => message.clone(),
        Event::Fetching { data, bytes, of, bytes_per_second, peers } => {
            let (percent, from) =
                (bytes * 100 / of.max(&1), if *peers == 1 { "peer" } else { "peers" });
            let (bytes, of, rate) =
                (megabytes(*bytes), megabytes(*of), megabytes(*bytes_per_second));
            format!("fetching {data}: {percent} %, {bytes} of {of}, {rate}/s from {peers} {from}")
        }
        Event::Saved { file, .. } => format!("model written to {file}"),
        Event::Restored { shards, checkpoints } => format!(
            "the store has {checkpoints} checkpoints of this run, up to step {}",
            shards.iter().max().unwrap_or(&0)
        ),
        Event::Stopped(stopped) => how_far(stopped),
        Event::Done { .. } => done(event),
        // The owner of a shard is announced by its takeover, together with others.
        Event::Owner { .. }
        | Event::Training { .. }
        | Event::Taken { .. }
        | Event::Chapter { .. }
        | Event::Progress { .. } => return None,
    })
}

/// The score of an epoch; nothing for another event.
fn scored(event: &Event) -> String {
    let Event::Eval { epoch, samples, softmax_accuracy, goodness_accuracy, last_layer_accuracy } =
        event
    else {
        return String::new();
    };
    let named = [
        ("softmax", Some(*softmax_accuracy)),
        ("goodness", *goodness_accuracy),
        ("last layer", *last_layer_accuracy),
    ];
    let figures: Vec<String> = named
        .into_iter()
        .filter_map(|(name, fraction)| Some(format!("{name} {:.2} %", fraction? * 100.0)))
        .collect();
    format!("epoch {epoch}: {} of {samples} test samples", figures.join(", "))
}

/// The end of a run, its traffic and its model; nothing for another event.
fn done(event: &Event) -> String {
    let Event::Done { model, seconds, bytes_in, bytes_out, store, .. } = event else {
        return String::new();
    };
    let traffic = match (bytes_in, bytes_out) {
        (0, 0) => String::new(),
        _ => {
            format!(", {} in, {} out", megabytes(*bytes_in), megabytes(*bytes_out))
        }
    };
    let kept = store.as_deref().map_or_else(String::new, |store| format!("\nkept in {store}"));
    format!("done in {seconds:.1} s{traffic}\nmodel {model}{kept}")
}

/// The progress of a stopped run, and its loss.
fn how_far(stopped: &Stopped) -> String {
    let least = |shards: &[u64]| shards.iter().copied().min().unwrap_or(0);
    let Stopped { shards, kept, steps, alone, store } = stopped;
    let lost = shards.iter().zip(kept).map(|(done, kept)| done.saturating_sub(*kept)).max();
    let at = format!("stopped at step {} of {steps}", least(shards));
    match (store, alone) {
        (None, true) => format!("{at}; nothing is kept on disk, so all of it is lost"),
        (None, false) => format!("{at}; this node keeps nothing on disk, the others go on"),
        (Some(store), false) => format!("{at}; the others go on, and what was here is in {store}"),
        (Some(store), true) => {
            let rest = match lost.unwrap_or(0) {
                0 => String::new(),
                1 => ", one step of a layer after that is lost".to_owned(),
                lost => format!(", up to {lost} steps of a layer after that are lost"),
            };
            let kept = least(kept);
            format!("{at}; kept up to step {kept} in {store}{rest}; the same command goes on there")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_who_stops_a_run_is_told_what_is_lost() {
        let said = |shards: &[u64], kept: &[u64], alone, store: Option<&str>| {
            let (shards, kept, store) = (shards.to_vec(), kept.to_vec(), store.map(str::to_owned));
            how_far(&Stopped { shards, kept, steps: 400, alone, store })
        };
        let text = said(&[210, 205], &[200, 150], true, Some("DIR"));
        for part in ["step 205 of 400", "up to step 150 in DIR", "55 steps", "same command"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!said(&[200, 200], &[200, 200], true, Some("DIR")).contains("lost"));
        assert!(said(&[9, 9], &[0, 0], true, None).contains("all of it is lost"));
        assert!(said(&[9, 9], &[0, 0], false, None).contains("others go on"));
        assert!(said(&[9, 9], &[5, 5], false, Some("DIR")).contains("in DIR"));
    }
}
