//! Sets of requests.

use std::collections::BTreeSet;

use regex_lite::{Regex, escape};
use serde_json::{Value, json};

/// A set of paths.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli::convert) enum Paths {
    One(String),
    /// Paths with this beginning and this end, which may overlap.
    Within {
        begin: String,
        end: String,
    },
    /// A regular expression for the whole path.
    Like(String),
}

/// A set of requests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli::convert) struct Region {
    pub(in crate::cli::convert) paths: Paths,
    /// `None` for all of them.
    pub(in crate::cli::convert) methods: Option<BTreeSet<String>>,
    /// Matchers for headers, all of which have to fit, as JSON text.
    pub(in crate::cli::convert) headers: BTreeSet<String>,
}

/// The intersection of two sets.
pub(super) enum Common<T> {
    Nothing,
    This(T),
    /// Whether they have anything in common is not known.
    Unknown,
}

impl Region {
    /// Every request.
    pub(in crate::cli::convert) const fn all() -> Self {
        Self {
            paths: Paths::ALL,
            methods: None,
            headers: BTreeSet::new(),
        }
    }

    pub(super) fn contains(&self, other: &Self) -> bool {
        let methods = match (&self.methods, &other.methods) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(others)) => others.is_subset(own),
        };
        methods && self.headers.is_subset(&other.headers) && self.paths.contain(&other.paths)
    }

    pub(super) fn common(&self, other: &Self) -> Common<Self> {
        let methods = match (&self.methods, &other.methods) {
            (None, methods) | (methods, None) => methods.clone(),
            (Some(own), Some(others)) => {
                let both: BTreeSet<_> = own.intersection(others).cloned().collect();
                if both.is_empty() {
                    return Common::Nothing;
                }
                Some(both)
            }
        };
        let paths = match self.paths.common(&other.paths) {
            Common::This(paths) => paths,
            Common::Nothing => return Common::Nothing,
            Common::Unknown => return Common::Unknown,
        };
        let headers = self.headers.union(&other.headers).cloned().collect();
        Common::This(Self {
            paths,
            methods,
            headers,
        })
    }

    pub(super) fn matcher(&self) -> Value {
        let mut matcher = self.paths.matcher();
        let headers = self.headers.iter();
        let mut headers: Vec<Value> = headers
            .filter_map(|header| serde_json::from_str(header).ok())
            .collect();
        if let Some(methods) = &self.methods {
            let methods: Vec<_> = methods.iter().collect();
            let value = match methods.as_slice() {
                [method] => json!({"exact": method}),
                methods => {
                    let methods = methods.iter().map(|method| escape(method));
                    let methods: Vec<_> = methods.collect();
                    json!({"safe_regex": {"regex": methods.join("|")}})
                }
            };
            headers.push(json!({"name": ":method", "string_match": value}));
        }
        if let (false, Some(matcher)) = (headers.is_empty(), matcher.as_object_mut()) {
            matcher.insert("headers".to_owned(), headers.into());
        }
        matcher
    }
}

impl Paths {
    /// Every path begins with a slash.
    const ALL: Self = Self::Within {
        begin: String::new(),
        end: String::new(),
    };

    /// Paths with this beginning.
    pub(in crate::cli::convert) fn below(begin: &str) -> Self {
        Self::within(begin, "")
    }

    /// Paths with this beginning and this end.
    pub(in crate::cli::convert) fn within(begin: &str, end: &str) -> Self {
        Self::Within {
            begin: if begin == "/" { "" } else { begin }.to_owned(),
            end: end.to_owned(),
        }
    }

    fn contain(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Within { begin, end }, Self::One(path)) => {
                path.starts_with(begin) && path.ends_with(end)
            }
            (
                Self::Within { begin, end },
                Self::Within {
                    begin: others_begin,
                    end: others_end,
                },
            ) => others_begin.starts_with(begin) && others_end.ends_with(end),
            (Self::Like(pattern), Self::One(path)) => is_like(pattern, path),
            (own, other) => own == other || *own == Self::ALL,
        }
    }

    fn common(&self, other: &Self) -> Common<Self> {
        if self.contain(other) {
            return Common::This(other.clone());
        }
        if other.contain(self) {
            return Common::This(self.clone());
        }
        let (
            Self::Within { begin, end },
            Self::Within {
                begin: others_begin,
                end: others_end,
            },
        ) = (self, other)
        else {
            let is_one = matches!(self, Self::One(_)) || matches!(other, Self::One(_));
            return if is_one {
                Common::Nothing
            } else {
                Common::Unknown
            };
        };
        let longer = |one: &'_ str, other: &'_ str, fits: fn(&str, &str) -> bool| {
            if fits(one, other) {
                Some(one.to_owned())
            } else {
                fits(other, one).then(|| other.to_owned())
            }
        };
        let begin = longer(begin, others_begin, |long, short| long.starts_with(short));
        let end = longer(end, others_end, |long, short| long.ends_with(short));
        match (begin, end) {
            (Some(begin), Some(end)) => Common::This(Self::Within { begin, end }),
            _ => Common::Nothing,
        }
    }

    fn matcher(&self) -> Value {
        match self {
            Self::One(path) => json!({"path": path}),
            Self::Within { begin, end } if end.is_empty() => {
                json!({"prefix": if begin.is_empty() { "/" } else { begin }})
            }
            Self::Within { begin, end } => {
                let mut patterns = vec![format!("{}.*{}", escape(begin), escape(end))];
                for (index, letter) in end.char_indices() {
                    let (shared, rest) = end.split_at(index + letter.len_utf8());
                    if begin.ends_with(shared) {
                        patterns.push(format!("{}{}", escape(begin), escape(rest)));
                    }
                }
                let pattern = patterns.join("|");
                json!({"safe_regex": {"regex": pattern}})
            }
            Self::Like(pattern) => json!({"safe_regex": {"regex": pattern}}),
        }
    }
}

fn is_like(pattern: &str, path: &str) -> bool {
    Regex::new(&format!("^(?:{pattern})$")).is_ok_and(|pattern| pattern.is_match(path))
}
