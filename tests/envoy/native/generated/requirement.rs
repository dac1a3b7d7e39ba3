//! A generated `JwtRequirement`.

use serde_json::{Value, json};

use super::Features;
use crate::support::Random;

/// What a request needs; providers by their index.
#[derive(Clone, Debug)]
pub(super) enum Requirement {
    Nothing,
    Provider(usize),
    WithAudiences(usize, Vec<&'static str>),
    Any(Vec<Requirement>),
    All(Vec<Requirement>),
    AllowMissing,
    AllowMissingOrFailed,
}

impl Requirement {
    pub(super) fn random(random: &mut Random, providers: usize) -> Self {
        match random.below(100) {
            0..6 => Self::Nothing,
            6..40 => Self::of_one(random, providers),
            40..48 => Self::AllowMissing,
            48..54 => Self::AllowMissingOrFailed,
            54..64 => Self::All(Self::several(random, providers)),
            64..80 => Self::Any(Self::several(random, providers)),
            80..94 => {
                let otherwise = random.pick(&[Self::AllowMissing, Self::AllowMissingOrFailed]);
                let mut list = Self::several(random, providers);
                list.truncate(1 + random.below(2));
                list.insert(random.below(list.len() + 1), otherwise.clone());
                Self::Any(list)
            }
            _ => {
                let mut list = Self::several(random, providers);
                let kinds = [Self::Any, Self::All];
                let inner = Self::several(random, providers);
                list.push(random.pick(&kinds)(inner));
                random.pick(&kinds)(list)
            }
        }
    }

    fn of_one(random: &mut Random, providers: usize) -> Self {
        let index = random.below(providers);
        if random.chance(35) {
            let choices: [&[&str]; 4] = [
                &["orders"],
                &["orders", "https://api.example/"],
                &["unknown"],
                &[],
            ];
            let audiences = random.pick(&choices);
            Self::WithAudiences(index, audiences.to_vec())
        } else {
            Self::Provider(index)
        }
    }

    fn several(random: &mut Random, providers: usize) -> Vec<Self> {
        let number = 2 + random.below(2);
        (0..number)
            .map(|_| Self::of_one(random, providers))
            .collect()
    }

    pub(super) fn to_json(&self, names: &[&str]) -> Value {
        let list = |list: &[Self]| -> Value {
            let elements = list.iter().map(|element| element.to_json(names));
            json!({"requirements": elements.collect::<Vec<_>>()})
        };
        match self {
            Self::Nothing => json!({}),
            Self::Provider(index) => json!({"provider_name": names[*index]}),
            Self::WithAudiences(index, audiences) => json!({
                "provider_and_audiences": {
                    "provider_name": names[*index], "audiences": audiences,
                },
            }),
            Self::Any(elements) => json!({"requires_any": list(elements)}),
            Self::All(elements) => json!({"requires_all": list(elements)}),
            Self::AllowMissing => json!({"allow_missing": {}}),
            Self::AllowMissingOrFailed => json!({"allow_missing_or_failed": {}}),
        }
    }

    /// The tokens that it mentions: the index of the provider, and audiences in place of its own.
    pub(super) fn tokens(&self) -> Vec<(usize, &[&'static str])> {
        match self {
            Self::Provider(index) => vec![(*index, &[][..])],
            Self::WithAudiences(index, audiences) => vec![(*index, audiences)],
            Self::Any(list) | Self::All(list) => list.iter().flat_map(Self::tokens).collect(),
            Self::Nothing | Self::AllowMissing | Self::AllowMissingOrFailed => Vec::new(),
        }
    }

    pub(super) fn is_or_has(&self, test: fn(&Self) -> bool) -> bool {
        match self {
            _ if test(self) => true,
            Self::Any(list) | Self::All(list) => list.iter().any(|part| part.is_or_has(test)),
            _ => false,
        }
    }

    pub(super) fn features(&self, features: &mut Features) {
        features.add(match self {
            Self::Nothing => "empty requirement",
            Self::Provider(_) => "provider_name",
            Self::WithAudiences(..) => "provider_and_audiences",
            Self::Any(_) => "requires_any",
            Self::All(_) => "requires_all",
            Self::AllowMissing => "allow_missing",
            Self::AllowMissingOrFailed => "allow_missing_or_failed",
        });
        if let Self::Any(list) | Self::All(list) = self {
            for part in list {
                part.features(features);
            }
        }
    }
}
