//! The program of this computer for each image. There is no registry and no container runtime.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Programs by the repository of their image, without tag and digest.
#[derive(Debug, Clone, Default)]
pub struct Images(BTreeMap<String, PathBuf>);

impl Images {
    /// Runs this program for images of this repository.
    #[must_use]
    pub fn with(mut self, repository: &str, program: impl Into<PathBuf>) -> Self {
        self.0.insert(repository.to_owned(), program.into());
        self
    }

    /// The program of an image, whatever its tag or digest.
    pub(super) fn program(&self, image: &str) -> Option<&Path> {
        self.0.get(repository(image)).map(PathBuf::as_path)
    }

    /// The error for an image without a program.
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
    fn an_image_is_found_whatever_its_tag_or_digest() {
        let images = Images::default().with("example.com:5000/team/app", "/bin/app");
        for image in [
            "example.com:5000/team/app",
            "example.com:5000/team/app:1.0",
            "example.com:5000/team/app:1@sha256:0",
        ] {
            assert_eq!(images.program(image), Some(Path::new("/bin/app")), "{image}");
        }
        assert_eq!(images.program("team/app"), None);
        assert!(images.missing("x:1").contains("image x:1; it has: example.com:5000/team/app"));
    }
}
