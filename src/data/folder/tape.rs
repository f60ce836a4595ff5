//! A set in a .tar or a .tar.gz.
//!
//! An archive is read twice: first the names, which make a tree as unpacking would make one on a
//! disk, then the images.
//!
//! Rule: what GNU tar unpacks without a complaint is the same set here, with the last of equal
//! names, links and long names; what it refuses is refused. No length in a header is believed
//! before it is compared with a bound.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use tar::{Archive, EntryType};

use super::{
    super::{
        error::DataError,
        files::{self, MOST_BYTES, MOST_FILE},
        gunzip::{Gunzip, MAGIC},
        picture::ImageFlaw,
    },
    bounded::{Bounded, MOST_UNPACKED, unreadable},
    shelf::{Each, Entry, Kind, Shelf},
    tree::{Node, Tree},
};
use crate::text::shown_bytes;

/// The most bytes of a path, as on Linux.
const MOST_PATH: u64 = 4096;

/// The most bytes of an entry's additional records.
const MOST_RECORDS: u64 = 1 << 20;

/// An archive whose names are known.
#[derive(Debug)]
pub(super) struct Tape<'a> {
    path: &'a Path,
    tree: Tree,
    /// The most bytes that it may unpack to.
    room: u64,
    /// Whether something followed its gzip stream.
    garbage: bool,
}

/// The bytes of an archive, unpacked if they are packed.
enum Input {
    Plain(BufReader<File>),
    Packed(Gunzip<BufReader<File>>),
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(input) => input.read(buffer),
            Self::Packed(input) => input.read(buffer),
        }
    }
}

/// An entry's additional records.
#[derive(Default)]
struct Told {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

impl<'a> Tape<'a> {
    /// The archive at `path`, whose names are read.
    ///
    /// # Errors
    /// If it cannot be read, is none, or cannot be unpacked.
    pub(super) fn open(path: &'a Path) -> Result<Self, DataError> {
        let length = path.metadata().map_err(unreadable(path))?.len();
        let room = files::room(length).min(MOST_UNPACKED);
        let mut tape = Self { path, tree: Tree::default(), room, garbage: false };
        let input = tape.input()?;
        tape.garbage = tape.names(input).map_err(|source| tape.damaged(source))?;
        Ok(tape)
    }

    fn damaged(&self, source: io::Error) -> DataError {
        DataError::Archive { file: self.path.to_owned(), source }
    }

    fn input(&self) -> Result<Bounded<Input>, DataError> {
        let unreadable = unreadable(self.path);
        let mut input = BufReader::new(File::open(self.path).map_err(&unreadable)?);
        let packed = input.fill_buf().map_err(&unreadable)?.starts_with(&MAGIC);
        let input = if packed { Input::Packed(Gunzip::new(input)) } else { Input::Plain(input) };
        Ok(Bounded::new(input, self.room))
    }

    /// Reads the names. Whether something follows the gzip stream.
    fn names(&mut self, input: Bounded<Input>) -> io::Result<bool> {
        let mut archive = Archive::new(input);
        let (mut told, mut number) = (Told::default(), 0);
        for entry in archive.entries()?.raw(true) {
            let mut entry = entry?;
            let header = entry.header();
            let kind = header.entry_type();
            let sparse = header.as_gnu().is_some_and(tar::GnuHeader::is_extended);
            // The library takes these two for records of the next entry.
            if header.as_gnu().is_some() || header.as_ustar().is_some() {
                if kind.is_gnu_longname() {
                    told.path = Some(until_zero(bytes(&mut entry, MOST_PATH)?));
                    continue;
                } else if kind.is_gnu_longlink() {
                    told.link = Some(until_zero(bytes(&mut entry, MOST_PATH)?));
                    continue;
                } else if kind.is_pax_local_extensions() {
                    let size = header.entry_size()?;
                    let records = bytes(&mut entry, MOST_RECORDS)?;
                    told.read(&records).ok_or_else(|| wrong("a pax record is damaged", size))??;
                    continue;
                }
            }
            if kind.is_gnu_sparse() && sparse {
                return Err(io::Error::other("a file has many holes: pack it without --sparse"));
            }
            let Told { path, link, size } = std::mem::take(&mut told);
            let in_header = header.entry_size()?;
            // Only files beyond all bounds need another number than the header's.
            if let Some(size) = size.filter(|size| *size != in_header) {
                return Err(wrong("a file is too long", size));
            }
            let path = path.unwrap_or_else(|| entry.path_bytes().into_owned());
            let link = link.or_else(|| entry.link_name_bytes().map(|link| link.into_owned()));
            self.add(kind, &path, link.unwrap_or_default(), number)
                .map_err(|reason| io::Error::other(format!("{} {reason}", shown_bytes(&path))))?;
            number += 1;
        }
        // What follows the last entry is only padding, but gzip checks its sum at the very end.
        let mut input = archive.into_inner();
        io::copy(&mut input, &mut io::sink())?;
        Ok(matches!(input.into_inner(), Input::Packed(input) if input.had_garbage()))
    }

