//! The network's settings from flags, and the default folder in which nodes of one host meet.
//!
//! Rule: a setting that was given and cannot be used is refused; a default that cannot be used gives way
//! to the next best, with a warning that names it.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use ffp2p_net::{Config, DEFAULT_PORT, Listen, create_private_folder};

use super::{error::CommandError, naming::host_name};
use crate::cli::NetworkArgs;

impl NetworkArgs {
    /// The addresses to listen on; none for everywhere.
    pub(super) fn listen(&self) -> Result<Vec<SocketAddr>, CommandError> {
        let read = |text: &String| {
            ffp2p_net::parse_listen(text).ok_or_else(|| {
                let text = format!("--listen {text}: write IP:PORT, and [IP]:PORT for IPv6");
                CommandError::Usage(text)
            })
        };
        self.listen.iter().map(read).collect()
    }

    /// The settings of a node.
    pub(super) fn node(&self) -> Result<Config, CommandError> {
        self.config(DEFAULT_PORT)
    }

    /// The settings of a visitor, which leaves the default port to nodes.
    pub(super) fn visitor(&self) -> Result<Config, CommandError> {
        Ok(Config { visits: true, ..self.config(0)? })
    }

    fn config(&self, port: u16) -> Result<Config, CommandError> {
        let at = self.listen()?;
        Ok(Config {
            name: host_name(),
            swarm: self.swarm.clone(),
            run: None,
            visits: false,
            listen: if at.is_empty() { Listen::Everywhere(port) } else { Listen::At(at) },
            peers: self.peer.clone(),
            mdns: !self.no_mdns,
            rendezvous: self.rendezvous()?,
            remembered: None,
        })
    }

    /// The folder in which the nodes of one host meet.
    fn rendezvous(&self) -> Result<Option<PathBuf>, CommandError> {
        let Some(folder) = &self.rendezvous else { return Ok(default_folder(candidates())) };
        let made = if folder.exists() && !folder.is_dir() {
            Err(io::Error::new(io::ErrorKind::NotADirectory, "it is not a folder"))
        } else {
            create_private_folder(folder).and_then(|()| try_to_write(folder))
        };
        made.map_err(|error| {
            let folder = folder.display();
            let text = format!("--rendezvous {folder}: {error}; name a folder you can write to");
            CommandError::Usage(text)
        })?;
        Ok(Some(folder.clone()))
    }
}

/// A folder for the nodes of one user, perhaps.
struct Candidate {
    folder: PathBuf,
    /// A folder that has to be there already, and be the user's.
    above: Option<PathBuf>,
}

/// The folders in which the nodes of one user on one host may meet, the best first.
fn candidates() -> Vec<Candidate> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
    let runtime = runtime.map(|dir| {
        let above = PathBuf::from(dir);
        Candidate { folder: above.join("ffp2p"), above: Some(above) }
    });
    let folder = std::env::temp_dir().join(format!("ffp2p-{}", user()));
    runtime.into_iter().chain([Candidate { folder, above: None }]).collect()
}

/// The first folder that can be used; without one, the nodes of this host have other ways.
fn default_folder(candidates: Vec<Candidate>) -> Option<PathBuf> {
    for Candidate { folder, above } in candidates {
        let above = above.as_deref().map_or(Ok(()), |above| {
            own(above).map_err(|error| format!("XDG_RUNTIME_DIR={}: {error}", above.display()))
        });
        let usable = above.and_then(|()| {
            let usable = create_private_folder(&folder).and_then(|()| own(&folder));
            let usable = usable.and_then(|()| close(&folder)).and_then(|()| try_to_write(&folder));
            usable.map_err(|error| format!("{}: {error}", folder.display()))
        });
        match usable {
            Ok(()) => return Some(folder),
            Err(why) => tracing::warn!("nodes of this host cannot meet in {why}"),
        }
    }
    tracing::warn!(
        "no folder in which nodes of this host could meet: they find each other by multicast DNS or \
         --peer only; name a folder with --rendezvous DIR"
    );
    None
}

/// The user, by number where the system has those: names may be missing or shared.
#[cfg(unix)]
fn user() -> String {
    rustix::process::geteuid().to_string()
}

#[cfg(not(unix))]
fn user() -> String {
    std::env::var("USERNAME").unwrap_or_default()
}

/// Refuses what is no folder or not the user's: its owner could replace what is in it. Links are not
/// followed.
fn own(folder: &Path) -> io::Result<()> {
    let meta = std::fs::symlink_metadata(folder)?;
    if !meta.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, "it is not a folder"));
    }
    #[cfg(unix)]
    {
        let owner = std::os::unix::fs::MetadataExt::uid(&meta);
        if owner != rustix::process::geteuid().as_raw() {
            let text = format!("it belongs to another user ({owner})");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
    }
    Ok(())
}

/// Closes the folder to other users.
fn close(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        let alone = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(folder, alone)?;
    }
    Ok(())
}

fn try_to_write(folder: &Path) -> io::Result<()> {
    tempfile::tempfile_in(folder).map(drop)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use super::*;

    fn chosen(candidates: &[(&Path, Option<&Path>)]) -> Option<PathBuf> {
        let own = |(folder, above): &(&Path, Option<&Path>)| Candidate {
            folder: (*folder).to_owned(),
            above: above.map(Path::to_owned),
        };
        default_folder(candidates.iter().map(own).collect())
    }

    #[test]
    fn the_first_usable_folder_is_taken_and_closed() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        std::fs::create_dir(at("open")).unwrap();
        std::fs::set_permissions(at("open"), std::fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(chosen(&[(&at("open"), None), (&at("new"), None)]), Some(at("open")));
        for (folder, above) in [(at("open"), None), (at("new"), Some(place.path()))] {
            assert_eq!(chosen(&[(&folder, above)]), Some(folder.clone()));
            assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        }
    }

    #[test]
    fn what_is_no_folder_of_the_user_gives_way_to_the_next() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        std::fs::write(at("file"), []).unwrap();
        std::fs::create_dir(at("real")).unwrap();
        symlink(at("real"), at("link")).unwrap();
        let (missing, below) = (at("missing"), at("missing/ffp2p"));
        let next = at("next");
        for wrong in [(&at("file"), None), (&at("link"), None), (&below, Some(&missing))] {
            let wrong = (wrong.0.as_path(), wrong.1.map(PathBuf::as_path));
            assert_eq!(chosen(&[wrong, (&next, None)]), Some(next.clone()), "{wrong:?}");
            assert_eq!(chosen(&[wrong]), None);
        }
    }

    /// Only root can make a folder somebody else's.
    #[test]
    fn a_folder_of_another_user_gives_way_to_the_next() {
        let place = tempfile::tempdir().unwrap();
        let (other, next) = (place.path().join("other"), place.path().join("next"));
        std::fs::create_dir(&other).unwrap();
        let stranger = rustix::process::geteuid().as_raw() + 1;
        if chown(&other, Some(stranger), None).is_ok() {
            let below = other.join("ffp2p");
            for wrong in [(other.as_path(), None), (&below, Some(other.as_path()))] {
                assert_eq!(chosen(&[wrong, (&next, None)]), Some(next.clone()));
            }
        }
    }
}
