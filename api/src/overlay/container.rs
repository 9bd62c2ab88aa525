//! The merge of an overlay's container into the operator's: the two lists that the generic merge
//! does not merge as kubectl does.

use std::collections::HashMap;

use k8s_openapi::DeepMerge;
use k8s_openapi::api::core::v1::{Container, ContainerPort, EnvVar, PodSpec};

use super::ContainerMerge;

/// Prepares the containers that `base` and `overlay` share, so that the generic merge finishes
/// them: moves what [`ContainerMerge`] decides from `overlay` to `base`.
pub(super) fn merge(base: &mut PodSpec, overlay: &mut PodSpec, merge: ContainerMerge) {
    for container in &mut overlay.containers {
        let Some(base) = base.containers.iter_mut().find(|base| base.name == container.name) else {
            continue;
        };
        match merge {
            ContainerMerge::Append => drop_replaced_env(base, container),
            ContainerMerge::InPlace => {
                if let Some(variables) = container.env.take() {
                    base.env = Some(env(base.env.take().unwrap_or_default(), variables));
                }
                for port in container.ports.take().into_iter().flatten() {
                    merge_port(base.ports.get_or_insert_default(), port);
                }
            }
        }
    }
}

fn drop_replaced_env(base: &mut Container, overlay: &Container) {
    let replaced: Vec<&str> = overlay.env.iter().flatten().map(|var| var.name.as_str()).collect();
    base.env.iter_mut().for_each(|env| env.retain(|var| !replaced.contains(&var.name.as_str())));
}

fn merge_port(ports: &mut Vec<ContainerPort>, port: ContainerPort) {
    let protocol = |port: &ContainerPort| port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
    let is_same = |base: &&mut ContainerPort| {
        base.container_port == port.container_port && protocol(base) == protocol(&port)
    };
    match ports.iter_mut().find(is_same) {
        Some(base) => base.merge_from(port),
        None => ports.push(port),
    }
}

/// The variables of both, `base` first. One of the overlay takes the place of the one that it
/// replaces; but it stands behind each variable that its value refers to, because `$(NAME)` is
/// only replaced if NAME stands before it.
fn env(base: Vec<EnvVar>, overlay: Vec<EnvVar>) -> Vec<EnvVar> {
    let mut variables: Vec<Variable> = base.into_iter().map(Variable::of_base).collect();
    let mut positions: HashMap<String, usize> = HashMap::new();
    for (position, variable) in variables.iter().enumerate() {
        positions.insert(variable.name().to_owned(), position);
    }
    for variable in overlay {
        let name = variable.name.clone();
        let replaced = positions.get(&name).copied();
        // Those that the overlay has written before this one, and all of the base.
        let needs = references(&variable).filter_map(|name| positions.get(name).copied()).collect();
        let variable = Variable { variable: Some(variable), needs };
        if let Some(position) = replaced {
            variables[position] = variable;
        } else {
            positions.insert(name, variables.len());
            variables.push(variable);
        }
    }
    let mut sorted = Vec::with_capacity(variables.len());
    for position in 0..variables.len() {
        place(position, &mut variables, &mut sorted);
    }
    sorted
}

struct Variable {
    /// `None` once it is placed.
    variable: Option<EnvVar>,
    /// The positions of the variables that must stand before this one.
    needs: Vec<usize>,
}

impl Variable {
    fn of_base(variable: EnvVar) -> Self {
        Self { variable: Some(variable), needs: Vec::new() }
    }

    fn name(&self) -> &str {
        self.variable.as_ref().map_or("", |variable| variable.name.as_str())
    }
}

/// Places a variable behind those that it needs. Variables that need each other stay in their
/// order. Keeps its own stack: a list may be long, and each variable may need the one before it.
fn place(first: usize, variables: &mut [Variable], sorted: &mut Vec<EnvVar>) {
    let mut stack = vec![first];
    while let Some(&position) = stack.last() {
        match variables[position].needs.pop() {
            Some(needed) if variables[needed].variable.is_some() && !stack.contains(&needed) => {
                stack.push(needed);
            }
            Some(_) => {}
            None => {
                stack.pop();
                sorted.extend(variables[position].variable.take());
            }
        }
    }
}

/// The names in a variable's value that are written as `$(NAME)`. `$$(NAME)` is an escape.
fn references(variable: &EnvVar) -> impl Iterator<Item = &str> {
    let value = variable.value.as_deref().unwrap_or_default();
    value.match_indices("$(").filter_map(move |(start, _)| {
        let dollars = value[..start].bytes().rev().take_while(|byte| *byte == b'$').count();
        let (name, _) = value[start + 2..].split_once(')')?;
        (dollars % 2 == 0).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Variables from `NAME=value` words.
    fn list(words: &str) -> Vec<EnvVar> {
        let variable = |word: &str| {
            let (name, value) = word.split_once('=').unwrap();
            EnvVar { name: name.to_owned(), value: Some(value.to_owned()), ..EnvVar::default() }
        };
        words.split_whitespace().map(variable).collect()
    }

    #[track_caller]
    fn assert_merged(base: &str, overlay: &str, want: &str) {
        assert_eq!(env(list(base), list(overlay)), list(want), "{overlay} over {base}");
    }

    #[test]
    fn a_replaced_variable_keeps_its_place() {
        assert_merged("A=1 B=2 C=$(B)", "B=3 D=4", "A=1 B=3 C=$(B) D=4");
        assert_merged("", "B=3 D=4", "B=3 D=4");
    }

    #[test]
    fn a_variable_stands_behind_those_that_its_value_refers_to() {
        assert_merged("A=1 B=2 C=3", "P=x Q=$(P) B=$(Q)-b", "A=1 P=x Q=$(P) B=$(Q)-b C=3");
        assert_merged("A=1 B=2", "A=$(B)", "B=2 A=$(B)");
        assert_merged("A=1", "B=$(A) C=$(D) D=4", "A=1 B=$(A) C=$(D) D=4");
        assert_merged("A=1 B=2", "P=x A=$$(P) B=$$$(P)", "A=$$(P) P=x B=$$$(P)");
    }

    #[test]
    fn variables_that_need_each_other_and_long_chains_are_placed_once() {
        assert_merged("A=1 B=2", "A=$(B) B=$(A)", "B=$(A) A=$(B)");
        assert_merged("A=1", "A=$(A)x", "A=$(A)x");
        let chain: Vec<String> = (1..3000).map(|index| format!("V{index}=$(V{})", index - 1)).collect();
        assert_eq!(env(list("V0=0"), list(&chain.join(" "))).len(), 3000);
    }

    #[test]
    fn ports_merge_by_number_and_protocol() {
        let port = |number, protocol: Option<&str>, name: Option<&str>| ContainerPort {
            container_port: number,
            protocol: protocol.map(str::to_owned),
            name: name.map(str::to_owned),
            ..ContainerPort::default()
        };
        let mut ports = vec![port(53, Some("TCP"), Some("metrics"))];
        merge_port(&mut ports, port(53, Some("UDP"), Some("dns")));
        merge_port(&mut ports, port(53, None, Some("web")));
        assert_eq!(ports, [port(53, Some("TCP"), Some("web")), port(53, Some("UDP"), Some("dns"))]);
    }
}
