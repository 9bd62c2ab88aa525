//! The files of `validate` and `render`: files, folders and standard input.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
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
}

/// A file by its name in messages: where it is, or why it cannot be found.
type Located = (String, io::Result<Source>);

#[derive(Debug)]
enum Source {
    StandardInput,
    Path(PathBuf),
}

impl Source {
    /// Its text, which is bounded.
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
    /// The name and the text of every file, those of a folder by name, or why a file or a folder cannot
    /// be read. A file is read when the iterator reaches it.
    pub(super) fn texts(&self) -> impl Iterator<Item = (String, io::Result<String>)> {
        self.files().into_iter().map(|(name, source)| (name, source.and_then(|source| source.read())))
    }

    fn files(&self) -> Vec<Located> {
        let mut files = Vec::new();
        for path in self.paths.iter().chain(&self.filename) {
            if path == STDIN {
                files.push(("standard input".to_owned(), Ok(Source::StandardInput)));
            } else if Path::new(path).is_dir() {
                self.add_folder(Path::new(path), 0, &mut files);
            } else {
                files.push((path.clone(), Ok(Source::Path(path.into()))));
            }
        }
        files
    }

    fn add_folder(&self, folder: &Path, depth: usize, files: &mut Vec<Located>) {
        let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => return files.push((folder.display().to_string(), Err(error))),
        };
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            // A link to a folder may lead back; a link to a file is a file.
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if files.len() >= MAX_FILES || (is_folder && self.recursive && depth == MAX_DEPTH) {
                let error = format!("more than {MAX_FILES} files or {MAX_DEPTH} nested folders");
                return files.push((path.display().to_string(), Err(io::Error::other(error))));
            }
            if is_folder && self.recursive {
                self.add_folder(&path, depth + 1, files);
            } else if is_manifest(&path) && path.is_file() {
                files.push((path.display().to_string(), Ok(Source::Path(path))));
            }
        }
    }
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|extension| EXTENSIONS.iter().any(|known| extension == *known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path, recursive: bool) -> Vec<String> {
        let args = FileArgs { paths: vec![folder.display().to_string()], filename: Vec::new(), recursive };
        let name = |(name, source): Located| {
            source.unwrap();
            name.strip_prefix(&format!("{}/", folder.display())).unwrap().to_owned()
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
