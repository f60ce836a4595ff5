//! The files and folders of an archive, as unpacking would make them.
//!
//! Rule: what comes later replaces what is there under its name, as a file replaces another; a link
//! leads to what is there under its target when somebody follows it, and never out of the archive;
//! a hard link is another name of what is there when it is made.

use std::collections::BTreeMap;

/// The most names on the way that a link leads, with the links on it: what follows many links ends.
const MOST_STEPS: u32 = 512;

/// The most files, links and folders.
const MOST_NODES: usize = 3_000_000;

/// The most folders.
pub(super) const MOST_FOLDERS: usize = 100_000;

/// The thing under a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Node {
    Folder {
        /// The folder that it is in.
        up: usize,
        names: BTreeMap<Vec<u8>, usize>,
    },
    File {
        /// Its place among the entries.
        number: u32,
    },
    Link {
        /// The folder that it is in.
        up: usize,
        /// The path that it leads to.
        to: Vec<u8>,
    },
    /// A device or a pipe.
    Other,
}

/// A folder with all that is in it.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    folders: usize,
}

impl Default for Tree {
    fn default() -> Self {
        let root = Node::Folder { up: Self::ROOT, names: BTreeMap::new() };
        Self { nodes: vec![root], folders: 1 }
    }
}

/// The names in a path.
fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|part| !matches!(*part, b"" | b"."))
}

impl Tree {
    /// The outermost folder.
    pub(super) const ROOT: usize = 0;

    pub(super) fn node(&self, place: usize) -> &Node {
        &self.nodes[place]
    }

    /// The names in a folder, sorted, and what they lead to; nothing where a link leads nowhere.
    pub(super) fn list(&self, folder: usize) -> impl Iterator<Item = (&[u8], Option<usize>)> {
        let names = match &self.nodes[folder] {
            Node::Folder { names, .. } => Some(names),
            Node::File { .. } | Node::Link { .. } | Node::Other => None,
        };
        let all = names.into_iter().flatten();
        all.map(|(name, &place)| (name.as_slice(), self.follow(place, &mut 0)))
    }

    /// The thing at a place, or where the link there leads.
    fn follow(&self, place: usize, steps: &mut u32) -> Option<usize> {
        match &self.nodes[place] {
            Node::Link { up, to } => {
                // A path from the root of the file system leads out of the archive.
                let inside = !to.is_empty() && !to.starts_with(b"/");
                inside.then(|| self.find(*up, to, steps)).flatten()
            }
            Node::Folder { .. } | Node::File { .. } | Node::Other => Some(place),
        }
    }

    /// The end of a path from `folder`.
    fn find(&self, folder: usize, path: &[u8], steps: &mut u32) -> Option<usize> {
        let mut place = folder;
        for part in parts(path) {
            *steps += 1;
            if *steps > MOST_STEPS {
                return None;
            }
            let Node::Folder { up, names } = &self.nodes[place] else { return None };
            place = match part {
                // There is something above the root, but not in the archive.
                b".." => (place != Self::ROOT).then_some(*up)?,
                name => self.follow(*names.get(name)?, steps)?,
            };
        }
        Some(place)
    }

    /// Whether the folder `outer` is `inner`, or has it somewhere in it.
    pub(super) fn holds(&self, outer: usize, mut inner: usize) -> bool {
        while inner != outer {
            match &self.nodes[inner] {
                Node::Folder { up, .. } if inner != Self::ROOT => inner = *up,
                Node::Folder { .. } | Node::File { .. } | Node::Link { .. } | Node::Other => {
                    return false;
                }
            }
        }
        true
    }

