//! Checks that several commands make before they begin.
//!
//! Rule: what cannot end well is refused before anything is trained or looked for.

use std::path::Path;

use super::{error::CommandError, naming::parse_name};
use crate::{
    atomic_file,
    export::model_size,
    spec::Spec,
    text::{shown, shown_path},
};

/// Threads of one node, at most.
const MAX_THREADS: usize = 1024;

/// Digits of a run id that name a run, at least: fewer would soon name another one as well.
const LEAST_DIGITS: usize = 4;

/// Digits of a run id.
const ALL_DIGITS: usize = 64;

/// Checks a number of threads.
pub(super) fn threads(asked: Option<usize>, default: usize) -> Result<usize, CommandError> {
    match asked {
        None => Ok(default),
        Some(threads) if (1..=MAX_THREADS).contains(&threads) => Ok(threads),
        Some(threads) => {
            Err(CommandError::Usage(format!("--threads {threads}: choose 1 to {MAX_THREADS}")))
        }
    }
}

/// Refuses to train for hours and then not be able to write the model.
pub(super) fn check_out(out: Option<&Path>, spec: &Spec) -> Result<(), CommandError> {
    let Some(path) = out else { return Ok(()) };
    atomic_file::check(path, model_size(spec)).map_err(|error| {
        let name = shown_path(path);
        CommandError::Usage(format!(
            "--out {name}: {error}; name a file in a folder that has room and can be written"
        ))
    })
}

/// Refuses what cannot be the first digits of a run id, typed after `flag`.
pub(super) fn check_digits(flag: &str, asked: &str) -> Result<(), CommandError> {
    let is_digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    if (LEAST_DIGITS..=ALL_DIGITS).contains(&asked.len()) && asked.chars().all(is_digit) {
        return Ok(());
    }
    let text = format!(
        "{flag}{}: write at least the first {LEAST_DIGITS} digits of the run's id, 0 to 9 and a to f",
        shown(asked)
    );
    Err(CommandError::Usage(text))
}

/// Refuses what can be neither the name of a run nor the first digits of its id.
pub(super) fn check_run(asked: &str) -> Result<(), CommandError> {
    if parse_name(asked).is_ok() || check_digits("", asked).is_ok() {
        return Ok(());
    }
    let text = "write the run's name, or the first digits of its id, as `ffp2p runs` lists them";
    Err(CommandError::Usage(format!("--run {}: {text}", shown(asked))))
}

/// The run that is called `asked`, or whose id begins so, or the only one. `names` gives id and name of a
/// run.
pub(super) fn choose<T>(
    mut runs: Vec<T>,
    names: impl Fn(&T) -> (String, Option<String>),
    asked: Option<&str>,
) -> Result<T, CommandError> {
    let called = |run: &T| {
        let (id, name) = names(run);
        let id: String = id.chars().take(16).collect();
        name.map_or_else(|| id.clone(), |name| format!("{name} ({id})"))
    };
    let known: Vec<String> = runs.iter().map(called).collect();
    if let Some(asked) = asked {
        check_run(asked)?;
        let begins = check_digits("", asked).is_ok();
        runs.retain(|run| {
            let (id, name) = names(run);
            name.as_deref() == Some(asked) || (begins && id.starts_with(asked))
        });
    }
    match (runs.pop(), runs.is_empty()) {
        (Some(run), true) => Ok(run),
        (Some(_), false) => Err(CommandError::Usage(format!(
            "there are several runs; choose one with --run: {}",
            known.join(", ")
        ))),
        (None, _) => Err(CommandError::NothingYet(match asked {
            Some(asked) => format!("no run is {asked}; there are: {}", known.join(", ")),
            None => "no run was found".to_owned(),
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_chosen_by_its_first_digits() {
        let runs = || vec!["aaaa1".to_owned(), "aaaa2".to_owned(), "bbbb3".to_owned()];
        let names = |run: &String| (run.clone(), run.ends_with('3').then(|| "cats".to_owned()));
        let chosen = |asked: Option<&str>| choose(runs(), names, asked);
        assert_eq!(chosen(Some("cats")).unwrap(), "bbbb3");
        assert_eq!(chosen(Some("bbbb")).unwrap(), "bbbb3");
        assert!(matches!(chosen(Some("aaaa")), Err(CommandError::Usage(_))));
        assert!(matches!(chosen(None), Err(CommandError::Usage(_))));
        assert!(matches!(chosen(Some("cccc")), Err(CommandError::NothingYet(_))));
        assert_eq!(choose(vec!["x".to_owned()], names, None).unwrap(), "x");
        assert!(matches!(chosen(Some("my cats")), Err(CommandError::Usage(_))));
        for digits in ["", "abc", "ABCD", "abcg", &"0".repeat(65)] {
            assert!(matches!(check_digits("", digits), Err(CommandError::Usage(_))), "{digits}");
        }
    }

    #[test]
    fn threads_are_bounded() {
        assert_eq!((threads(None, 3).unwrap(), threads(Some(1), 3).unwrap()), (3, 1));
        for wrong in [0, MAX_THREADS + 1] {
            assert!(threads(Some(wrong), 3).is_err());
        }
    }
}
