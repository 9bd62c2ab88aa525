//! The documents of the files of `validate` and `render`, one by one, and what each path held.

use std::{fmt, vec};

use kcg_api::names;
use kcg_api::yaml_error::YamlError;
use serde_json::Value;

use super::files::{FileArgs, FoundFile};
use super::manifests::{self, Document};

/// One finding in a file. Documents of other kinds are only counted.
#[derive(Debug)]
pub(super) enum FileItem {
    /// A KconsumerGroup of any version.
    Group(Value),
    /// Why a file or a document cannot be judged.
    Error(String),
    /// The same, with `--skip-unreadable`.
    Skipped(String),
}

/// What a path of the command line held.
#[derive(Debug, Default)]
pub(super) struct PathSummary {
    pub(super) path: String,
    files: usize,
    groups: usize,
    errors: usize,
    skipped: usize,
    pub(super) other_documents: usize,
}

/// Says what was looked at in a path without a group.
impl fmt::Display for PathSummary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (files, others) = (counted(self.files, "file"), counted(self.other_documents, "other document"));
        write!(formatter, "{}: no {} in {files} with {others}", self.path, names::KIND)?;
        if self.skipped > 0 { write!(formatter, ", {} skipped", self.skipped) } else { Ok(()) }
    }
}

/// Reads the files one after the other. Ends with the last document of the last file.
#[derive(Debug)]
pub(super) struct Documents {
    files: vec::IntoIter<FoundFile>,
    skip_unreadable: bool,
    /// The file that is read now: the index of its path, and its name.
    file: (usize, String),
    /// What it holds that was not returned yet.
    rest: vec::IntoIter<Result<Document, YamlError>>,
    paths: Vec<PathSummary>,
}

impl Documents {
    pub(super) fn of(args: &FileArgs) -> Self {
        let summary = |path| PathSummary { path, ..PathSummary::default() };
        Self {
            files: args.files().into_iter(),
            skip_unreadable: args.skip_unreadable,
            file: (0, String::new()),
            rest: Vec::new().into_iter(),
            paths: args.paths().map(summary).collect(),
        }
    }

    /// The documents of a text, as if it came from standard input.
    pub(super) fn of_text(args: &FileArgs, text: &str) -> Self {
        let name = "standard input".to_owned();
        Self {
            files: Vec::new().into_iter(),
            skip_unreadable: args.skip_unreadable,
            file: (0, name.clone()),
            rest: manifests::documents(text).into_iter(),
            paths: vec![PathSummary { path: name, files: 1, ..PathSummary::default() }],
        }
    }

    /// What was read so far.
    pub(super) fn paths(&self) -> &[PathSummary] {
        &self.paths
    }

    /// The paths that hold no group, and no error that says why.
    pub(super) fn without_groups(&self) -> impl Iterator<Item = &PathSummary> {
        self.paths.iter().filter(|path| path.groups == 0 && path.errors == 0)
    }
}

impl Iterator for Documents {
    type Item = (String, FileItem);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (index, name) = &self.file;
            for document in self.rest.by_ref() {
                let path = &mut self.paths[*index];
                let found = match document {
                    Ok(Document::Group(group)) => FileItem::Group(group),
                    Ok(Document::LooksLikeOurs(why)) => FileItem::Error(why),
                    Ok(Document::Other) => {
                        path.other_documents += 1;
                        continue;
                    }
                    Err(error) if self.skip_unreadable => FileItem::Skipped(error.to_string()),
                    Err(error) => FileItem::Error(error.to_string()),
                };
                path.count(&found);
                return Some((name.clone(), found));
            }
            let file = self.files.next()?;
            let (index, name) = (file.path, file.name.clone());
            let path = &mut self.paths[index];
            path.files += 1;
            match file.read() {
                Ok(text) => {
                    self.rest = manifests::documents(&text).into_iter();
                    self.file = (index, name);
                }
                Err(error) => {
                    let found = FileItem::Error(error.to_string());
                    path.count(&found);
                    return Some((name, found));
                }
            }
        }
    }
}

impl PathSummary {
    fn count(&mut self, found: &FileItem) {
        *match found {
            FileItem::Group(_) => &mut self.groups,
            FileItem::Error(_) => &mut self.errors,
            FileItem::Skipped(_) => &mut self.skipped,
        } += 1;
    }
}

/// For example `2 files`.
pub(super) fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
