//! A container's program, its arguments, and the variables that every container has. No I/O, except
//! for the check whether a command is a program of this computer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Container;

use super::env;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The program to execute.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Command {
    /// A program of this computer that is mounted into the root as `entry`, as if it were part of
    /// the image.
    pub mounted: Option<PathBuf>,
    /// The program's path in the root.
    pub entry: String,
    /// Its arguments.
    pub args: Vec<String>,
}

/// The image's program takes the place of its ENTRYPOINT. A `command` replaces it only if it names
/// a program that is in every root, such as a shell; otherwise it is taken as the name of the
/// image's program.
pub(super) fn command(
    container: &Container,
    program: &Path,
    variables: &BTreeMap<String, String>,
    is_in_every_root: impl Fn(&Path) -> bool,
) -> Command {
    let expand = |words: &Option<Vec<String>>| -> Vec<String> {
        words.iter().flatten().map(|word| env::expand(word, variables)).collect()
    };
    let (mut command, mut args) = (expand(&container.command), expand(&container.args));
    if !command.is_empty() {
        let named = command.remove(0);
        command.append(&mut args);
        args = command;
        if is_in_every_root(Path::new(&named)) {
            return Command { mounted: None, entry: named, args };
        }
    }
    let entry = format!("/{}", program.file_name().unwrap_or_default().to_string_lossy());
    Command { mounted: Some(program.to_owned()), entry, args }
}

/// The variables of every container. There is no kube-proxy, so the API server's own address is
/// used.
pub(super) fn base(pod: &str, api_server: SocketAddr) -> BTreeMap<String, String> {
    [
        ("HOSTNAME", pod.to_owned()),
        ("PATH", PATH.to_owned()),
        ("KUBERNETES_SERVICE_HOST", api_server.ip().to_string()),
        ("KUBERNETES_SERVICE_PORT", api_server.port().to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Words = &'static [&'static str];

    #[test]
    fn a_command_replaces_the_images_program_only_if_every_root_has_it() {
        let env = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        let words = |words: &[&str]| -> Option<Vec<String>> {
            (!words.is_empty()).then(|| words.iter().map(|word| (*word).to_owned()).collect())
        };
        let table: [(Words, Words, Option<&str>, &str, Words); 4] = [
            (&[], &["--a=$(A)", "$$(A)", "$(B)"], Some("/opt/app"), "/app", &["--a=1", "$(A)", "$(B)"]),
            (&["/bin/sh", "-c"], &["echo $(A)"], None, "/bin/sh", &["-c", "echo 1"]),
            (&["/app", "serve"], &["--fast"], Some("/opt/app"), "/app", &["serve", "--fast"]),
            (&["/usr/share/missing"], &[], Some("/opt/app"), "/app", &[]),
        ];
        for (command_words, args, mounted, entry, want) in table {
            let container =
                Container { command: words(command_words), args: words(args), ..Container::default() };
            let got = command(&container, Path::new("/opt/app"), &env, |path| path == Path::new("/bin/sh"));
            let want = Command {
                mounted: mounted.map(PathBuf::from),
                entry: entry.to_owned(),
                args: words(want).unwrap_or_default(),
            };
            assert_eq!(got, want, "{command_words:?} {args:?}");
        }
    }
}
