//! How a run looks: JSON lines for scripts, bars for a terminal, plain lines for anything else.
//!
//! Rule: a view renders events and nothing else; it decides nothing and keeps only what it shows.

use std::io::{IsTerminal, Write};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::report::{Event, Stopped};

/// Renders events on stdout.
#[derive(Debug)]
pub struct View {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Json,
    Lines,
    Bars(Bars),
}

/// One bar per row, and a line above them for what happened.
#[derive(Debug)]
struct Bars {
    all: MultiProgress,
    rows: Vec<RowBar>,
    foot: ProgressBar,
    steps: u64,
}

/// A row's bar, with what stands behind it.
#[derive(Debug)]
struct RowBar {
    bar: ProgressBar,
    owner: String,
    loss: Option<f64>,
}

impl RowBar {
    fn describe(&self) {
        let owner = if self.owner.is_empty() { "        " } else { &self.owner };
        let loss = self.loss.map_or_else(String::new, |loss| format!("  loss {loss:.3}"));
        self.bar.set_message(format!("{owner}{loss}"));
    }
}

impl View {
    /// The view for this process: JSON when asked for, bars when stdout is a terminal.
    pub fn new(json: bool) -> Self {
        let kind = if json {
            Kind::Json
        } else if std::io::stdout().is_terminal() {
            let all = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
            let foot = ProgressBar::new(0).with_style(style("{msg}"));
            Kind::Bars(Bars { foot: all.add(foot), all, rows: Vec::new(), steps: 0 })
        } else {
            Kind::Lines
        };
        Self { kind }
    }

    /// Shows one event.
    pub fn show(&mut self, event: &Event) {
        match &mut self.kind {
            Kind::Json => line(&event.to_json()),
            Kind::Lines => {
                if let Some(text) = in_words(event) {
                    line(&text);
                }
            }
            Kind::Bars(bars) => bars.show(event),
        }
    }
}

/// Prints a line; a reader that went away is no reason to stop.
pub(crate) fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

impl Bars {
    fn show(&mut self, event: &Event) {
        match event {
            Event::Ready { rows, steps, .. } => {
                self.open(rows, *steps);
                self.say(event);
            }
            Event::Progress { rows, owners, peers, steps_per_second, .. } => {
                for ((row, done), owner) in self.rows.iter_mut().zip(rows).zip(owners) {
                    row.bar.set_position(*done);
                    row.owner.clone_from(owner);
                    row.describe();
                }
                let slowest = rows.iter().copied().min().unwrap_or(0);
                self.foot.set_message(pace(
                    *peers,
                    *steps_per_second,
                    self.steps.saturating_sub(slowest),
                ));
            }
            Event::Owner { row, peer, .. } => {
                if let Some(row) = self.rows.get_mut(usize::from(*row)) {
                    row.owner.clone_from(peer);
                    row.describe();
                }
            }
            Event::Chapter { row, loss, .. } => {
                if let Some(row) = self.rows.get_mut(usize::from(*row)) {
                    row.loss = Some(*loss);
                    row.describe();
                }
            }
            Event::Done { .. } => {
                for bar in self.rows.iter().map(|row| &row.bar).chain([&self.foot]) {
                    bar.finish_and_clear();
                }
                self.say(event);
            }
            // Who has a chapter is shown at the row that it is in.
            Event::Turn { .. } => {}
            Event::Peer { .. }
            | Event::Restored { .. }
            | Event::Taken { .. }
            | Event::Training { .. }
            | Event::Eval { .. }
            | Event::Note { .. }
            | Event::Stopped(_)
            | Event::Saved { .. } => self.say(event),
        }
    }

    fn say(&self, event: &Event) {
        if let Some(text) = in_words(event) {
            // Nothing to do when the terminal is gone.
            let _ = self.all.println(text);
        }
    }

    fn open(&mut self, rows: &[(usize, usize)], steps: u64) {
        if !self.rows.is_empty() {
            return;
        }
        self.steps = steps;
        let sharded = rows.iter().any(|(_, shard)| *shard > 0);
        for (layer, shard) in rows {
            let name =
                if sharded { format!("layer {layer}.{shard}") } else { format!("layer {layer}") };
            let template = "{prefix:9} [{wide_bar}] {percent:>3} % {pos:>6}/{len}  {msg}";
            let bar = ProgressBar::new(steps).with_style(style(template)).with_prefix(name);
            let bar = self.all.insert_before(&self.foot, bar);
            self.rows.push(RowBar { bar, owner: String::new(), loss: None });
        }
    }
}

/// The line below the bars.
fn pace(peers: usize, steps_per_second: f64, left: u64) -> String {
    let peers = if peers == 1 { "1 peer".to_owned() } else { format!("{peers} peers") };
    if steps_per_second < 1.0 {
        return format!("{peers}, waiting for the first steps");
    }
    let seconds = (left as f64 / steps_per_second) as u64;
    let left = if seconds < 120 { format!("{seconds} s") } else { format!("{} min", seconds / 60) };
    format!("{peers}, {steps_per_second:.0} steps/s, about {left} left")
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
        Event::Ready { peer, run, listen, .. } if !peer.is_empty() => {
            let run = &run[..run.len().min(8)];
            format!("node {peer} of run {run} listens on {}{}", listen.join(", "), invite(listen))
        }
        Event::Ready { run, .. } => format!("run {} alone", &run[..run.len().min(8)]),
        Event::Peer { peer, state } => match state.as_str() {
            "silent" => format!("peer {peer} fell silent"),
            state => format!("peer {peer} {state}"),
        },
        Event::Owner { row, peer, term } => format!("row {row}: {peer} (term {term})"),
        Event::Turn { chapter, peer, term } => format!("chapter {chapter}: {peer} (term {term})"),
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
        Event::Restored { rows, checkpoints } => format!(
            "the store has {checkpoints} checkpoints of this run, up to step {}",
            rows.iter().max().unwrap_or(&0)
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
            let kept = store.as_deref().map_or_else(String::new, |store| {
                format!("\nkept in {store}\nto take it: ffp2p export --out model.safetensors")
            });
            format!("done in {seconds:.1} s{traffic}\nmodel {model}{kept}")
        }
        Event::Training { .. }
        | Event::Taken { .. }
        | Event::Chapter { .. }
        | Event::Progress { .. } => return None,
    })
}

/// How far a run was that was stopped, and what is lost of it.
fn how_far(stopped: &Stopped) -> String {
    let least = |rows: &[u64]| rows.iter().copied().min().unwrap_or(0);
    let Stopped { rows, kept, steps, alone, store } = stopped;
    let lost = rows.iter().zip(kept).map(|(done, kept)| done.saturating_sub(*kept)).max();
    let at = format!("stopped at step {} of {steps}", least(rows));
    match (store, alone) {
        (None, true) => format!("{at}; nothing is kept on disk, so all of it is lost"),
        (None, false) => format!("{at}; this node keeps nothing on disk, the others go on"),
        (Some(store), false) => format!("{at}; the others go on, and what was here is in {store}"),
        (Some(store), true) => {
            let rest = match lost.unwrap_or(0) {
                0 => String::new(),
                1 => ", the step since then is lost".to_owned(),
                lost => format!(", up to {lost} steps since then are lost"),
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
        let said = |rows: &[u64], kept: &[u64], alone, store: Option<&str>| {
            let (rows, kept, store) = (rows.to_vec(), kept.to_vec(), store.map(str::to_owned));
            how_far(&Stopped { rows, kept, steps: 400, alone, store })
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
