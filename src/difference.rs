//! The differences between two runs, in the words that a user types.
//!
//! Rule: each cause is named once. A field that follows from a flag or from the data is not named when
//! that is. Of the texts in the other run only names of classes are shown that this program did not
//! write.

use std::fmt;

use ffp2p_net::AboutData;

use crate::{
    about::in_words,
    data::{PRIVATE, UNKNOWN, kind_of, listed_names},
    spec::{Setting, Spec, data_setting, settings},
    text::thousands,
};

/// A run: its spec, and the description of its data, if there is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) data: Option<&'a AboutData>,
}

/// The differences, and the flags with which to join the other run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Name of each flag, its value there, and here.
    flags: Vec<[String; 3]>,
    data: Option<String>,
    /// Whether all that was typed is the same.
    same_flags: bool,
    advice: String,
}

impl Run<'_> {
    /// The number of classes of the data, as far as it is known.
    fn classes(&self) -> Option<usize> {
        // Where nodes have data of their own, `--classes` is a part of their form.
        let data = self.data.filter(|_| !self.is_private())?;
        Some(data.classes as usize).filter(|classes| *classes <= self.spec.network.classes)
    }

    fn is_private(&self) -> bool {
        self.spec.data.starts_with(PRIVATE)
    }

    /// Whether samples differ, or what they mean.
    fn is_of_other_data(&self, other: Run<'_>) -> bool {
        self.spec.data != other.spec.data || self.spec.form != other.spec.form
    }
}

/// The differences between another run and this node's.
pub(crate) fn difference(theirs: Run<'_>, ours: Run<'_>) -> Difference {
    let there = settings(theirs.spec, theirs.classes());
    let here = settings(ours.spec, ours.classes());
    let other_data = theirs.is_of_other_data(ours);
    let both = there.iter().filter_map(|it| Some((it, named(&here, &it.flag)?)));
    let differs: Vec<(&Setting, &Setting)> =
        both.filter(|(it, own)| it.value != own.value).collect();
    let follows = |(it, own): &(&Setting, &Setting)| {
        it.is_default && own.is_default
            || other_data && it.flag == "layers" && are_same_but_input(it, own)
    };
    let mut causes: Vec<_> = differs.iter().copied().filter(|pair| !follows(pair)).collect();
    let data = (other_data && theirs.is_private() == ours.is_private())
        .then(|| data_differs(theirs, ours));
    if causes.is_empty() && data.is_none() {
        // What the other one says of its data can be wrong.
        causes = differs;
    }
    let same_flags =
        there.iter().filter(|it| !it.is_default).eq(here.iter().filter(|it| !it.is_default));
    let words =
        |(it, own): (&Setting, &Setting)| [&it.flag, &it.value, &own.value].map(Clone::clone);
    let flags = causes.into_iter().map(words).collect();
    Difference { flags, data, same_flags, advice: advice(&there, &here, theirs, ours) }
}

/// The flag of this name.
fn named<'a>(flags: &'a [Setting], name: &str) -> Option<&'a Setting> {
    flags.iter().find(|flag| flag.flag == name)
}

/// Whether two lists of widths differ in nothing but the input's, which follows from the data.
fn are_same_but_input(there: &Setting, here: &Setting) -> bool {
    let behind = |flag: &Setting| flag.value.split_once(',').map(|(_, tail)| tail.to_owned());
    behind(there) == behind(here)
}

/// The differences of the data.
fn data_differs(theirs: Run<'_>, ours: Run<'_>) -> String {
    let same_kind = kind_of(&theirs.spec.data) == kind_of(&ours.spec.data);
    let (Some(there), Some(here)) = (theirs.data, ours.data) else {
        return format!("{} there, {} here", kind_of(&theirs.spec.data), kind_of(&ours.spec.data));
    };
    let (their_names, our_names) = (&theirs.spec.form.classes, &ours.spec.form.classes);
    if same_kind && their_names != our_names {
        let [there, here] = [theirs.spec, ours.spec]
            .map(|spec| listed_names(&spec.form.names(spec.network.classes)));
        return format!("the classes {there} there, {here} here");
    }
    let form = |data: &AboutData| (data.form.clone(), data.classes);
    if !same_kind || form(there) != form(here) {
        return format!("{} there; {} here", in_words(there), in_words(here));
    }
    match (there.samples, here.samples) {
        (Some((train, test)), Some((our_train, our_test))) if test == our_test => {
            if train == our_train {
                let (train, test) = (thousands(train.into()), thousands(test.into()));
                return format!("{train} + {test} images on both sides, but not the same ones");
            }
            format!(
                "{} images there, {} here",
                thousands(train.into()),
                thousands(our_train.into())
            )
        }
        (Some((train, test)), Some((our_train, our_test))) if train == our_train => {
            format!(
                "{} test images there, {} here",
                thousands(test.into()),
                thousands(our_test.into())
            )
        }
        (Some((train, test)), Some((our_train, our_test))) => {
            let [train, test, our_train, our_test] =
                [train, test, our_train, our_test].map(|n| thousands(n.into()));
            format!("{train} + {test} images there, {our_train} + {our_test} here")
        }
        _ => "classes of other names there".to_owned(),
    }
}

/// The flags with which to join the other run.
fn advice(there: &[Setting], here: &[Setting], theirs: Run<'_>, ours: Run<'_>) -> String {
    let is_typed =
        |flags: &[Setting], name: &str| named(flags, name).is_some_and(|it| !it.is_default);
    let is_new = |flag: &&Setting| !flag.is_default && !(here.contains(flag));
    let mut with: Vec<String> =
        there.iter().filter(is_new).map(|it| format!("--{} {}", it.flag, it.value)).collect();
    let typed = here.iter().filter(|flag| !flag.is_default);
    let mut without: Vec<String> = typed
        .filter(|flag| !is_typed(there, &flag.flag))
        .map(|flag| format!("--{}", flag.flag))
        .collect();
    let mut parts = Vec::new();
    if theirs.is_of_other_data(ours) {
        match data_setting(&theirs.spec.data) {
            Some(Setting { is_default: true, .. }) => without.insert(0, "--data".to_owned()),
            Some(flag) => with.insert(0, format!("--data {}", flag.value)),
            None if theirs.is_private() => {
                let classes = theirs.spec.network.classes;
                if classes != ours.spec.network.classes {
                    with.insert(0, format!("--classes {classes}"));
                }
                let form = |run: Run<'_>| run.data.map(|data| data.form.clone());
                // Of data of its own, only the form is told, and the classes' names may differ.
                if ours.is_private() || form(theirs) != form(ours) {
                    parts.push("with data of that form".to_owned());
                }
            }
            None => parts.push(match kind_of(&theirs.spec.data) {
                UNKNOWN => "with the same data as there".to_owned(),
                kind => format!("with --data {kind}:PATH of the same files"),
            }),
        }
    }
    if !with.is_empty() {
        parts.insert(0, format!("with {}", with.join(" ")));
    }
    if !without.is_empty() {
        parts.push(format!("without {}", without.join(" ")));
    }
    parts.join(" and ")
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flag =
            |[name, there, here]: &[String; 3]| format!("--{name} is {there} there, {here} here");
        let mut parts: Vec<String> = self.flags.iter().map(flag).collect();
        if let Some(data) = &self.data {
            let same = if self.same_flags { "same flags, other data" } else { "other data" };
            parts.push(format!("{same}: {data}"));
        }
        f.write_str(&parts.join("; "))?;
        if !self.advice.is_empty() {
            write!(f, ". To join that run, start again {}", self.advice)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "difference_tests.rs"]
mod tests;
