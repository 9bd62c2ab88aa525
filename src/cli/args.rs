//! Values of flags: durations, names, addresses and the file of defaults; and flags that were renamed.

use std::fs::File;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use kcg_api::{GroupDefaults, defaults_file, names};
use kcg_runtime::bounded_text::read_text;
use kcg_runtime::config_file;
use kcg_runtime::listen::BindAddress;
use kcg_webhook::group_defaults::list;

/// The longest duration: a hundred years, so that adding it to a clock cannot overflow.
const MAX_SECONDS: u64 = 100 * 365 * 24 * 60 * 60;

/// Parses a duration: whole numbers with units, such as `500ms`, `5s`, `1h30m` or `90d`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let malformed = || "use whole numbers with units, for example 500ms, 5s, 1h30m or 90d".to_owned();
    let (mut total, mut rest) = (Duration::ZERO, text);
    if rest.is_empty() {
        return Err(malformed());
    }
    while !rest.is_empty() {
        let unit_start = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(malformed)?;
        let (count, tail) = rest.split_at(unit_start);
        let unit_end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let milliseconds: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60 * 1000,
            "h" => 60 * 60 * 1000,
            "d" => 24 * 60 * 60 * 1000,
            _ => return Err(malformed()),
        };
        let count: u64 = count.parse().map_err(|_| malformed())?;
        let part = count.checked_mul(milliseconds).map(Duration::from_millis).ok_or_else(malformed)?;
        total =
            total.checked_add(part).filter(|total| total.as_secs() <= MAX_SECONDS).ok_or_else(malformed)?;
        rest = tail;
    }
    Ok(total)
}

/// A file of defaults that was read and checked.
#[derive(Clone, Debug)]
pub(super) struct DefaultsArg {
    /// Its content.
    pub(super) defaults: GroupDefaults,
    /// Its hash, as the operator's metrics have it.
    pub(super) hash: String,
}

/// Reads a file of defaults. What is wrong in it is a usage error with its line.
pub(super) fn defaults_file(path: &str) -> Result<DefaultsArg, String> {
    let text = File::open(path).and_then(|file| read_text(file, defaults_file::MAX_BYTES));
    let text = text.map_err(|error| error.to_string())?;
    let defaults = GroupDefaults::parse(&text).map_err(|errors| list(&errors))?;
    Ok(DefaultsArg { defaults, hash: config_file::hash(&text) })
}

/// Parses a text that must not be empty: an empty one comes from a variable that has no value.
pub(super) fn not_empty(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("it is empty: set a value, or remove the flag or its variable".to_owned());
    }
    Ok(text.to_owned())
}

/// Parses a path.
pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    not_empty(text).map(PathBuf::from)
}

/// Parses the name of an object, or a host name. Another name could change the path of a request.
pub(super) fn subdomain(text: &str) -> Result<String, String> {
    let text = not_empty(text)?;
    if names::SUBDOMAIN.matches(&text) {
        Ok(text)
    } else {
        Err("use lowercase letters, digits, - and ., at most 253 characters".to_owned())
    }
}

/// The longest identity: the API server refuses Events of a longer one.
const MAX_IDENTITY: usize = 128;

/// Parses the name of a process in Events and in the Lease.
pub(super) fn identity(text: &str) -> Result<String, String> {
    let text = not_empty(text)?;
    if text.len() <= MAX_IDENTITY && !text.contains(char::is_control) {
        Ok(text)
    } else {
        Err(format!("use at most {MAX_IDENTITY} bytes without control characters"))
    }
}

/// Parses a number of bytes of a spec.
pub(super) fn spec_bytes(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("0 would refuse every group; leave out the flag for the default".to_owned()),
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(format!("{error}: use a number of bytes, for example 65536")),
    }
}

/// The value of an address that listens nowhere, as controller-runtime has it.
const NONE: &str = "0";

/// An address to listen on, or none.
#[derive(Clone, Copy, Debug)]
pub(super) struct OptionalAddress(pub(super) Option<BindAddress>);

impl FromStr for OptionalAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == NONE {
            return Ok(Self(None));
        }
        let address = text.parse();
        address.map(|address| Self(Some(address))).map_err(|error| format!("{error}; or 0 to serve none"))
    }
}

/// Means every namespace, in flags that allow it.
const ALL: &str = "*";

/// Parses a namespace. A name that is not a DNS label could change the path of a request.
pub(super) fn namespace(text: &str) -> Result<String, String> {
    if names::DNS_LABEL.matches(text) { Ok(text.to_owned()) } else { Err(not_a_namespace("")) }
}

