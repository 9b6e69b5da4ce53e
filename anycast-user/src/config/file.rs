//! The file's shape: keys and types, with the place of every value that is checked afterwards.
//!
//! Every key is optional here, so that defaults stand in one place: the types of the parent module.

use serde::Deserialize;
use toml::Spanned;

use super::duration::Written;
use super::{Hook, Protocol};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfigFile {
    pub(super) armed: Option<bool>,
    pub(super) floor: Option<Spanned<Written>>,
    #[serde(default)]
    pub(super) accept_no_floor: bool,
    pub(super) hook: Option<Hook>,
    pub(super) uplinks: Option<Spanned<Vec<Spanned<String>>>>,
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
    #[serde(default, rename = "service")]
    pub(super) services: Vec<ServiceTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServiceTable {
    pub(super) name: Spanned<String>,
    pub(super) protocol: Protocol,
    pub(super) port: Spanned<u16>,
    pub(super) addresses: Option<Spanned<Vec<Spanned<String>>>>,
}
