mod envoy_gateway;
mod istio;
mod jwt_authn;
mod routes;

use std::path::Path;
use std::rc::Rc;
use std::sync::LazyLock;

use serde_json::json;

use super::{jwt_authn as native_filter, *};
use crate::cli::validate;
use crate::token::fixtures::{es256, jwk_set};

/// What editors know is what the schema says.
fn expect_usual_spelling(configuration: &Value) {
    static SCHEMA: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
        let schema = serde_json::from_str(crate::cli::schema::FILTER).unwrap();
        jsonschema::validator_for(&schema).unwrap()
    });
    let faults: Vec<_> = SCHEMA.iter_errors(configuration).collect();
    assert!(faults.is_empty(), "{faults:?}\n{configuration:#}");
}

/// What comes out of the documents of a file: configurations, warnings and notes.
struct Outcome {
    configurations: Vec<Value>,
    differences: Vec<String>,
    /// Those of the differences that open something.
    openings: Vec<String>,
    notes: Vec<String>,
}

impl Outcome {
    fn of(text: &str) -> Self {
        Self::with_files(text, &|_| None)
    }

    fn with_files(text: &str, files: native_filter::Files<'_>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("input.yaml");
        fs::write(&file, text).unwrap();
        let documents = configuration_file::documents(&file).unwrap();
        let mut outcome = Self {
            configurations: Vec::new(),
            differences: Vec::new(),
            openings: Vec::new(),
            notes: Vec::new(),
        };
        let remarks = Remarks::default();
        let converted = converted(&documents, &remarks, files).into_iter();
        outcome.configurations = converted.map(|one| one.configuration).collect();
        outcome
            .configurations
            .iter()
            .for_each(expect_usual_spelling);
        let told =
            |remark: &Remark| format!("{}: {}: {}", remark.line, remark.path, remark.message);
        let differences = remarks.differences.into_inner();
        for remark in &differences {
            let says_so = remark.message.contains("OPEN");
            assert_eq!(remark.opens, says_so, "{remark:?}");
        }
        let openings = differences.iter().filter(|remark| remark.opens);
        outcome.openings = openings.map(told).collect();
        outcome.differences = differences.iter().map(told).collect();
        outcome.notes = remarks.notes.into_inner().iter().map(told).collect();
        validate_warns_of_nothing_else(&file);
        outcome
    }

    fn one(&self) -> &Value {
        assert_eq!(self.configurations.len(), 1);
        &self.configurations[0]
    }

    /// The only configuration, which the filter takes.
    fn valid(&self) -> &Value {
        let configuration = self.one();
        let text = configuration.to_string();
        let inspection = inspect_configuration(text.as_bytes(), &|_| Variable::Unknown);
        assert_eq!(inspection.faults, [], "{configuration:#}");
        configuration
    }

    fn differs_only_in(&self, expected: &[&str]) {
        assert_eq!(
            self.differences.len(),
            expected.len(),
            "{:#?}",
            self.differences
        );
        for expected in expected {
            let mut differences = self.differences.iter();
            let is_told = differences.any(|told| told.starts_with(expected));
            assert!(is_told, "{expected}: {:#?}", self.differences);
        }
    }

    fn notes(&self, part: &str) -> bool {
        self.notes.iter().any(|note| note.contains(part))
    }
}

/// Whatever `validate` warns of in what comes out, `convert` has warned of already.
fn validate_warns_of_nothing_else(file: &Path) {
    let arguments = Arguments {
        files: vec![file.to_owned()],
        accept_differences: true,
        json: false,
    };
    let (mut output, mut told) = (Vec::new(), Vec::new());
    // Documents in which there is nothing come to nothing, and faults are told by both.
    let _ = run(&arguments, &mut output, &mut told);
    let told = String::from_utf8(told).unwrap();
    let file = file.with_file_name("output.yaml");
    fs::write(&file, output).unwrap();
    let arguments = validate::Arguments {
        files: vec![file],
        deny_warnings: true,
    };
    let mut errors = Vec::new();
    let _ = validate::run(&arguments, &mut Vec::new(), &mut errors);
    for line in String::from_utf8(errors).unwrap().lines() {
        let (_, finding) = line.split_once(": warning: ").unwrap();
        assert!(told.contains(finding), "{finding}\n{told}");
    }
}

/// A `jwt_authn` filter with one provider and these members in it and beside it.
fn native(provider: &Value, beside: &Value) -> String {
    let mut idp = json!({
        "issuer": "https://idp.example", "require_expiration": true,
        "from_headers": [{"name": "x-token"}],
        "local_jwks": {"inline_string": jwk_set(&[&es256()])},
    });
    idp.as_object_mut()
        .unwrap()
        .extend(provider.as_object().unwrap().clone());
    let mut filter = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        "providers": {"idp": idp},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "idp"}}],
    });
    filter
        .as_object_mut()
        .unwrap()
        .extend(beside.as_object().unwrap().clone());
    json!({"http_filters": [{"name": "jwt", "typed_config": filter}]}).to_string()
}

