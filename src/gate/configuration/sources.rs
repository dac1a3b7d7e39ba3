//! Secrets and keys that are in the configuration, or in a variable that it names.

use crate::configuration::{Fields, Node, Read, Variable};

/// The content of the virtual machine's environment variable that this text names; `None`, with a
/// warning, if only Envoy knows it.
pub(super) fn variable(node: Node<'_>) -> Read<Option<String>> {
    match node.variable()? {
        Variable::Set(value) => Ok(Some(value)),
        Variable::Unset => Err(node.fault(
            "the variable is not set in the virtual machine; \
             hint: name it in `vm_config.environment_variables`",
        )),
        Variable::Unknown => {
            node.warning(format!(
                "`{}` is not set here; Envoy does not start unless it is set there",
                node.text()?.escape_default()
            ));
            Ok(None)
        }
    }
}

/// The text in `inline_string` or in the variable that `environment_variable` names, without
/// surrounding blanks; `None` if only Envoy knows the variable.
pub(super) fn written_or_named(
    node: Node<'_>,
    is_good: fn(&str) -> bool,
    expected: &str,
) -> Read<Option<String>> {
    node.object(|fields| {
        let (source, node) = one_source(fields)?;
        let Some(text) = source(node)? else {
            return Ok(None);
        };
        let text = text.trim();
        if !is_good(text) {
            return Err(node.fault(expected));
        }
        Ok(Some(text.to_owned()))
    })
}

/// How a text is read from the member that names it.
type Source = fn(Node<'_>) -> Read<Option<String>>;

fn one_source<'c>(fields: &mut Fields<'c>) -> Read<(Source, Node<'c>)> {
    fields.one_of(&[
        ("inline_string", written as Source),
        ("environment_variable", variable),
    ])
}

fn written(node: Node<'_>) -> Read<Option<String>> {
    node.text().map(|text| Some(text.to_owned()))
}