    fn push(&mut self, node: Node) -> Result<usize, &'static str> {
        if self.nodes.len() == MOST_NODES {
            return Err("is one file too many");
        }
        self.nodes.push(node);
        Ok(self.nodes.len() - 1)
    }

    /// The folder that the last name of a path belongs into, which is made if there is none, and
    /// that name; `None` for the path of the root.
    fn above<'p>(&mut self, path: &'p [u8]) -> Result<Option<(usize, &'p [u8])>, &'static str> {
        if parts(path).any(|part| part == b"..") {
            return Err("has .. in it");
        }
        let mut names = parts(path).peekable();
        let mut folder = Self::ROOT;
        while let Some(name) = names.next() {
            if names.peek().is_none() {
                return Ok(Some((folder, name)));
            }
            folder = self.enter(folder, name)?;
        }
        Ok(None)
    }

    /// The folder of this name in another one.
    fn enter(&mut self, folder: usize, name: &[u8]) -> Result<usize, &'static str> {
        if let Some(place) = self.named(folder, name) {
            let target = self.follow(place, &mut 0);
            let is_folder = |&place: &usize| matches!(self.nodes[place], Node::Folder { .. });
            return target.filter(is_folder).ok_or("lies in what is no folder");
        }
        self.make(folder, name)
    }

    /// A new folder of this name in another one.
    fn make(&mut self, folder: usize, name: &[u8]) -> Result<usize, &'static str> {
        self.folders += 1;
        if self.folders > MOST_FOLDERS {
            return Err("is one folder too many");
        }
        let place = self.push(Node::Folder { up: folder, names: BTreeMap::new() })?;
        self.name(folder, name, place);
        Ok(place)
    }

    fn named(&self, folder: usize, name: &[u8]) -> Option<usize> {
        match &self.nodes[folder] {
            Node::Folder { names, .. } => names.get(name).copied(),
            Node::File { .. } | Node::Link { .. } | Node::Other => None,
        }
    }

    fn name(&mut self, folder: usize, name: &[u8], place: usize) {
        if let Node::Folder { names, .. } = &mut self.nodes[folder] {
            names.insert(name.to_owned(), place);
        }
    }

    /// There is a folder at `path`.
    ///
    /// # Errors
    /// If it cannot be there, as the end of "PATH ...".
    pub(super) fn add_folder(&mut self, path: &[u8]) -> Result<(), &'static str> {
        let Some((folder, name)) = self.above(path)? else { return Ok(()) };
        if self.enter(folder, name).is_ok() {
            return Ok(());
        }
        // It takes the place of a file.
        self.make(folder, name).map(|_| ())
    }

    /// There is something else at `path`, in the folder that `node` is told.
    ///
    /// # Errors
    /// As [`Tree::add_folder`].
    pub(super) fn add(
        &mut self,
        path: &[u8],
        node: impl FnOnce(usize) -> Node,
    ) -> Result<(), &'static str> {
        let (folder, name) = self.free(path)?;
        let place = self.push(node(folder))?;
        self.name(folder, name, place);
        Ok(())
    }

    /// Puts the thing at `target` at `path` as well.
    ///
    /// # Errors
    /// As [`Tree::add_folder`], and if there is nothing to link to.
    pub(super) fn add_hard_link(&mut self, path: &[u8], target: &[u8]) -> Result<(), &'static str> {
        let nothing = "is a hard link to what is not in the archive before it";
        let (folder, name) = self.free(path)?;
        let Some((from, last)) = self.above(target)? else { return Err(nothing) };
        let place = self.named(from, last).ok_or(nothing)?;
        if matches!(self.nodes[place], Node::Folder { .. }) {
            return Err("is a hard link to a folder");
        }
        self.name(folder, name, place);
        Ok(())
    }

    /// The folder and the name for what is no folder.
    fn free<'p>(&mut self, path: &'p [u8]) -> Result<(usize, &'p [u8]), &'static str> {
        let (folder, name) = self.above(path)?.ok_or("is no name for a file")?;
        let there = self.named(folder, name).map(|place| &self.nodes[place]);
        match there {
            Some(Node::Folder { names, .. }) if !names.is_empty() => {
                Err("was a folder, and is none now")
            }
            _ => Ok((folder, name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(number: u32) -> impl FnOnce(usize) -> Node {
        move |_| Node::File { number }
    }

    fn link(to: &str) -> impl FnOnce(usize) -> Node {
        move |up| Node::Link { up, to: to.as_bytes().to_owned() }
    }

    /// The number of the file at a path.
    fn number(tree: &Tree, path: &str) -> Option<u32> {
        let place = tree.find(Tree::ROOT, path.as_bytes(), &mut 0)?;
        match tree.node(place) {
            Node::File { number } => Some(*number),
            Node::Folder { .. } | Node::Link { .. } | Node::Other => None,
        }
    }

    #[test]
    fn later_names_replace_earlier_ones() {
        let mut tree = Tree::default();
        tree.add(b"./a//x", file(1)).unwrap();
        tree.add_hard_link(b"a/y", b"/a/x").unwrap();
        tree.add(b"/a/x", file(2)).unwrap();
        assert_eq!((number(&tree, "a/x"), number(&tree, "a/y")), (Some(2), Some(1)));
        tree.add_folder(b"a/x/").unwrap();
        tree.add(b"a/x/z", file(3)).unwrap();
        assert_eq!((number(&tree, "a/x"), number(&tree, "a/x/z")), (None, Some(3)));
        assert_eq!(tree.add(b"a/x", file(4)), Err("was a folder, and is none now"));
        assert_eq!(tree.add(b"a/y/z", file(4)), Err("lies in what is no folder"));
        assert_eq!(tree.add(b"a/../b", file(4)), Err("has .. in it"));
        assert_eq!(tree.add(b"./", file(4)), Err("is no name for a file"));
        tree.add_folder(b"./").unwrap();
    }

    #[test]
    fn links_lead_to_what_is_in_the_archive() {
        let mut tree = Tree::default();
        tree.add(b"a/b/x", file(1)).unwrap();
        for (path, to) in [
            ("a/near", "b/x"),
            ("far", "a/./b/../near"),
            ("folder", "a/b"),
            ("out", "../x"),
            ("root", "/a/b/x"),
            ("loop", "loop"),
            ("nothing", "b"),
            ("empty", ""),
        ] {
            tree.add(path.as_bytes(), link(to)).unwrap();
        }
        for path in ["a/near", "far", "folder/x", "folder/../near"] {
            assert_eq!(number(&tree, path), Some(1), "{path}");
        }
        for path in ["out", "root", "loop", "nothing", "empty", "loop/x"] {
            assert_eq!(number(&tree, path), None, "{path}");
        }
        tree.add(b"folder/y", file(2)).unwrap();
        assert_eq!(number(&tree, "a/b/y"), Some(2));
        assert!(
            tree.add_hard_link(b"late", b"not yet").unwrap_err().contains("not in the archive")
        );
        assert_eq!(tree.add_hard_link(b"z", b"a"), Err("is a hard link to a folder"));
        let names: Vec<_> = tree.list(Tree::ROOT).map(|(name, to)| (name, to.is_some())).collect();
        assert!(names.contains(&(b"loop", false)) && names.contains(&(b"far", true)));
    }
}