fn authentication(more: &str) -> String {
    format!(
        "kind: RequestAuthentication\nmetadata: {{name: jwt, namespace: shop}}\n\
         spec: {{selector: {{matchLabels: {{app: api}}}}, jwtRules: [{{issuer: 'https://a.example', \
         jwksUri: 'https://a.example:8443/keys', fromHeaders: [{{name: x-token}}]{more}}}]}}\n"
    )
}

/// A policy without a name, so that two of them are two.
fn policy(action: &str, rules: &str) -> String {
    format!(
        "---\nkind: AuthorizationPolicy\nmetadata: {{namespace: shop}}\n\
         spec: {{selector: {{matchLabels: {{app: api}}}}, action: {action}, rules: {rules}}}\n"
    )
}

fn any(requirements: &Value) -> Value {
    json!({"requires_any": {"requirements": requirements}})
}

#[test]
fn a_resource_that_stands_in_the_files_twice_opens() {
    for kind in RESOURCES {
        let one = |name| format!("---\nkind: {kind}\nmetadata: {{name: {name}, namespace: ns}}\n");
        for (text, expected) in [(one("a") + &one("a"), 1), (one("a") + &one("b"), 0)] {
            let outcome = Outcome::of(&text);
            assert_eq!(outcome.openings.len(), expected, "{text}");
        }
    }
}

#[test]
fn the_exit_code_tells_what_could_not_be_translated_unless_that_is_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("envoy.json");
    let outcome = |text: &str, accept_differences: bool| {
        fs::write(&file, text).unwrap();
        let arguments = Arguments {
            files: vec![file.clone()],
            accept_differences,
            json: false,
        };
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        let outcome = run(&arguments, &mut output, &mut errors);
        let told = |bytes| String::from_utf8(bytes).unwrap();
        (told(output), told(errors), outcome)
    };
    let text = native(&json!({"payload_in_metadata": "x"}), &json!({}));
    let (output, errors, result) = outcome(&text, false);
    assert!(matches!(
        result,
        Err(CommandError::Differences { number: 1 })
    ));
    assert!(output.starts_with("# in place of http_filters[0].typed_config\nproviders:\n"));
    let told = ":1: warning: http_filters[0].typed_config.providers.idp.payload_in_metadata: ";
    assert!(errors.contains(told), "{errors}");
    let (again, _, result) = outcome(&text, true);
    assert!(result.is_ok());
    assert_eq!(again, output);
    fs::write(directory.path().join("gate.yaml"), &output).unwrap();
    assert!(configurations(&directory.path().join("gate.yaml")).is_ok());
    // Nor is what opens the API.
    let unknown = json!({"unheard_of": true});
    let (_, errors, result) = outcome(&native(&unknown, &json!({})), true);
    assert!(
        matches!(result, Err(CommandError::Opens { number: 1 })),
        "{errors}"
    );
    // What our filter would refuse is never a success.
    let reserved = json!({"claim_to_headers": [{"header_name": "host", "claim_name": "sub"}]});
    let (_, errors, result) = outcome(&native(&reserved, &json!({})), true);
    assert!(
        matches!(result, Err(CommandError::Faults { .. })),
        "{errors}"
    );
    let (_, _, result) = outcome("{\"providers\": {}}", false);
    assert!(matches!(result, Err(CommandError::Converted { .. })));
    let (_, _, result) = outcome("{\"a\": 1}", false);
    assert!(matches!(result, Err(CommandError::Untranslatable { .. })));
    let alone = format!("a: 1\n{}", policy("DENY", "[{}]"));
    let (_, _, result) = outcome(&alone, false);
    let is_told = matches!(result, Err(CommandError::PolicyAlone { line: 3, .. }));
    assert!(is_told, "{result:?}");
}

#[test]
fn every_file_counts_and_remarks_name_theirs() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file = directory.path().join(name);
        fs::write(&file, text).unwrap();
        file
    };
    let files = [
        write("authentication.yaml", &authentication("")),
        write(
            "policy.yaml",
            &policy(
                "DENY",
                "[{from: [{source: {notRequestPrincipals: ['*']}}]}]",
            ),
        ),
    ];
    let documents = files
        .iter()
        .flat_map(|file| configuration_file::documents(file).unwrap());
    let documents: Vec<_> = documents.collect();
    let remarks = Remarks::default();
    let converted = converted(&documents, &remarks, &|_| None);
    assert_eq!(converted.len(), 1);
    let notes = remarks.notes.borrow();
    let of = |part: &str| {
        let mut notes = notes.iter();
        let note = notes.find(|note| note.message.contains(part)).unwrap();
        Rc::clone(&note.file)
            .file_name()
            .map(Path::new)
            .map(Path::to_owned)
    };
    assert_eq!(of("delete this rule").unwrap(), Path::new("policy.yaml"));
    assert_eq!(
        of("ServiceEntry").unwrap(),
        Path::new("authentication.yaml")
    );
}
