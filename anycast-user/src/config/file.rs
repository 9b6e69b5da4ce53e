//! The file's shape: keys and types, with the place of every value that is checked afterwards.
//!
//! Every key is optional here, so that defaults stand in one place: the types of the parent module.

use anycast_ebpf::classify::Classifier;
use serde::{Deserialize, Deserializer, de::Error as _};
use toml::Spanned;

use super::Hook;
use super::duration::Written;
use super::floor::WrittenFloor;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfigFile {
    pub(super) armed: Option<bool>,
    pub(super) floor: Option<Spanned<WrittenFloor>>,
    pub(super) withdraw_also_on: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    pub(super) accept_no_floor: bool,
    pub(super) hook: Option<Hook>,
    pub(super) uplinks: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) encapsulation: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) pins: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) arming: ArmingTable,
    #[serde(default, rename = "return")]
    pub(super) coming_back: ReturnTable,
    #[serde(default)]
    pub(super) detection: DetectionTable,
    #[serde(default)]
    pub(super) metrics: MetricsTable,
    #[serde(default, rename = "link")]
    pub(super) links: Vec<LinkTable>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ArmingTable {
    pub(super) answers: Option<Spanned<u64>>,
    pub(super) time: Option<Written>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReturnTable {
    pub(super) hold_down: Option<Spanned<Written>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DetectionTable {
    pub(super) node_years_between_false_alarms: Option<Spanned<f64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MetricsTable {
    pub(super) listen: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LinkTable {
    pub(super) name: Spanned<String>,
    pub(super) withdraw_when: Option<Spanned<WhenWritten>>,
    #[serde(default, rename = "service")]
    pub(super) services: Vec<ServiceTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServiceTable {
    pub(super) name: Spanned<String>,
    pub(super) protocol: Named,
    pub(super) port: Spanned<u16>,
    pub(super) addresses: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) weight: Option<Spanned<u32>>,
}

/// With how many dead services a link is withdrawn.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected \"any\", \"all\" or { share = 0.5 }")]
pub(super) enum WhenWritten {
    Named(WhenNamed),
    Share(ShareTable),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum WhenNamed {
    Any,
    All,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShareTable {
    pub(super) share: f64,
}

/// A protocol by its name.
#[derive(Debug)]
pub(super) struct Named(pub(super) Classifier);

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Classifier::from_name(&name).map(Self).ok_or_else(|| {
            let known: Vec<&str> = Classifier::ALL.iter().map(|classifier| classifier.name()).collect();
            // In serde's own words, which a suggestion is made from.
            D::Error::custom(format!(
                "unknown variant `{name}`, expected one of `{}`",
                known.join("`, `")
            ))
        })
    }
}
