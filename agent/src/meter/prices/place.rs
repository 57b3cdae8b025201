//! Where on AWS a model is called, which may be part of its price: by the region
//! of the host, or by the inference profile in its name.
//!
//! A table lists places at prices of their own beside the model. A place that it
//! does not list costs what the model costs only if no other place differs.

use super::alias::{PROFILES, aliases};
use super::factor::aws_region;
use super::file::{Model, Models};

/// The regions whose prices are the model's own: the table lists them without.
const OWN_REGIONS: [&str; 3] = ["us-east-1", "us-east-2", "us-west-2"];

/// The profile that may use any region, at the model's own price.
const ANYWHERE: &str = "global.";

/// Regions and profiles of the government's own cloud differ in any case, and
/// say nothing of the others.
const APART: &str = "us-gov";

/// Where a model is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// Wherever: the provider has one price.
    Any,
    /// In a region of AWS.
    Region(&'a str),
    /// In one of those of a profile, whatever the host.
    Profile(&'static str),
}

impl<'a> Place<'a> {
    /// That of a call of a model, whose name is in lower case.
    pub(super) fn of(host: Option<&'a str>, id: &str) -> Self {
        let pathless = id.rsplit('/').next().unwrap_or(id);
        let profile = PROFILES
            .iter()
            .find(|profile| pathless.starts_with(**profile));
        match (profile, host.and_then(aws_region)) {
            (Some(profile), _) => Self::Profile(profile),
            (None, Some(region)) => Self::Region(region),
            (None, None) => Self::Any,
        }
    }

    /// The entry of a model and its name, if its price here is known.
    pub(super) fn find<'t>(self, models: &'t Models, id: &str) -> Option<(&'t str, &'t Model)> {
        let named = |name: &str| {
            let (name, model) = models.get_key_value(name)?;
            Some((name.as_str(), model))
        };
        for alias in aliases(id) {
            if let Self::Region(region) = self
                && let Some(found) = named(&format!("{region}/{alias}"))
            {
                return Some(found);
            }
            if let Some((name, model)) = named(alias) {
                let is_known = self.has_own_price(name) || !self.is_apart(models, name, model);
                return is_known.then_some((name, model));
            }
        }
        None
    }

    /// Whether the entry is that of this place.
    fn has_own_price(self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Region(region) => OWN_REGIONS.contains(&region),
            Self::Profile(profile) => profile == ANYWHERE || name.starts_with(profile),
        }
    }

    /// Whether the table has the same model at other prices in places of the
    /// same kind as this one.
    fn is_apart(self, models: &Models, name: &str, model: &Model) -> bool {
        let is_apart = |place: &str| place.starts_with(APART);
        let here = match self {
            Self::Any => return false,
            Self::Region(place) | Self::Profile(place) => is_apart(place),
        };
        models.iter().any(|(other, priced)| {
            let place = other.strip_suffix(name).unwrap_or_default();
            let is_region = place
                .strip_suffix('/')
                .is_some_and(|region| aws_region(region) == Some(region));
            let is_profile = PROFILES.contains(&place) && place != ANYWHERE;
            (is_region || is_profile)
                && is_apart(place) == here
                && priced.standard.rates != model.standard.rates
        })
    }
}
