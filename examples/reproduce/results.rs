//! The results so far, one line for each run.
//!
//! Rule: a line is written when its run is done, and never changed; a run with other flags is
//! another run.

use std::{
    fs::OpenOptions,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

/// The names of the columns.
const HEAD: &str = "group,run,seed,softmax,other,seconds,commit,model,flags";

/// One run of one seed.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) group: String,
    pub(crate) run: String,
    pub(crate) seed: u64,
    /// Right answers of the softmax classifier, percent.
    pub(crate) softmax: f64,
    /// Right answers of goodness, or with the softmax objective of the last layer alone, percent.
    pub(crate) other: f64,
    /// On one thread.
    pub(crate) seconds: f64,
    pub(crate) commit: String,
    /// The first digits of the model's hash.
    pub(crate) model: String,
    /// The spec, data and seed aside.
    pub(crate) flags: String,
}

impl Line {
    fn to_csv(&self) -> String {
        format!(
            "{},{},{},{:.2},{:.2},{:.0},{},{},\"{}\"",
            self.group,
            self.run.replace(',', ";"),
            self.seed,
            self.softmax,
            self.other,
            self.seconds,
            self.commit,
            self.model,
            self.flags
        )
    }

    /// The line that `to_csv` wrote, if it is one. Flags come last, since lists in them have commas.
    fn from_csv(text: &str) -> Option<Self> {
        let mut parts = text.splitn(9, ',');
        let mut next = || parts.next();
        Some(Self {
            group: next()?.to_owned(),
            run: next()?.replace(';', ","),
            seed: next()?.parse().ok()?,
            softmax: next()?.parse().ok()?,
            other: next()?.parse().ok()?,
            seconds: next()?.parse().ok()?,
            commit: next()?.to_owned(),
            model: next()?.to_owned(),
            flags: next()?.trim_matches('"').to_owned(),
        })
    }
}

/// All lines, and where they are kept.
#[derive(Debug)]
pub(crate) struct Results {
    path: PathBuf,
    lines: Vec<Line>,
}

impl Results {
    /// Reads the file, which need not exist yet.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            read => read.map_err(|error| format!("{}: {error}", path.display()))?,
        };
        let line = |(number, text): (usize, &str)| {
            let bad = || format!("{}: line {} is no result", path.display(), number + 1);
            Line::from_csv(text).ok_or_else(bad)
        };
        let lines = text.lines().enumerate().skip(1).map(line).collect::<Result<_, _>>()?;
        Ok(Self { path: path.to_owned(), lines })
    }

    /// The result of a run with exactly these flags.
    pub(crate) fn find(&self, group: &str, run: &str, seed: u64, flags: &str) -> Option<&Line> {
        let is_it = |line: &&Line| {
            (line.group.as_str(), line.run.as_str(), line.seed) == (group, run, seed)
                && line.flags == flags
        };
        self.lines.iter().find(is_it)
    }

    /// Keeps a result, in the file first.
    pub(crate) fn add(&mut self, line: Line) -> Result<(), String> {
        let error = |error| format!("{}: {error}", self.path.display());
        let is_new = !self.path.exists();
        let mut file =
            OpenOptions::new().create(true).append(true).open(&self.path).map_err(error)?;
        let head = if is_new { format!("{HEAD}\n") } else { String::new() };
        file.write_all(format!("{head}{}\n", line.to_csv()).as_bytes()).map_err(error)?;
        self.lines.push(line);
        Ok(())
    }
}
