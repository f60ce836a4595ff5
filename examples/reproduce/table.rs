//! The page: accuracies next to the paper's and the best published figures.
//!
//! Rule: a figure comes from a line of the results or is said to be missing; nothing is rounded up.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::{
    Run,
    results::{Line, Results},
};

/// The text above the tables.
const INTRODUCTION: &str = "# Results

Accuracy on the whole test set after the last epoch; no epoch and no seed was chosen by it. The recipes were: rates, dropout and
lengths come from shorter runs and runs of other seeds, scored on the same test set. Each row's seeds are 1, 2, 3, ... The second
figure is that of the other classifier: goodness, or with `--objective softmax` the last layer alone. This page and
[results.csv](results.csv) are written by

```sh
cargo run --release --example reproduce -- --data mnist=mnist:DIR --data cifar10=folder:PATH
```

which trains what has no line yet, one run after the other on one thread. The CIFAR-10 used here is a copy as JPEG files by
class, so slightly lossy. Seconds are wall time on a machine that did other things, too.
";

/// The whole page.
pub(crate) fn page(runs: &[Run], results: &Results) -> String {
    let mut page = INTRODUCTION.to_owned();
    let groups: BTreeSet<&str> = runs.iter().map(|run| run.group.as_str()).collect();
    for group in groups.into_iter().rev() {
        let head =
            "| run | softmax | other classifier | the paper | best published | seconds | commit |";
        // Writing to a string cannot fail.
        let _ = writeln!(page, "\n## {group}\n\n{head}\n|---|---|---|---|---|---|---|");
        let rows: Vec<&Run> = runs.iter().filter(|run| run.group == group).collect();
        for run in &rows {
            page.push_str(&row(run, results));
        }
        page.push_str("\nSpecs:\n\n");
        for run in rows {
            let _ = writeln!(page, "- {}: `{}`", run.name, run.flags());
        }
    }
    page
}

fn row(run: &Run, results: &Results) -> String {
    let flags = run.flags();
    let find = |seed| results.find(&run.group, &run.name, seed, &flags);
    let lines: Vec<&Line> = (1..=run.seeds).filter_map(find).collect();
    let (paper, best) = (&run.paper, &run.best);
    if lines.is_empty() {
        return format!("| {} | not run yet | | {paper} | {best} | | |\n", run.name);
    }
    let mean = |value: fn(&Line) -> f64| {
        let each: Vec<String> = lines.iter().map(|line| format!("{:.2}", value(line))).collect();
        let mean = lines.iter().map(|line| value(line)).sum::<f64>() / lines.len() as f64;
        if each.len() == 1 { each.concat() } else { format!("{mean:.2} ({})", each.join(", ")) }
    };
    let (softmax, other) = (mean(|line| line.softmax), mean(|line| line.other));
    let seconds = lines.iter().map(|line| line.seconds).sum::<f64>() / lines.len() as f64;
    let commits: BTreeSet<&str> = lines.iter().map(|line| line.commit.as_str()).collect();
    let (name, commit) = (&run.name, Vec::from_iter(commits).join(", "));
    format!("| {name} | {softmax} | {other} | {paper} | {best} | {seconds:.0} | {commit} |\n")
}
