//! A generated configuration.

use serde_json::{Value, json};

use super::Features;
use super::provider::Provider;
use super::requirement::Requirement;
use super::rules::{Aim, Matcher};
use super::spelling;
use crate::support::Random;

/// A configuration with what the generator remembers of it.
pub(super) struct Configuration {
    /// What both filters get.
    pub(super) shared: Value,
    /// The same for Portcullis, with a few keys of its own that make it as lenient as the other.
    pub(super) own: Value,
    pub(super) providers: Vec<Provider>,
    pub(super) rules: Vec<Rule>,
    pub(super) features: Features,
}

pub(super) struct Rule {
    pub(super) matcher: Matcher,
    pub(super) requirement: Requirement,
}

impl Configuration {
    pub(super) fn random(random: &mut Random) -> Self {
        let number = 1 + random.below(3);
        let providers = (0..number).map(|index| Provider::random(random, index));
        let mut configuration = Self {
            shared: json!({}),
            own: json!({}),
            providers: providers.collect(),
            rules: Vec::new(),
            features: Features::default(),
        };
        configuration.rules(random);
        configuration.unambiguous();
        configuration.write(random);
        configuration
    }

    /// The index of the first rule for a request, read with this path.
    pub(super) fn rule(&self, path: &str, aim: &Aim) -> Option<usize> {
        let mut rules = self.rules.iter();
        rules.position(|rule| rule.matcher.matches(path, aim))
    }

    fn rules(&mut self, random: &mut Random) {
        let requirement = |random: &mut Random| Requirement::random(random, self.providers.len());
        for _ in 0..=random.below(4) {
            self.rules.push(Rule {
                matcher: Matcher::random(random),
                requirement: requirement(random),
            });
        }
        if random.chance(85) {
            self.rules.push(Rule {
                matcher: Matcher::everything(),
                requirement: requirement(random),
            });
        }
    }

    /// Without an issuer, which of two providers the bare `allow_missing` of `jwt_authn` takes is
    /// chance, so where there are several, each has an issuer.
    fn unambiguous(&mut self) {
        if self.providers.len() < 2 {
            return;
        }
        for provider in &mut self.providers {
            if provider.issuer.is_none() {
                let issuer = format!("https://{}.example", provider.name);
                provider.json["issuer"] = issuer.clone().into();
                provider.issuer = Some(issuer);
            }
        }
    }

    /// What a chart writes for a value that it was not given. Only for keys that both filters take
    /// as absent then: where one protects, `null` is a fault here.
    fn nulls(&mut self, random: &mut Random) {
        self.features.add("null");
        let index = random.below(self.providers.len());
        let name = self.providers[index].name;
        for (object, key) in [
            ("/providers", "forward"),
            ("/providers", "clear_route_cache"),
            ("/providers", "pad_forward_payload_header"),
            ("", "bypass_cors_preflight"),
            ("", "strip_failure_response"),
            ("", "stat_prefix"),
        ] {
            let pointer = match object {
                "" => String::new(),
                list => format!("{list}/{name}"),
            };
            let object = self.shared.pointer_mut(&pointer).expect("an object");
            let object = object.as_object_mut().expect("an object");
            if !object.contains_key(key) && random.chance(50) {
                object.insert(key.to_owned(), Value::Null);
            }
        }
    }

    fn write(&mut self, random: &mut Random) {
        let names: Vec<_> = self
            .providers
            .iter()
            .map(|provider| provider.name)
            .collect();
        let mut requirements = serde_json::Map::new();
        let mut rules = Vec::new();
        for (index, rule) in self.rules.iter().enumerate() {
            let requirement = rule.requirement.to_json(&names);
            let mut json = json!({"match": rule.matcher.to_json()});
            if random.chance(20) {
                let name = format!("requirement-{index}");
                json["requirement_name"] = name.clone().into();
                requirements.insert(name, requirement);
                self.features.add("requirement_name");
            } else if !matches!(rule.requirement, Requirement::Nothing) || random.chance(50) {
                json["requires"] = requirement;
            }
            rules.push(json);
        }
        self.shared["rules"] = rules.into();
        if !requirements.is_empty() {
            self.shared["requirement_map"] = requirements.into();
        }
        for (key, percent) in [
            ("bypass_cors_preflight", 40),
            ("strip_failure_response", 20),
        ] {
            if random.chance(percent) {
                self.shared[key] = true.into();
                self.features.add(key);
            }
        }
        for provider in &self.providers {
            self.shared["providers"][provider.name] = provider.json.clone();
        }
        if random.chance(20) {
            self.nulls(random);
        }
        self.own = self.shared.clone();
        for provider in &self.providers {
            for (key, value) in provider.own.as_object().expect("an object") {
                self.own["providers"][provider.name][key] = value.clone();
            }
        }
        if random.chance(30) {
            self.own["allow_unmatched"] = true.into();
        } else {
            self.features.add("unmatched requests refused");
        }
        for configuration in [&mut self.shared, &mut self.own] {
            *configuration = spelling::random(configuration, random);
        }
    }
}
