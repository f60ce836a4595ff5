//! The imports between the files of a package, and the cycles among them.
//!
//! Rule: an import is a path that begins with `crate::` or `super::`, followed through re-exports to
//! the file of the item. Declarations, re-exports and tests are none, and a folder's own file may
//! name what is in the folder.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// The path of a module below the crate, such as `["view", "text"]`.
type Module = Vec<String>;

/// Re-exports that lead to each other, at most.
const MAX_STEPS: usize = 8;

/// The files of a package, without their tests.
pub(crate) struct Package {
    code: BTreeMap<Module, String>,
    /// For each module the items that it re-exports, and where they are from.
    exports: BTreeMap<Module, BTreeMap<String, Module>>,
}

impl Package {
    /// The package whose `lib.rs` is in `root`; packages in folders below are others.
    pub(crate) fn read(root: &Path) -> Self {
        let (mut code, mut open) = (BTreeMap::new(), vec![(root.to_owned(), Module::new())]);
        while let Some((folder, above)) = open.pop() {
            for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
                let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
                let module = [above.clone(), vec![stem.clone()]].concat();
                if path.is_dir() {
                    if stem != "tests" && !path.join("Cargo.toml").exists() {
                        open.push((path, module));
                    }
                } else if stem == "mod" || stem == "lib" {
                    code.insert(above.clone(), untested(&path));
                } else if stem != "main" && stem != "tests" && !stem.ends_with("_tests") {
                    code.insert(module, untested(&path));
                }
            }
        }
        let mut package = Self { code, exports: BTreeMap::new() };
        let exports = package.code.iter().map(|(module, code)| {
            let exported = uses(code).0.into_iter().filter_map(|path| {
                let from = package.absolute(module, &path)?;
                Some((from.last()?.clone(), from))
            });
            (module.clone(), exported.collect())
        });
        package.exports = exports.collect();
        package
    }

    /// The imports that lie on a cycle.
    pub(crate) fn cycles(&self) -> Vec<String> {
        let mut edges = BTreeSet::new();
        for (module, code) in &self.code {
            for path in uses(code).1 {
                let owner = self.absolute(module, &path).map(|path| self.owner(path, MAX_STEPS));
                edges.extend(owner.filter(|owner| owner != module).map(|owner| (module, owner)));
            }
        }
        let targets = |from: &Module| {
            let ours = edges.iter().filter(|(module, _)| *module == from);
            ours.map(|(_, owner)| owner).collect::<Vec<_>>()
        };
        let comes_back = |(from, to): &&(&Module, Module)| {
            let (mut seen, mut open) = (BTreeSet::new(), vec![to]);
            while let Some(module) = open.pop() {
                if seen.insert(module) {
                    open.extend(targets(module));
                }
            }
            seen.contains(from)
        };
        let shown =
            |(from, to): &(&Module, Module)| format!("{} -> {}", from.join("::"), to.join("::"));
        edges.iter().filter(comes_back).map(shown).collect()
    }

    /// A path that is written in a module, from the crate down; none for another crate's.
    fn absolute(&self, module: &Module, path: &str) -> Option<Module> {
        let parts: Module = path.split("::").map(|part| part.trim().to_owned()).collect();
        let supers = parts.iter().take_while(|part| *part == "super").count();
        let (base, skipped) = match parts[0].as_str() {
            "crate" => (&[][..], 1),
            "self" => (&module[..], 1),
            "super" => (&module[..module.len().saturating_sub(supers)], supers),
            _ if self.code.contains_key(&[module, &parts[..1]].concat()) => (&module[..], 0),
            _ => return None,
        };
        Some([base, &parts[skipped..]].concat())
    }

    /// The module whose file has an item, after at most `steps` re-exports.
    fn owner(&self, path: Module, steps: usize) -> Module {
        let length = (0..=path.len()).rev().find(|end| self.code.contains_key(&path[..*end]));
        let (module, item) = path.split_at(length.unwrap_or(0));
        let export = item.first().and_then(|name| self.exports.get(module)?.get(name));
        match export {
            Some(from) if steps > 0 => self.owner([from, &item[1..]].concat(), steps - 1),
            _ => module.to_vec(),
        }
    }
}

/// The code of a file without comments and without items that only tests have.
fn untested(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let mut kept = String::new();
    let mut lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            kept += line;
            kept.push('\n');
            continue;
        }
        let Some(item) = lines.by_ref().find(|line| !line.trim_start().starts_with("#[")) else {
            break;
        };
        let end = format!("{}}}", " ".repeat(item.len() - item.trim_start().len()));
        if !item.ends_with([';', '}']) {
            lines.by_ref().find(|line| *line == end);
        }
    }
    kept
}

/// The paths that a file re-exports, and those from `crate` or `super` that it imports or names.
fn uses(code: &str) -> (Vec<String>, Vec<String>) {
    let (mut exports, mut imports, mut rest) = (Vec::new(), Vec::new(), String::new());
    for statement in code.split_inclusive([';', '\n']) {
        rest += statement;
        // A `use` goes on to its semicolon, over several lines.
        let start = rest.trim_start();
        let opens = ["use ", "pub use ", "pub(crate) use ", "pub(super) use "];
        let Some(open) = opens.iter().find(|open| start.starts_with(**open)) else {
            imports.extend(named(&rest));
            rest.clear();
            continue;
        };
        if let Some(tree) = start[open.len()..].trim_end().strip_suffix(';') {
            expand("", tree, if *open == "use " { &mut imports } else { &mut exports });
            rest.clear();
        }
    }
    imports.retain(|path| path.starts_with("crate::") || path.starts_with("super::"));
    (exports, imports)
}

/// The paths of a `use` tree, each after `prefix`.
fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let tree = tree.trim();
    let Some((head, body)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or(tree);
        paths.push(format!("{prefix}{path}").trim_end_matches("::self").to_owned());
        return;
    };
    let (mut depth, mut start) = (0, 0);
    let body = body.strip_suffix('}').unwrap();
    for (at, sign) in body.char_indices().chain([(body.len(), ',')]) {
        depth += i32::from(sign == '{') - i32::from(sign == '}');
        if depth == 0 && sign == ',' {
            if !body[start..at].trim().is_empty() {
                expand(&format!("{prefix}{}", head.trim()), &body[start..at], paths);
            }
            start = at + 1;
        }
    }
}

/// The paths from `crate` or `super` in a piece of code.
fn named(code: &str) -> impl Iterator<Item = String> {
    let is_path = |sign: char| sign.is_alphanumeric() || sign == '_' || sign == ':';
    code.split(move |sign| !is_path(sign)).map(|path| path.trim_end_matches(':').to_owned())
}

#[test]
fn a_tree_becomes_its_paths() {
    let code = "pub use a::B;\nuse crate::{\n    c::{D, e::F as G},\n    h::{self, I},\n};\nfn f(x: super::j::K) {}\n";
    let (exports, imports) = uses(code);
    assert_eq!(exports, ["a::B"]);
    assert_eq!(
        imports,
        ["crate::c::D", "crate::c::e::F", "crate::h", "crate::h::I", "super::j::K"]
    );
}
