//! How a run looks: JSON lines for scripts, bars for a terminal, plain lines for anything else.
//!
//! Rule: a view renders events and nothing else; it decides nothing and keeps only what it shows. Bars
//! and plain lines are written by a thread of their own, so that no terminal, however slow, holds a
//! run up; all that is written is made safe for a terminal here.

mod board;
mod draw;
mod layout;
mod log;
mod pace;
mod text;
mod words;

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    time::Duration,
};

use crate::events::{Event, Stopped, takeover};

pub use log::Log;

/// Events and log lines that wait for a terminal that does not take them; more are left out.
const WAITING: usize = 1024;

/// How long a terminal may take for what is left when the run is over.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Renders events on stdout.
#[derive(Debug)]
pub struct View {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Json,
    Text(Writer),
}

/// What the thread that writes bars or lines is told.
#[derive(Debug)]
enum Said {
    Event(Event),
    /// Lines of the log, each with its end.
    Log(String),
}

/// The way to that thread.
#[derive(Clone, Debug)]
struct Say {
    said: SyncSender<Said>,
    /// What was left out.
    lost: Arc<AtomicU64>,
}

impl Say {
    fn put(&self, said: Said) {
        // Progress is told again soon.
        let is_missed = match &said {
            Said::Event(event) => in_words(event).is_some(),
            Said::Log(_) => true,
        };
        if matches!(self.said.try_send(said), Err(TrySendError::Full(_))) && is_missed {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Bars or lines, and the thread that writes them.
#[derive(Debug)]
struct Writer {
    /// Gone when no more is said.
    say: Option<Say>,
    /// Ends when all is written.
    written: Receiver<()>,
}

impl View {
    /// The view for this process: JSON when asked for, bars when stdout is a terminal that they can
    /// be drawn in.
    pub fn new(json: bool) -> Self {
        let kind = if json { Kind::Json } else { Kind::Text(Writer::start()) };
        Self { kind }
    }

    /// Shows one event.
    pub fn show(&mut self, event: &Event) {
        match &mut self.kind {
            Kind::Json => line(&event.to_json()),
            Kind::Text(writer) => writer.show(event),
        }
    }
}

impl Writer {
    fn start() -> Self {
        let (said, saying) = sync_channel(WAITING);
        let (end, written) = sync_channel(0);
        let lost = Arc::new(AtomicU64::new(0));
        let say = Say { said, lost: Arc::clone(&lost) };
        let form = text::Form::of_stdout();
        log::go_to(form.is_bars().then(|| say.clone()));
        std::thread::spawn(move || {
            text::write(form, &saying, &lost);
            drop(end);
        });
        Self { say: Some(say), written }
    }

    fn show(&self, event: &Event) {
        if let Some(say) = &self.say {
            say.put(Said::Event(event.clone()));
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        log::go_to(None);
        self.say = None;
        // Nothing is ever sent: it waits for the end, or for as long as that may take.
        let _ = self.written.recv_timeout(LAST_WORDS);
    }
}

/// Prints a line; a reader that went away is no reason to stop.
pub(crate) fn line(text: &str) {
    print(&(words::escaped(text) + "\n"));
}

/// Prints what is safe.
fn print(text: &str) {
    if text.is_empty() {
        return;
    }
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Says on standard error why the program ends; nobody may be there to read it.
pub fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "ffp2p: {}", words::escaped(text));
}

/// Whether bars show it, so that it is not said above them as well.
fn is_in_bars(event: &Event) -> bool {
    // Who has a chapter is shown at the shard that it is in.
    matches!(event, Event::Owner { .. } | Event::Turn { from: None, .. })
}

/// What to type on another machine, if it can reach this one.
fn invite(listen: &[String]) -> String {
    let at = listen
        .first()
        .filter(|at| at.parse::<std::net::SocketAddr>().is_ok_and(|at| !at.ip().is_loopback()));
    at.map_or_else(String::new, |at| {
        format!("\non another machine, with the same flags: ffp2p join --peer {at}")
    })
}

/// The event as a sentence, or nothing when it is too small to tell.
pub(crate) fn in_words(event: &Event) -> Option<String> {
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
        Event::Turn { chapter, name, own, from, .. } => {
            takeover::took(name, *own, &format!("chapter {chapter}"), from.as_ref())
        }
        Event::Eval {
            epoch,
            samples,
            softmax_accuracy,
            goodness_accuracy,
            last_layer_accuracy,
        } => {
            let named = [
                ("softmax", Some(*softmax_accuracy)),
                ("goodness", *goodness_accuracy),
                ("last layer", *last_layer_accuracy),
            ];
            let said: Vec<String> = named
                .into_iter()
                .filter_map(|(name, fraction)| Some(format!("{name} {:.2} %", fraction? * 100.0)))
                .collect();
            format!("epoch {epoch}: {} of {samples} test samples", said.join(", "))
        }
        Event::Note { message } => message.clone(),
        Event::Saved { file, .. } => format!("model written to {file}"),
        Event::Restored { shards, checkpoints } => format!(
            "the store has {checkpoints} checkpoints of this run, up to step {}",
            shards.iter().max().unwrap_or(&0)
        ),
        Event::Stopped(stopped) => how_far(stopped),
        Event::Done { model, seconds, bytes_in, bytes_out, store, .. } => {
            let traffic = match (bytes_in, bytes_out) {
                (0, 0) => String::new(),
                _ => format!(
                    ", {:.1} MB in, {:.1} MB out",
                    *bytes_in as f64 / 1e6,
                    *bytes_out as f64 / 1e6
                ),
            };
            let kept =
                store.as_deref().map_or_else(String::new, |store| format!("\nkept in {store}"));
            format!("done in {seconds:.1} s{traffic}\nmodel {model}{kept}")
        }
        // Who owns a shard is told when it took it, with others.
        Event::Owner { .. }
        | Event::Training { .. }
        | Event::Taken { .. }
        | Event::Chapter { .. }
        | Event::Progress { .. } => return None,
    })
}

/// How far a run was that was stopped, and what is lost of it.
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
    fn who_stops_a_run_hears_what_is_lost() {
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
