//! Checks that several commands make before they begin.
//!
//! Rule: what cannot end well is refused before anything is trained or looked for.

use std::path::Path;

use super::error::CommandError;
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

/// The run whose id begins with `asked`, or the only one.
pub(super) fn choose<T>(
    mut runs: Vec<T>,
    id: impl Fn(&T) -> String,
    asked: Option<&str>,
) -> Result<T, CommandError> {
    let known: Vec<String> = runs.iter().map(|run| id(run).chars().take(16).collect()).collect();
    if let Some(asked) = asked {
        check_digits("--run ", asked)?;
        runs.retain(|run| id(run).starts_with(asked));
    }
    match (runs.pop(), runs.is_empty()) {
        (Some(run), true) => Ok(run),
        (Some(_), false) => Err(CommandError::Usage(format!(
            "there are several runs; choose one with --run: {}",
            known.join(", ")
        ))),
        (None, _) => Err(CommandError::NothingYet(match asked {
            Some(asked) => format!("no run begins with {asked}; there are: {}", known.join(", ")),
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
        let chosen = |asked: Option<&str>| choose(runs(), Clone::clone, asked);
        assert_eq!(chosen(Some("bbbb")).unwrap(), "bbbb3");
        assert!(matches!(chosen(Some("aaaa")), Err(CommandError::Usage(_))));
        assert!(matches!(chosen(None), Err(CommandError::Usage(_))));
        assert!(matches!(chosen(Some("cccc")), Err(CommandError::NothingYet(_))));
        assert_eq!(choose(vec!["x".to_owned()], Clone::clone, None).unwrap(), "x");
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