/// Parses an item of a list of namespaces. It may be empty, so that a manifest can keep a flag
/// without a value and a list can end with a comma.
pub(super) fn namespace_item(text: &str) -> Result<String, String> {
    if text.is_empty() { Ok(String::new()) } else { namespace(text) }
}

/// Parses an item of a list of namespaces that may contain `*`.
pub(super) fn namespace_item_or_all(text: &str) -> Result<String, String> {
    if text == ALL {
        Ok(text.to_owned())
    } else {
        namespace_item(text).map_err(|_| not_a_namespace(", or * for all"))
    }
}

/// The items of a list that are not empty.
pub(super) fn without_empty(list: &[String]) -> Vec<String> {
    list.iter().filter(|name| !name.is_empty()).cloned().collect()
}

fn not_a_namespace(alternative: &str) -> String {
    format!("a namespace is a lowercase DNS label of at most 63 characters{alternative}")
}

/// Declares hidden flags that fail with the name of the flag that replaced them.
macro_rules! renamed_flags {
    ($(#[$doc:meta])* $name:ident { $($old:literal => $new:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(super) struct $name;

        impl $name {
            const FLAGS: &'static [(&'static str, &'static str)] = &[$(($old, $new)),+];
        }

        impl clap::Args for $name {
            fn augment_args(command: clap::Command) -> clap::Command {
                Self::FLAGS.iter().fold(command, |command, (old, new)| {
                    command.arg(clap::Arg::new(*old).long(*old).help(*new).hide(true).num_args(0..=1))
                })
            }

            fn augment_args_for_update(command: clap::Command) -> clap::Command {
                Self::augment_args(command)
            }
        }

        impl clap::FromArgMatches for $name {
            fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
                match Self::FLAGS.iter().find(|(old, _)| matches.contains_id(old)) {
                    None => Ok(Self),
                    Some((old, new)) => Err(clap::Error::raw(
                        clap::error::ErrorKind::UnknownArgument,
                        format!("--{old} was renamed: use --{new}"),
                    )),
                }
            }

            fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
                Self::from_arg_matches(matches).map(|_| ())
            }
        }
    };
}

renamed_flags!(
    /// Renamed flags of the controller.
    RenamedControllerFlags {
        "status-addr" => "metrics-bind-address and --health-probe-bind-address",
        "certificates" => "certificate-mode",
        "certificate-life" => "certificate-duration",
        "authority-life" => "ca-duration",
        "authority-overlap" => "ca-overlap",
        "lease-namespace" => "leader-elect-resource-namespace",
        "lease-name" => "leader-elect-resource-name",
    }
);
renamed_flags!(
    /// Renamed flags of the webhook.
    RenamedWebhookFlags {
        "status-addr" => "metrics-bind-address and --health-probe-bind-address",
        "listen" => "webhook-bind-address",
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_sequence_of_numbers_with_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("2m"), Ok(Duration::from_mins(2)));
        assert_eq!(duration("12h"), Ok(Duration::from_hours(12)));
        assert_eq!(duration("90d"), Ok(Duration::from_hours(90 * 24)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_mins(90)));
        for text in ["", "5", "s", "-5s", "5y", "1.5s", "1h30", "99999999999999999999s", "9999999999999d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_namespace_is_a_label_and_only_a_list_may_hold_empty_items_or_a_star() {
        let accepts = |text: &str| {
            [namespace(text), namespace_item(text), namespace_item_or_all(text)].map(|parsed| parsed.is_ok())
        };
        assert_eq!(accepts("team-a"), [true, true, true]);
        assert_eq!(accepts(""), [false, true, true]);
        assert_eq!(accepts("*"), [false, false, true]);
        for text in ["Team_A", "a/b", "a b", "-a", "a.b", &"a".repeat(64)] {
            assert_eq!(accepts(text), [false, false, false], "{text}");
        }
    }

    #[test]
    fn an_address_may_be_left_out() {
        let parsed = |text: &str| text.parse::<OptionalAddress>().map(|OptionalAddress(address)| address);
        assert_eq!(parsed("0"), Ok(None));
        assert_eq!(parsed(":8080").unwrap().unwrap().to_string(), "[::]:8080");
        for text in ["", "00", "8080", ":"] {
            assert!(parsed(text).unwrap_err().ends_with("; or 0 to serve none"), "{text}");
        }
    }

    #[test]
    fn empty_items_are_removed_from_a_list() {
        assert_eq!(without_empty(&["a".to_owned(), String::new()]), ["a"]);
        assert_eq!(without_empty(&[String::new()]), [""; 0]);
    }
}
