//! `ffp2p data`: lists the data sets that were fetched from peers, and removes some.
//!
//! Rule: only what the user names is removed.

use super::error::CommandError;
use crate::{
    cli::{DataArgs, DataCommand},
    sharing::{Cache, CachedSet},
    text::megabytes,
    view::line,
};

pub(super) fn run(args: DataArgs) -> Result<(), CommandError> {
    let cache = Cache::of_user()?;
    match args.command {
        None | Some(DataCommand::List) => {
            let sets = cache.list();
            if sets.is_empty() && !args.json {
                line(&format!("no data set is cached in {}", cache.path().display()));
            }
            sets.iter().for_each(|set| line(&in_words("data", set, args.json)));
        }
        Some(DataCommand::Rm { names }) => {
            for name in names {
                let removed = cache.remove(&name)?;
                line(&in_words("removed", &removed, args.json));
            }
        }
    }
    Ok(())
}

fn in_words(event: &str, set: &CachedSet, json: bool) -> String {
    let CachedSet { name, folder, bytes, is_complete } = set;
    let folder = folder.display();
    if json {
        let folder = folder.to_string();
        return serde_json::json!({
            "event": event, "name": name, "bytes": bytes, "complete": is_complete, "folder": folder,
        })
        .to_string();
    }
    let whole = if *is_complete { "" } else { ", not all of it" };
    let removed = if event == "removed" { "removed " } else { "" };
    format!("{removed}{name}  {}{whole}, in {folder}", megabytes(*bytes))
}
