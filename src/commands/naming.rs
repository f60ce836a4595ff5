//! The name of a node: what its user says, or else its host's name.
//!
//! Rule: a name tells users which machine is meant and decides nothing.

use ffp2p_net::{MAX_NODE_NAME, is_node_name, to_node_name};

/// A name as a user types it.
///
/// # Errors
/// The rule for names, if this is not one.
pub(crate) fn parse_name(text: &str) -> Result<String, String> {
    if is_node_name(text) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "a node's name has 1 to {MAX_NODE_NAME} letters, digits, dots, dashes and underscores"
    ))
}

/// The first part of the host's name, as far as it may name a node.
pub(super) fn host_name() -> String {
    let name = gethostname::gethostname();
    to_node_name(name.to_string_lossy().split('.').next().unwrap_or_default())
}

/// The name of one of several nodes on a host.
pub(super) fn numbered(name: &str, number: usize) -> String {
    let end = format!("-{number}");
    let kept = MAX_NODE_NAME.saturating_sub(end.len());
    name.chars().take(kept).collect::<String>() + &end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hosts_and_of_several_nodes_are_names() {
        assert!(parse_name(&host_name()).is_ok());
        assert_eq!(numbered("attic", 3), "attic-3");
        let long = numbered(&"\u{fc}".repeat(MAX_NODE_NAME), 63);
        assert!(parse_name(&long).is_ok() && long.ends_with("\u{fc}-63"), "{long}");
        assert!(parse_name("my pc").unwrap_err().contains("1 to 32"));
    }
}
