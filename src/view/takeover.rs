//! Takeovers in words.
//!
//! Rule: pure; a node goes by the name in the event, and the one that reports it is marked.

use crate::events::Former;

/// Suffix of the name of the node that reports it.
const OWN: &str = " (this node)";

/// A node's name, marked if it is the one that reports it.
fn marked(name: &str, own: bool) -> String {
    format!("{name}{}", if own { OWN } else { "" })
}

/// A takeover from another node, or the first time a node takes something.
pub(super) fn took(name: &str, own: bool, what: &str, from: Option<&Former>) -> String {
    let name = marked(name, own);
    let Some(former) = from else { return format!("{name} took {what}") };
    let why = match former.reason.as_deref() {
        Some("silent") => ", which fell silent",
        Some("left") => ", which left",
        Some("leaving") => ", which is leaving",
        _ => "",
    };
    format!("{name} took over {what} from {}{why}", marked(&former.name, former.own))
}

/// Shards by their places; more than two consecutive ones by the first and the last.
pub(super) fn layers(shards: &[u16], places: &[String]) -> String {
    let mut runs: Vec<Vec<(u16, &str)>> = Vec::new();
    for (&shard, place) in shards.iter().zip(places) {
        match runs.last_mut() {
            Some(run) if run.last().is_some_and(|(last, _)| last.checked_add(1) == Some(shard)) => {
                run.push((shard, place));
            }
            _ => runs.push(vec![(shard, place)]),
        }
    }
    let parts: Vec<String> = runs
        .iter()
        .flat_map(|run| match &run[..] {
            [(_, first), _, .., (_, last)] => vec![format!("{first} to {last}")],
            few => few.iter().map(|(_, place)| (*place).to_owned()).collect(),
        })
        .collect();
    let word = if shards.len() == 1 { "layer" } else { "layers" };
    match parts.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{word} {} and {last}", rest.join(", ")),
        _ => format!("{word} {}", parts.join("")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_takeover_says_from_whom_and_why() {
        let from = |own, reason: Option<&str>| Former {
            peer: "ab".to_owned(),
            name: "attic".to_owned(),
            own,
            reason: reason.map(str::to_owned),
        };
        let told = |own, from: Option<Former>| took("kitchen", own, "layer 2", from.as_ref());
        assert_eq!(told(false, None), "kitchen took layer 2");
        assert_eq!(told(true, None), "kitchen (this node) took layer 2");
        for (own, reason, words) in [
            (false, Some("silent"), "attic, which fell silent"),
            (false, Some("left"), "attic, which left"),
            (true, Some("leaving"), "attic (this node), which is leaving"),
            (true, None, "attic (this node)"),
        ] {
            let words = format!("kitchen took over layer 2 from {words}");
            assert_eq!(told(false, Some(from(own, reason))), words);
        }
    }

    #[test]
    fn shards_are_named_by_their_layers() {
        let told = |shards: &[u16]| {
            let plain: Vec<String> = shards.iter().map(ToString::to_string).collect();
            layers(shards, &plain)
        };
        assert_eq!(told(&[2]), "layer 2");
        assert_eq!(told(&[0, 1]), "layers 0 and 1");
        assert_eq!(told(&[0, 2, 5]), "layers 0, 2 and 5");
        assert_eq!(told(&[0, 1, 2, 3]), "layers 0 to 3");
        assert_eq!(told(&[0, 4, 5, 6, 9, 10]), "layers 0, 4 to 6, 9 and 10");
        assert_eq!(told(&[65_535, 0]), "layers 65535 and 0");
        let sharded: Vec<String> = ["0.0", "0.1", "1.0", "1.1"].map(str::to_owned).to_vec();
        assert_eq!(layers(&[0, 1, 2, 3], &sharded), "layers 0.0 to 1.1");
    }
}