    /// Puts an entry into the tree.
    fn add(
        &mut self,
        kind: EntryType,
        path: &[u8],
        link: Vec<u8>,
        number: u32,
    ) -> Result<(), &'static str> {
        let folder = kind.is_dir() || kind.as_byte() == b'D' || path.ends_with(b"/");
        let file = kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse();
        match () {
            // Words about the archive, not a file in it.
            () if kind.is_pax_global_extensions() || kind.as_byte() == b'V' => Ok(()),
            () if kind.is_symlink() => self.tree.add(path, |up| Node::Link { up, to: link }),
            () if kind.is_hard_link() => self.tree.add_hard_link(path, &link),
            () if folder => self.tree.add_folder(path),
            () if file => self.tree.add(path, |_| Node::File { number }),
            () => self.tree.add(path, |_| Node::Other),
        }
    }
}

impl Told {
    /// Reads pax records, as "LENGTH KEY=VALUE\n"; `None` if they are none.
    fn read(&mut self, mut records: &[u8]) -> Option<io::Result<()>> {
        while !records.is_empty() {
            let space = records.iter().position(|&byte| byte == b' ')?;
            let length = std::str::from_utf8(&records[..space]).ok()?.parse().ok()?;
            let (record, rest) = records.split_at_checked(length)?;
            let text = record.get(space + 1..)?.strip_suffix(b"\n")?;
            let equals = text.iter().position(|&byte| byte == b'=')?;
            let (key, value) = (&text[..equals], &text[equals + 1..]);
            let too_long = value.len() as u64 > MOST_PATH;
            match key {
                b"path" | b"linkpath" if too_long => {
                    return Some(Err(wrong("a path is too long", value.len() as u64)));
                }
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => self.size = Some(std::str::from_utf8(value).ok()?.parse().ok()?),
                _ if key.starts_with(b"GNU.sparse.") => {
                    return Some(Err(io::Error::other(
                        "a file has holes: pack it without --sparse",
                    )));
                }
                _ => {}
            }
            records = rest;
        }
        Some(Ok(()))
    }
}

fn wrong(what: &str, size: u64) -> io::Error {
    io::Error::other(format!("{what} ({size} bytes)"))
}

/// The bytes of an entry, within its limit.
fn bytes(entry: &mut tar::Entry<'_, impl Read>, most: u64) -> io::Result<Vec<u8>> {
    let size = entry.header().entry_size()?;
    if size > most {
        return Err(wrong("a path or a record is too long", size));
    }
    let mut bytes = Vec::new();
    match entry.read_to_end(&mut bytes)? as u64 == size {
        true => Ok(bytes),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn until_zero(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

impl Shelf for Tape<'_> {
    type Spot = usize;

    fn path(&self) -> &Path {
        self.path
    }

    fn root(&self) -> usize {
        Tree::ROOT
    }

    fn list(&self, folder: &usize) -> Result<Vec<Entry<usize>>, DataError> {
        let entry = |(name, spot): (&[u8], Option<usize>)| {
            let kind = match spot.map(|spot| self.tree.node(spot)) {
                Some(Node::Folder { .. }) => Kind::Folder,
                Some(Node::File { .. }) => Kind::File,
                Some(Node::Other) => Kind::Other,
                Some(Node::Link { .. }) | None => Kind::Dangling,
            };
            Entry { name: name.to_vec(), spot: spot.unwrap_or_default(), kind }
        };
        Ok(self.tree.list(*folder).map(entry).collect())
    }

    fn holds(&self, outer: &usize, inner: &usize) -> bool {
        self.tree.holds(*outer, *inner)
    }

    fn read(&self, files: &[&usize], each: &mut Each<'_>) -> Result<(), DataError> {
        // (place in the archive, place in the list): one file can be several images by links.
        let mut wanted: Vec<(u32, usize)> = Vec::with_capacity(files.len());
        for (i, &&spot) in files.iter().enumerate() {
            if let Node::File { number } = self.tree.node(spot) {
                wanted.push((*number, i));
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        wanted.sort_unstable();
        let mut wanted = wanted.into_iter().peekable();
        let mut archive = Archive::new(self.input()?);
        let mut bytes = Vec::new();
        for (number, entry) in (0_u32..).zip(archive.entries().map_err(|e| self.damaged(e))?) {
            let entry = entry.map_err(|error| self.damaged(error))?;
            if wanted.peek().is_none_or(|&(next, _)| next != number) {
                continue;
            }
            let size = entry.size();
            bytes.clear();
            let read = entry.take(MOST_FILE + 1).read_to_end(&mut bytes);
            let read = read.map_err(|error| self.damaged(error))? as u64;
            if read <= MOST_FILE && read != size {
                return Err(self.damaged(io::ErrorKind::UnexpectedEof.into()));
            }
            while let Some((_, i)) = wanted.next_if(|&(next, _)| next == number) {
                each(i, if read > MOST_FILE { Err(ImageFlaw::Heavy) } else { Ok(&bytes) })?;
            }
            if wanted.peek().is_none() {
                return Ok(());
            }
        }
        // It was all there a moment ago.
        Err(self.damaged(io::Error::other("it changed while it was read")))
    }

    fn room(&self) -> u64 {
        self.room.min(2 * MOST_BYTES as u64)
    }

    fn remark(&self) -> Option<String> {
        let text = "bytes after the end of the gzip stream were ignored, as gunzip does";
        self.garbage.then(|| text.to_owned())
    }
}
