//! What runs on this computer for each image. There is no registry and no container runtime.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::sandbox::{self, Mount};

/// An image: its files, and what is started in them.
#[derive(Debug, Clone)]
pub struct Image {
    /// The first word of its ENTRYPOINT.
    entry: String,
    /// The other words.
    args: Vec<String>,
    /// Files and folders of this computer, and their paths in the image.
    files: Vec<(PathBuf, String)>,
}

impl Image {
    /// Just a program, at the image's root.
    pub fn program(program: impl Into<PathBuf>) -> Self {
        let program = program.into();
        let entry = format!("/{}", program.file_name().unwrap_or_default().to_string_lossy());
        Self { files: vec![(program, entry.clone())], entry, args: Vec::new() }
    }

    /// A `java` of this computer with these arguments. `files` are in the image at the given paths.
    pub fn java(java: &Path, args: &[&str], files: Vec<(PathBuf, String)>) -> Self {
        // It needs the files next to it, which are in every root or mounted at the same path.
        let java = java.canonicalize().unwrap_or_else(|_| java.to_owned());
        let home = java.ancestors().nth(2).filter(|_| !sandbox::is_in_every_root(&java));
        let home = home.map(|home| (home.to_owned(), home.display().to_string()));
        let files = files.into_iter().chain(home).collect();
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Self { entry: java.display().to_string(), args, files }
    }

    pub(super) fn entry(&self) -> &str {
        &self.entry
    }

    pub(super) fn args(&self) -> &[String] {
        &self.args
    }

    pub(super) fn mounts(&self) -> Vec<Mount> {
        let mount = |(source, place): &(PathBuf, String)| Mount {
            source: source.clone(),
            place: place.clone(),
            read_only: true,
        };
        self.files.iter().map(mount).collect()
    }
}

/// Images by their repository, without tag and digest.
#[derive(Debug, Clone, Default)]
pub struct Images(BTreeMap<String, Image>);

impl Images {
    /// Adds an image of this repository.
    #[must_use]
    pub fn with(mut self, repository: &str, image: Image) -> Self {
        self.0.insert(repository.to_owned(), image);
        self
    }

    /// The image of this name, whatever its tag or digest.
    pub(super) fn find(&self, image: &str) -> Option<&Image> {
        self.0.get(repository(image))
    }

    /// The error for an image that is not known.
    pub(super) fn missing(&self, image: &str) -> String {
        let known: Vec<&str> = self.0.keys().map(String::as_str).collect();
        format!("this node has no program for image {image}; it has: {}", known.join(", "))
    }
}

fn repository(image: &str) -> &str {
    let name = image.split('@').next().unwrap_or_default();
    // A colon before the last slash belongs to a registry's port.
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_java_outside_of_every_root_is_mounted_with_its_files() {
        let mounted = |java: &str| -> Vec<String> {
            let app = ("/cache/app.jar".into(), "/app.jar".to_owned());
            let image = Image::java(Path::new(java), &["-jar", "/app.jar"], vec![app]);
            assert_eq!(image.entry(), java);
            image.mounts().into_iter().map(|mount| mount.place).collect()
        };
        assert_eq!(mounted("/opt/none/jdk/bin/java"), ["/app.jar", "/opt/none/jdk"]);
    }

    #[test]
    fn an_image_is_found_whatever_its_tag_or_digest() {
        let app = Image::program("/bin/app");
        let images = Images::default().with("example.com:5000/team/app", app);
        for image in [
            "example.com:5000/team/app",
            "example.com:5000/team/app:1.0",
            "example.com:5000/team/app:1@sha256:0",
        ] {
            assert_eq!(images.find(image).map(Image::entry), Some("/app"), "{image}");
        }
        assert!(images.find("team/app").is_none());
        assert!(images.missing("x:1").contains("image x:1; it has: example.com:5000/team/app"));
    }
}
