//! One array in NumPy's .npy form: a short header in text, then plain numbers.
//!
//! Read here rather than by a library, because those at hand believe the header's lengths before
//! they see the bytes.
//!
//! Rule: the header is short, its shape is within bounds before anything is made room for, the
//! content comes row by row, and it ends where the shape says.

use std::io::Read;

use super::files::{MOST_BYTES, MOST_SAMPLES};

/// The most bytes of a header; NumPy writes 128 for plain arrays.
const MOST_HEADER: usize = 4096;

/// The most axes of an array.
const MOST_AXES: usize = 4;

/// The content expected, and the content found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    pub(super) expected: String,
    pub(super) found: String,
}

impl Flaw {
    pub(super) fn new(expected: impl Into<String>, found: impl ToString) -> Self {
        Self { expected: expected.into(), found: found.to_string() }
    }
}

/// The whole numbers of an array, of 1, 2, 4 or 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    big_endian: bool,
    signed: bool,
    bytes: usize,
}

impl Kind {
    /// Plain bytes, as pixels are.
    const U8: Self = Self { big_endian: false, signed: false, bytes: 1 };

    /// The kind that NumPy calls `name`, as in `|u1` or `<i8`.
    fn named(name: &str) -> Option<Self> {
        let mut letters = name.chars();
        let (order, sign) = (letters.next()?, letters.next()?);
        let bytes = match letters.as_str() {
            "1" => 1,
            "2" => 2,
            "4" => 4,
            "8" => 8,
            _ => return None,
        };
        let known = matches!(order, '<' | '>' | '|') && matches!(sign, 'u' | 'i');
        known.then_some(Self { big_endian: order == '>' && bytes > 1, signed: sign == 'i', bytes })
    }

    /// The number in `bytes`, as many as one takes, if it is from 0 to 255.
    fn small(self, bytes: &[u8]) -> Option<u8> {
        // A negative number has its highest bit set, so only 127 fits into a signed byte.
        let (low, high) = if self.big_endian {
            let (high, low) = bytes.split_at(bytes.len() - 1);
            (low[0], high)
        } else {
            (bytes[0], &bytes[1..])
        };
        let negative = self.signed && self.bytes == 1 && low > 127;
        (!negative && high.iter().all(|&byte| byte == 0)).then_some(low)
    }
}

/// An array whose header is read and whose content is still to come.
#[derive(Debug)]
pub(super) struct Array<R> {
    /// NumPy's name for the type of its numbers, such as `|u1` or `<f4`.
    pub(super) descr: String,
    /// The lengths of its axes, 1 to [`MOST_AXES`] of them, none of them 0.
    pub(super) shape: Vec<usize>,
    fortran: bool,
    input: R,
}

impl<R: Read> Array<R> {
    /// Reads the header of an array that takes `size` bytes with it.
    ///
    /// # Errors
    /// A [`Flaw`] if the input cannot be read, is of another form, too large, or cut.
    pub(super) fn open(mut input: R, size: u64) -> Result<Self, Flaw> {
        let header = header(&mut input)?;
        let form = || Flaw::new("an array's descr, fortran_order and shape", header.trim());
        let descr = value(&header, "descr").ok_or_else(form)?.trim_matches('\'').to_owned();
        let fortran = value(&header, "fortran_order").ok_or_else(form)? != "False";
        let shape: Vec<usize> = value(&header, "shape")
            .map(|text| text.trim_matches(['(', ')']).split(',').map(str::trim))
            .and_then(|axes| axes.filter(|axis| !axis.is_empty()).map(|a| a.parse().ok()).collect())
            .ok_or_else(form)?;
        let total = shape.iter().try_fold(1_usize, |sum, &axis| sum.checked_mul(axis));
        let fits = (1..=MOST_AXES).contains(&shape.len())
            && shape[0] <= MOST_SAMPLES
            && total.is_some_and(|total| (1..=MOST_BYTES).contains(&total));
        let (true, Some(total)) = (fits, total) else {
            let expected = format!(
                "1 to {MOST_SAMPLES} samples, 1 to {MOST_AXES} axes, 1 to {MOST_BYTES} numbers"
            );
            return Err(Flaw::new(expected, format!("the shape {shape:?}")));
        };
        // A number has a byte at least.
        if total as u64 > size {
            return Err(Flaw::new(format!("{total} numbers"), format!("{size} bytes in all")));
        }
        Ok(Self { descr, shape, fortran, input })
    }

