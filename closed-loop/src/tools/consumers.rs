//! The example consumers in Java, built by Maven from apps/ with what their pom.xml pins.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use kcg_devcluster::tools::{self, Progress};

use super::{java, maven};
use crate::node::Image;
use crate::{Error, Result};

/// Fast to start and small, since all pods of a run share this computer.
const JVM: [&str; 3] = ["-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
/// The folder in the cache that Maven's output is moved to.
const OUTPUT: &str = "target";

/// A consumer in Java, and how it is built and started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JavaConsumer {
    /// Its folder in apps/, and the name of its image.
    pub name: &'static str,
    /// The name in the cache: one source may be built more than once.
    cached: &'static str,
    /// What Maven is given besides the goal.
    maven_args: &'static [&'static str],
    /// What its build needs and what a change of it rebuilds.
    sources: &'static [&'static str],
    /// The files of its image, in the build's output; `jmx-exporter.yaml` is in its folder.
    files: &'static [&'static str],
    /// What follows `java` and the flags of every JVM.
    args: &'static [&'static str],
}

const SPRING_SOURCES: &[&str] = &[
    "pom.xml",
    "src/main/java/com/thenextapps/kconsumer/KconsumerApplication.java",
    "src/main/java/com/thenextapps/kconsumer/Processor.java",
    "src/main/resources/application.yaml",
];

/// apps/kconsumer-spring with Spring Boot 4.
pub const SPRING: JavaConsumer = JavaConsumer {
    name: "kconsumer-spring",
    cached: "kconsumer-spring",
    maven_args: &[],
    sources: SPRING_SOURCES,
    files: &["kconsumer-spring.jar"],
    args: &["-jar", "/app/kconsumer-spring.jar"],
};

/// The same source with Spring Boot 3.
pub const SPRING_BOOT_3: JavaConsumer =
    JavaConsumer { cached: "kconsumer-spring-boot-3", maven_args: &["-Dboot3"], ..SPRING };

/// apps/kconsumer-jmx, with the Prometheus JMX exporter as its agent.
pub const JMX: JavaConsumer = JavaConsumer {
    name: "kconsumer-jmx",
    cached: "kconsumer-jmx",
    maven_args: &[],
    sources: &["pom.xml", "jmx-exporter.yaml", "src/main/java/com/thenextapps/kconsumer/Kconsumer.java"],
    files: &["kconsumer-jmx.jar", "lib"],
    args: &[
        "-javaagent:/app/lib/jmx_prometheus_javaagent.jar=5556:/app/jmx-exporter.yaml",
        "-jar",
        "/app/kconsumer-jmx.jar",
    ],
};

impl JavaConsumer {
    /// Its image. It is built at first use.
    pub async fn image(self, progress: Progress<'_>) -> Result<Image> {
        let output = self.built(progress).await?;
        let mut files: Vec<(PathBuf, String)> =
            self.files.iter().map(|file| (output.join(file), format!("/app/{file}"))).collect();
        let configuration = self.folder().join("jmx-exporter.yaml");
        if self.sources.contains(&"jmx-exporter.yaml") {
            files.push((configuration, "/app/jmx-exporter.yaml".to_owned()));
        }
        let args = [&JVM, self.args].concat();
        Ok(Image::java(&java::find()?, &args, files))
    }

    /// The command that starts it on this computer, without a node: `java` and its arguments. The
    /// JMX exporter's port is `port`.
    pub async fn command(self, port: u16, progress: Progress<'_>) -> Result<Vec<OsString>> {
        let output = self.built(progress).await?.display().to_string();
        let configuration = self.folder().join("jmx-exporter.yaml").display().to_string();
        let here = |arg: &&str| -> OsString {
            let arg = arg.replace("/app", &output).replace("=5556:", &format!("={port}:"));
            arg.replace(&format!("{output}/jmx-exporter.yaml"), &configuration).into()
        };
        let args = JVM.iter().chain(self.args).map(here);
        Ok([java::find()?.into_os_string()].into_iter().chain(args).collect())
    }

    /// The folder with its files.
    pub(super) async fn built(self, progress: Progress<'_>) -> Result<PathBuf> {
        let pins: Vec<PathBuf> = self.sources.iter().map(|source| self.folder().join(source)).collect();
        let jar = format!("{OUTPUT}/{}.jar", self.name);
        let jars = [&*jar];
        let folder = tools::cached(self.cached, &pins, &jars, progress, async |folder| {
            progress(&format!("{}: building it with Maven, once", self.cached));
            self.build(folder).await
        });
        Ok(folder.await?.join(OUTPUT))
    }

    /// Builds a copy, since Maven writes next to the pom.xml.
    async fn build(self, folder: &Path) -> Result<()> {
        let scratch = tempfile::tempdir_in(folder).map_err(Error::file("make a folder in", folder))?;
        for source in self.sources {
            let place = scratch.path().join(source);
            let parent = place.parent().unwrap_or(scratch.path());
            std::fs::create_dir_all(parent).map_err(Error::file("create", parent))?;
            std::fs::copy(self.folder().join(source), &place).map_err(Error::file("write", &place))?;
        }
        let goal = self.maven_args.iter().chain(&["package"]).map(OsString::from);
        let pom = scratch.path().join("pom.xml");
        maven::run(&format!("what {} is built with comes", self.name), &pom, goal, folder).await?;
        maven::replace(&scratch.path().join("target"), &folder.join(OUTPUT))
    }

    fn folder(self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("apps").join(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that is not in the list would be missing in the build.
    #[test]
    fn every_source_of_a_consumer_is_known() {
        for consumer in [SPRING, JMX] {
            let mut left = vec![consumer.folder().join("src")];
            while let Some(path) = left.pop() {
                if path.is_dir() {
                    let entries = std::fs::read_dir(&path).expect("a folder");
                    left.extend(entries.filter_map(Result::ok).map(|entry| entry.path()));
                    continue;
                }
                let source = path.strip_prefix(consumer.folder()).expect("a source").display().to_string();
                assert!(consumer.sources.contains(&&*source), "{source} of {}", consumer.name);
            }
        }
    }
}
