//! Shards as bars, for the columns and lines of a terminal.
//!
//! Rule: pure. The summary is always there, no line is as wide as the terminal, and fields that do not
//! fit are left out where they are missed least.

use console::{measure_text_width, pad_str, truncate_str};

/// Columns that are used, at most: a longer bar shows no more, and a terminal that becomes narrower
/// breaks fewer lines.
const MAX_COLUMNS: usize = 80;

/// Columns of a bar, at least.
const MIN_BAR: usize = 10;

/// Columns of an owner, at most.
const MAX_OWNER: usize = 16;

/// A shard as the board shows it.
#[derive(Clone, Debug, Default)]
pub(super) struct ShardLine {
    pub(super) name: String,
    pub(super) done: u64,
    /// Empty where it has no owner.
    pub(super) owner: String,
    /// Of its latest chapter.
    pub(super) loss: Option<f64>,
}

impl ShardLine {
    fn percent(&self, steps: u64) -> u64 {
        let part = (u128::from(self.done.min(steps)) * 100).checked_div(u128::from(steps));
        part.unwrap_or(100) as u64
    }
}

/// The fields after a bar, which are left out one after the other.
#[derive(Clone, Copy, Debug)]
struct Fields {
    counts: bool,
    owners: bool,
    losses: bool,
}

/// From all to none.
const FIELDS: [Fields; 4] = [
    Fields { counts: true, owners: true, losses: true },
    Fields { counts: false, owners: true, losses: true },
    Fields { counts: false, owners: false, losses: true },
    Fields { counts: false, owners: false, losses: false },
];

/// The shards, each of `steps` steps, and below them the first of the summaries that fits, in `columns`
/// x `lines`.
pub(super) fn fit(
    shards: &[ShardLine],
    steps: u64,
    summaries: &[String],
    (columns, lines): (usize, usize),
) -> Vec<String> {
    let columns = columns.saturating_sub(1).min(MAX_COLUMNS);
    // One line stays for what is said above, one for the summary.
    let room = lines.saturating_sub(2);
    let shown = if shards.len() <= room { shards.len() } else { room.saturating_sub(1) };
    let (shown, folded) = shards.split_at(shown);
    let mut fitted = bars(shown, steps, columns);
    if room > 0 && !folded.is_empty() {
        fitted.push(fold(folded, steps));
    }
    let fits = |summary: &&String| measure_text_width(summary) <= columns;
    fitted.extend(summaries.iter().find(fits).or(summaries.last()).cloned());
    fitted.iter().map(|line| truncate_str(line, columns, "").into_owned()).collect()
}

/// Shards that have no line of their own.
fn fold(shards: &[ShardLine], steps: u64) -> String {
    let percents = || shards.iter().map(|shard| shard.percent(steps));
    let (least, most) = (percents().min().unwrap_or(0), percents().max().unwrap_or(0));
    let word = match (shards.len(), shards.iter().any(|shard| shard.name.contains('.'))) {
        (1, true) => "shard",
        (_, true) => "shards",
        (1, false) => "layer",
        (_, false) => "layers",
    };
    let count = shards.len();
    if least == most {
        format!("{count} more {word}: {most} %")
    } else {
        format!("{count} more {word}: {least} to {most} %")
    }
}

/// The shards, one under the other, with as many fields as leave room for the bars.
fn bars(shards: &[ShardLine], steps: u64, columns: usize) -> Vec<String> {
    let name = shards.iter().map(|shard| measure_text_width(&shard.name)).max().unwrap_or(0);
    for fields in FIELDS {
        let behind: Vec<String> = behind(shards, steps, fields);
        let widest = behind.iter().map(|text| measure_text_width(text)).max().unwrap_or(0);
        // Behind the name a space; the bar stands in brackets.
        if let Some(width) = columns.checked_sub(name + widest + 3).filter(|it| *it >= MIN_BAR) {
            let line = |(shard, behind): (&ShardLine, &String)| {
                let bar = bar(shard.done, steps, width);
                format!("{:name$} [{bar}]{behind}", shard.name)
            };
            return shards.iter().zip(&behind).map(line).collect();
        }
    }
    shards
        .iter()
        .map(|shard| format!("{:name$} {:>3} %", shard.name, shard.percent(steps)))
        .collect()
}

/// A name that fits, without its middle: what tells names apart is often at their ends.
fn shortened(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    if measure_text_width(name) <= MAX_OWNER {
        return name.to_owned();
    }
    let (ahead, behind) = (MAX_OWNER / 2, MAX_OWNER - MAX_OWNER / 2 - 1);
    let tail: String = letters[letters.len().saturating_sub(behind)..].iter().collect();
    let head: String = letters.iter().take(ahead).collect();
    truncate_str(&format!("{head}~{tail}"), MAX_OWNER, "").into_owned()
}

