//! The files of `validate` and `render`: files, folders and standard input.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use kcg_api::escape;
use kcg_runtime::bounded_text::read_text;

/// The path that means standard input.
const STDIN: &str = "-";
/// Files of a folder with one of these extensions are manifests, as for kubectl.
const EXTENSIONS: [&str; 3] = ["json", "yaml", "yml"];
/// Bytes of one file. Etcd stores no object of more than 1.5 MiB; a file can have many.
const MAX_FILE_BYTES: usize = 32 << 20;
/// Files in all folders.
const MAX_FILES: usize = 10_000;
/// Folders in each other.
const MAX_DEPTH: usize = 32;

#[derive(Debug, Args)]
pub(super) struct FileArgs {
    /// Files or folders with YAML or JSON; - is standard input
    #[arg(value_name = "PATH", required_unless_present = "filename")]
    paths: Vec<String>,
    /// The same, as for kubectl; can be repeated
    #[arg(long, short = 'f', value_name = "PATH")]
    filename: Vec<String>,
    /// Read the folders in a folder, too
    #[arg(long, short = 'R')]
    recursive: bool,
    /// Skip what is neither YAML nor JSON, for example Helm templates
    #[arg(long)]
    pub(super) skip_unreadable: bool,
}

/// A file of one of the paths.
#[derive(Debug)]
pub(super) struct FoundFile {
    /// The index of the path that names it or its folder.
    pub(super) path: usize,
    /// Its name in messages.
    pub(super) name: String,
    /// Where it is, or why it cannot be found.
    source: io::Result<Source>,
}

impl FoundFile {
    /// Its text, which is bounded.
    pub(super) fn read(self) -> io::Result<String> {
        self.source.and_then(|source| source.read())
    }
}

#[derive(Debug)]
enum Source {
    StandardInput,
    Path(PathBuf),
}

impl Source {
    fn read(&self) -> io::Result<String> {
        let source: &mut dyn io::Read = match self {
            Self::StandardInput => &mut io::stdin().lock(),
            Self::Path(path) => &mut fs::File::open(path)?,
        };
        let text = read_text(source, MAX_FILE_BYTES)?;
        // Some editors start a file with a byte order mark.
        match text.strip_prefix('\u{feff}') {
            Some(rest) => Ok(rest.to_owned()),
            None => Ok(text),
        }
    }
}

impl FileArgs {
    /// The paths by their names in messages, in the order of the command line.
    pub(super) fn paths(&self) -> impl Iterator<Item = String> {
        self.given()
            .map(|path| if path == STDIN { "standard input".to_owned() } else { shown(Path::new(path)) })
    }

    fn given(&self) -> impl Iterator<Item = &String> {
        self.paths.iter().chain(&self.filename)
    }

    /// The files of each path, those of a folder by name.
    pub(super) fn files(&self) -> Vec<FoundFile> {
        let mut files = Vec::new();
        for (index, (path, name)) in self.given().zip(self.paths()).enumerate() {
            let found = |source| FoundFile { path: index, name, source: Ok(source) };
            if path == STDIN {
                files.push(found(Source::StandardInput));
            } else if Path::new(path).is_dir() {
                self.add_folder(index, Path::new(path), 0, &mut files);
            } else {
                files.push(found(Source::Path(path.into())));
            }
        }
        files
    }

    fn add_folder(&self, index: usize, folder: &Path, depth: usize, files: &mut Vec<FoundFile>) {
        let found = |path: &Path, source| FoundFile { path: index, name: shown(path), source };
        let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => return files.push(found(folder, Err(error))),
        };
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            // A link to a folder may lead back; a link to a file is a file.
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if files.len() >= MAX_FILES || (is_folder && self.recursive && depth == MAX_DEPTH) {
                let error = format!("more than {MAX_FILES} files or {MAX_DEPTH} nested folders");
                return files.push(found(&path, Err(io::Error::other(error))));
            }
            if is_folder && self.recursive {
                self.add_folder(index, &path, depth + 1, files);
            } else if is_manifest(&path) && path.is_file() {
                files.push(found(&path, Ok(Source::Path(path.clone()))));
            }
        }
    }
}

/// A path in a message: the name of a file can have any character.
fn shown(path: &Path) -> String {
    escape::line(&path.display().to_string()).into_owned()
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|extension| EXTENSIONS.iter().any(|known| extension == *known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path, recursive: bool) -> Vec<String> {
        let paths = vec![folder.display().to_string()];
        let args = FileArgs { paths, filename: Vec::new(), recursive, skip_unreadable: false };
        let name = |file: FoundFile| {
            let name = file.name.strip_prefix(&format!("{}/", folder.display())).unwrap().to_owned();
            file.read().unwrap();
            name
        };
        args.files().into_iter().map(name).collect()
    }

    #[test]
    fn a_folder_holds_manifests_by_their_extension_and_folders_only_if_asked() {
        let folder = std::env::temp_dir().join(format!("kcg-files-{}", std::process::id()));
        fs::create_dir_all(folder.join("a/deep")).unwrap();
        for name in ["b.yaml", "a.yml", "c.json", "README.md", "a/d.yaml", "a/deep/e.yaml"] {
            fs::write(folder.join(name), "").unwrap();
        }
        std::os::unix::fs::symlink(&folder, folder.join("a/loop")).unwrap();
        assert_eq!(names(&folder, false), ["a.yml", "b.yaml", "c.json"]);
        assert_eq!(names(&folder, true), ["a/d.yaml", "a/deep/e.yaml", "a.yml", "b.yaml", "c.json"]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
