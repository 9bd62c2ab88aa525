//! A container's program, its arguments, and the variables that every container has. No I/O, except
//! for the check whether a command is a program of this computer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use k8s_openapi::api::core::v1::Container;

use super::env;
use super::images::Image;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The program to execute.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Command {
    /// The program's path in the root.
    pub entry: String,
    /// Its arguments.
    pub args: Vec<String>,
}

/// The container's arguments follow those of the image's ENTRYPOINT. A `command` replaces the
/// ENTRYPOINT only if it names a program that is in every root, such as a shell; otherwise it is
/// taken as the name of the image's program.
pub(super) fn command(
    container: &Container,
    image: &Image,
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
            return Command { entry: named, args };
        }
    }
    let args = image.args().iter().cloned().chain(args).collect();
    Command { entry: image.entry().to_owned(), args }
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
        let table: [(Words, Words, &str, Words); 4] = [
            (&[], &["--a=$(A)", "$$(A)", "$(B)"], "/app", &["--a=1", "$(A)", "$(B)"]),
            (&["/bin/sh", "-c"], &["echo $(A)"], "/bin/sh", &["-c", "echo 1"]),
            (&["/app", "serve"], &["--fast"], "/app", &["serve", "--fast"]),
            (&["/usr/share/missing"], &[], "/app", &[]),
        ];
        for (command_words, args, entry, want) in table {
            let container =
                Container { command: words(command_words), args: words(args), ..Container::default() };
            let image = Image::program("/opt/app");
            let got = command(&container, &image, &env, |path| path == Path::new("/bin/sh"));
            let want = Command { entry: entry.to_owned(), args: words(want).unwrap_or_default() };
            assert_eq!(got, want, "{command_words:?} {args:?}");
        }
    }

    #[test]
    fn a_containers_arguments_follow_the_images() {
        let image = Image::java(Path::new("/opt/jdk/bin/java"), &["-jar", "/app.jar"], Vec::new());
        let container = Container { args: Some(vec!["--fast".to_owned()]), ..Container::default() };
        let got = command(&container, &image, &BTreeMap::new(), |_| false);
        assert_eq!(
            (&*got.entry, got.args),
            ("/opt/jdk/bin/java", vec!["-jar".into(), "/app.jar".into(), "--fast".into()])
        );
    }
}