/// The text after each bar.
fn behind(shards: &[ShardLine], steps: u64, fields: Fields) -> Vec<String> {
    let owners: Vec<_> = shards.iter().map(|shard| shortened(&shard.owner)).collect();
    let widest = owners.iter().map(|owner| measure_text_width(owner)).max().unwrap_or(0);
    let digits = steps.to_string().len();
    let text = |(shard, owner): (&ShardLine, &String)| {
        let mut text = format!(" {:>3} %", shard.percent(steps));
        if fields.counts {
            text += &format!(" {:>digits$}/{steps}", shard.done);
        }
        if fields.owners && widest > 0 {
            text += "  ";
            text += &pad_str(owner, widest, console::Alignment::Left, None);
        }
        if let Some(loss) = shard.loss.filter(|_| fields.losses) {
            text += &format!("  loss {loss:.3}");
        }
        text.truncate(text.trim_end().len());
        text
    };
    shards.iter().zip(&owners).map(text).collect()
}

/// A bar of `width` columns.
fn bar(done: u64, steps: u64, width: usize) -> String {
    let part = (u128::from(done.min(steps)) * width as u128).checked_div(u128::from(steps));
    let full = part.map_or(width, |part| part as usize);
    let head = if full < width { ">" } else { "" };
    format!("{:width$}", "=".repeat(full) + head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shards(count: usize) -> Vec<ShardLine> {
        let shard = |at: usize| ShardLine {
            name: format!("layer {at}"),
            done: 100 + at as u64,
            owner: "15d27e6d".into(),
            loss: (at != 1).then_some(0.5),
        };
        (0..count).map(shard).collect()
    }

    #[test]
    fn all_that_is_known_where_there_is_room() {
        let mut shards = shards(2);
        shards[1].owner = "küche".into();
        let lines = fit(&shards, 200, &["50 % of 200 steps".into()], (67, 24));
        assert_eq!(
            lines,
            [
                "layer 0 [==========>         ]  50 % 100/200  15d27e6d  loss 0.500",
                "layer 1 [==========>         ]  50 % 101/200  küche",
                "50 % of 200 steps",
            ]
        );
    }

    #[test]
    fn a_narrow_terminal_has_less_and_no_line_fills_it() {
        let summaries = ["a summary of some length", "a summary", "sum"].map(str::to_owned);
        let wide = |columns| fit(&shards(3), 200, &summaries, (columns, 24));
        let chosen = [26, 24, 9, 3].map(|columns| wide(columns)[3].clone());
        assert_eq!(chosen, [&summaries[0], &summaries[1], "sum", "su"]);
        assert_eq!(wide(300)[0].len(), MAX_COLUMNS);
        assert_eq!(wide(49)[0], "layer 0 [=====>    ]  50 %  15d27e6d  loss 0.500");
        assert_eq!(wide(39)[0], "layer 0 [=====>    ]  50 %  loss 0.500");
        assert_eq!(wide(27)[0], "layer 0 [=====>    ]  50 %");
        assert_eq!(wide(20)[0], "layer 0  50 %");
        for columns in 0..120 {
            assert!(wide(columns).iter().all(|line| line.len() < columns.max(1)), "{columns}");
        }
    }

    #[test]
    fn wide_letters_and_long_names_keep_to_their_column() {
        let mut shards = shards(2);
        shards[0].owner = "台所の計算機のなまえはながい".into();
        shards[1].loss = Some(1.0);
        let lines = fit(&shards, 200, &[], (90, 24));
        let ends = |line: &str| line.find("  loss").map(|at| measure_text_width(&line[..at]));
        assert_eq!([ends(&lines[0]), ends(&lines[1])], [Some(68), Some(68)]);
        assert!(lines.iter().all(|line| measure_text_width(line) < 90));
    }

    #[test]
    fn a_low_terminal_folds_shards_and_keeps_the_summary() {
        let fit =
            |shards: &[ShardLine], height| fit(shards, 200, &["summary".into()], (80, height));
        for height in 0..40 {
            let lines = fit(&shards(30), height);
            assert_eq!(lines.last().map(String::as_str), Some("summary"));
            assert!(lines.len() < height.max(2), "{height}: {}", lines.len());
        }
        let lines = fit(&shards(30), 15);
        assert_eq!((lines.len(), &lines[12][..]), (14, "18 more layers: 56 to 64 %"));
        assert_eq!(fit(&shards(30), 3), ["30 more layers: 50 to 64 %", "summary"]);
        assert_eq!(fit(&shards(30), 2), ["summary"]);
        assert_eq!(fit(&shards(22), 24).len(), 23);
    }

    #[test]
    fn a_bar_is_full_at_the_end_only() {
        assert_eq!(bar(0, 100, 10), ">         ");
        assert_eq!(bar(99, 100, 10), "=========>");
        assert_eq!(bar(100, 100, 10), "==========");
        assert_eq!(bar(7, 0, 3), "===");
    }
}
