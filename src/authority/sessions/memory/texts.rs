//! Texts that many sessions share, each kept once.

use std::collections::HashMap;
use std::sync::Arc;

/// A text, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TextId(u32);

impl TextId {
    /// No text.
    pub(super) const NONE: Self = Self(u32::MAX);
}

/// Issuers, clients and kinds of client, counted, so that one that is not used any more is dropped.
#[derive(Debug, Default)]
pub(super) struct Texts {
    ids: HashMap<Arc<str>, TextId>,
    kept: Vec<Option<(Arc<str>, u32)>>,
    free: Vec<TextId>,
}

impl Texts {
    /// The text of this number.
    pub(super) fn get(&self, id: TextId) -> Option<&Arc<str>> {
        let place = self.kept.get(usize::try_from(id.0).ok()?)?;
        place.as_ref().map(|(text, _)| text)
    }

    /// The number of a text, which counts as used once more.
    pub(super) fn take(&mut self, text: Option<&Arc<str>>) -> TextId {
        let Some(text) = text else {
            return TextId::NONE;
        };
        if let Some(id) = self.ids.get(text).copied() {
            if let Some((_, count)) = self.place(id) {
                *count = count.saturating_add(1);
            }
            return id;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.kept.push(None);
            TextId(u32::try_from(self.kept.len() - 1).unwrap_or(u32::MAX))
        });
        let place = usize::try_from(id.0).ok();
        let Some(place) = place.and_then(|place| self.kept.get_mut(place)) else {
            return TextId::NONE;
        };
        *place = Some((Arc::clone(text), 1));
        self.ids.insert(Arc::clone(text), id);
        id
    }

    /// Counts a text as used once less.
    pub(super) fn put_back(&mut self, id: TextId) {
        let Some((text, count)) = self.place(id) else {
            return;
        };
        *count -= 1;
        if *count > 0 {
            return;
        }
        let text = Arc::clone(text);
        self.ids.remove(&text);
        if let Some(place) = usize::try_from(id.0)
            .ok()
            .and_then(|place| self.kept.get_mut(place))
        {
            *place = None;
            self.free.push(id);
        }
    }

    fn place(&mut self, id: TextId) -> Option<&mut (Arc<str>, u32)> {
        let place = self.kept.get_mut(usize::try_from(id.0).ok()?)?;
        place.as_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_once_and_for_as_long_as_it_is_used() {
        let mut texts = Texts::default();
        let text = |text: &str| Some(Arc::<str>::from(text));
        assert_eq!(texts.take(None), TextId::NONE);
        texts.put_back(TextId::NONE);
        let (first, second) = (
            texts.take(text("a").as_ref()),
            texts.take(text("b").as_ref()),
        );
        assert_eq!(texts.take(text("a").as_ref()), first);
        assert_ne!(first, second);
        texts.put_back(first);
        assert_eq!(texts.get(first), text("a").as_ref());
        texts.put_back(first);
        assert_eq!(texts.get(first), None);
        assert_eq!(
            texts.take(text("c").as_ref()),
            first,
            "the number is used again"
        );
        assert_eq!(texts.get(second), text("b").as_ref());
        assert_eq!((texts.ids.len(), texts.kept.len()), (2, 2));
    }
}