    /// Whether its numbers are whole.
    pub(super) fn is_whole(&self) -> bool {
        Kind::named(&self.descr).is_some()
    }

    /// Hands each row of its plain bytes to `each`: the numbers of one sample.
    ///
    /// # Errors
    /// A [`Flaw`] if the array is of another kind, cannot be read, or is longer or shorter than its
    /// header says.
    pub(super) fn bytes(self, mut each: impl FnMut(&[u8])) -> Result<(), Flaw> {
        self.rows(Kind::U8, |_, row| {
            each(row);
            Ok(())
        })
    }

    /// Its numbers, if all are from 0 to 255.
    ///
    /// # Errors
    /// As [`Array::bytes`], and a [`Flaw`] that says where a number is not.
    pub(super) fn small(self) -> Result<Vec<u8>, Flaw> {
        let kind = Kind::named(&self.descr)
            .ok_or_else(|| Flaw::new("whole numbers", format!("'{}'", self.descr)))?;
        let mut numbers = Vec::new();
        self.rows(kind, |i, row| {
            let outside = || Flaw::new("labels from 0 to 255", format!("another at index {i}"));
            for bytes in row.chunks_exact(kind.bytes) {
                numbers.push(kind.small(bytes).ok_or_else(outside)?);
            }
            Ok(())
        })?;
        Ok(numbers)
    }

    fn rows(
        mut self,
        kind: Kind,
        mut each: impl FnMut(usize, &[u8]) -> Result<(), Flaw>,
    ) -> Result<(), Flaw> {
        // An array of one axis lies the same in both orders.
        if self.fortran && self.shape.len() > 1 {
            let expected = "rows in C order (numpy.ascontiguousarray)";
            return Err(Flaw::new(expected, "Fortran order"));
        }
        let (count, width) = (self.shape[0], self.shape[1..].iter().product::<usize>());
        // No product is larger than the one that was checked, times a number's eight bytes.
        let mut row = vec![0; width * kind.bytes];
        for i in 0..count {
            if let Err(error) = self.input.read_exact(&mut row) {
                let expected = format!("{count} samples of {} bytes", row.len());
                return Err(Flaw::new(expected, format!("{i} and then: {error}")));
            }
            each(i, &row)?;
        }
        // At its end a packed array's sum is checked, too.
        match self.input.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(Flaw::new(format!("{count} samples of {} bytes", row.len()), "more")),
            Err(error) => Err(Flaw::new("undamaged bytes", error)),
        }
    }
}

/// The text of the header.
fn header(input: &mut impl Read) -> Result<String, Flaw> {
    let start = pull(input, 8)?;
    let length = match start[..] {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _] => pull(input, 2)?,
        [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, _] => pull(input, 4)?,
        _ => return Err(Flaw::new("an array in the .npy form 1 to 3", "other bytes")),
    };
    let length = length.iter().rev().fold(0_usize, |sum, &byte| sum << 8 | usize::from(byte));
    if length > MOST_HEADER {
        return Err(Flaw::new(format!("a header of up to {MOST_HEADER} bytes"), length));
    }
    String::from_utf8(pull(input, length)?).map_err(|_| Flaw::new("a header in text", "no text"))
}

/// The header's value of `key`: a string in quotes, a word, or a list in brackets.
fn value<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = header.split_once(&format!("'{key}':"))?;
    let rest = rest.trim_start();
    let end = if rest.starts_with('(') { rest.find(')')? + 1 } else { rest.find([',', '}'])? };
    Some(rest[..end].trim_end())
}

/// Exactly `wanted` bytes; memory grows only with the bytes that arrive.
fn pull(input: &mut impl Read, wanted: usize) -> Result<Vec<u8>, Flaw> {
    let mut bytes = Vec::new();
    let read = input.take(wanted as u64).read_to_end(&mut bytes);
    let expected = || format!("{wanted} more bytes");
    match read {
        Ok(got) if got == wanted => Ok(bytes),
        Ok(got) => Err(Flaw::new(expected(), got)),
        Err(error) => Err(Flaw::new(expected(), format!("{} and then {error}", bytes.len()))),
    }
}
